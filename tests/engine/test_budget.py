"""Energy budgets: multipliers and sigmas against closed forms, for each unit, by descent and by the solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint, preflight
from ebayes_core.engine.budget import energies, excess, shared
from ebayes_core.engine.cohort import Cohort
from ebayes_core.errors import SpecError
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, LINEAR, cohort, trained
from tests.engine.test_fixed_point import exact_curvature

ENDS = ('training.schedule="cosine"', "training.epochs=4000")
SMALL = ("training.epochs=2", "network.hidden=[5, 3]", "dataset.test_fraction=0.3")


def closed_form(h: np.ndarray, energy: float, rho: float) -> tuple[float, np.ndarray]:
    """The multiplier and the sigmas of least loss sum h sigma^2 / 2 under sum sigma^-rho = energy."""
    k = rho / (rho + 2)
    c = ((h**k).sum() / energy) ** (1 / k) / rho
    return c, (c * rho / h) ** (1 / (rho + 2))


def test_the_closed_form_has_its_known_answers() -> None:
    h = np.array([1 / 4, 1, 4, 16, 64])
    for rho, c, performance, homogeneous in (
        (1 / 2, 0.36489524, 0.91223811, 2.6640625),
        (2, 1.20125, 12.0125, 21.3125),
    ):
        found, sigma = closed_form(h, 10.0, rho)
        assert math.isclose(found, c, rel_tol=1e-7)
        assert math.isclose((sigma**-rho).sum(), 10, rel_tol=1e-12)
        assert math.isclose(h @ sigma**2 / 2, performance, rel_tol=1e-7)
        assert math.isclose(h.sum() / 2 * (5 / 10) ** (2 / rho), homogeneous, rel_tol=1e-12)
    np.testing.assert_allclose(sigma**-2 / 10, np.array([1, 2, 4, 8, 16]) / 31)


@pytest.mark.parametrize("cost, rho", [("calcium", 1 / 2), pytest.param("trafficking", 2.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    # of descent, the noise of single draws in a step of finite length; its multiplier is a mean over some 160 draws of
    # 7 synapses, whose sum of squares has a relative s.d. of (2/7)^(1/2): a s.d. of 4%, three of which are allowed
    "sigma, tolerance, of_multiplier",
    [("fixed_point", 0.01, 0.01), pytest.param("descent", 0.04, 0.13, marks=pytest.mark.slow)],
)
def test_a_linear_readout_spends_its_budget_where_it_saves_most(
    registry: Registry, cost: str, rho: float, sigma: str, tolerance: float, of_multiplier: float
) -> None:
    budget = 'inference={kind="budget", energy=4.0}'
    c = cohort(registry, LINEAR, *ENDS, budget, f'training.sigma="{sigma}"', f'cost={{kind="{cost}"}}', compile=True)
    p = trained(c).parameters
    h = (c.formulas.examples * exact_curvature(c)).ravel().numpy()
    multiplier, known = closed_form(h, 4.0 * len(h), rho)
    np.testing.assert_allclose(p.spreads[0].sigma[0], known, rtol=tolerance)
    assert float(p.multipliers[0]) == pytest.approx(multiplier, rel=of_multiplier)
    assert abs(float(excess(c, p)[0]) - 1) < 0.01


@pytest.mark.parametrize("sigma", [pytest.param("descent", marks=pytest.mark.slow), "fixed_point"])
def test_the_dual_meets_a_budget_of_a_cost_that_is_no_power_law(registry: Registry, sigma: str) -> None:
    """Two costs, so the multiplier rises while too much is spent; found once more by bisection."""
    mixture = 'cost={kind="mixture", costs=[{kind="calcium", c=0.5}, {kind="trafficking", c=0.1}]}'
    options = (f'training.sigma="{sigma}"', 'inference={kind="budget", energy=4.0}', mixture)
    c = cohort(registry, LINEAR, *ENDS, *options, compile=True)
    assert not c.formulas.normalises
    p = trained(c).parameters
    assert abs(float(excess(c, p)[0]) - 1) < 0.02
    h = (c.formulas.examples * exact_curvature(c)).ravel().numpy()
    known = _by_bisection(h, 4.0)
    np.testing.assert_allclose(p.spreads[0].sigma[0], known, rtol=0.01 if sigma == "fixed_point" else 0.05)


def _by_bisection(h: np.ndarray, energy: float) -> np.ndarray:
    """The sigmas at which every synapse pays the same for what it saves, and they spend this energy on average."""
    grid = np.geomspace(1e-4, 10, 40_001)
    drives = 0.25 * grid**-0.5 + 0.2 * grid**-2.0
    low, high = -20.0, 20.0
    for _ in range(60):
        c = math.exp((low + high) / 2)
        sigma = grid[np.argmin(np.abs(np.log(h[:, None] * grid**2) - np.log(c * drives)), axis=1)]
        spent = (0.5 * sigma**-0.5 + 0.1 * sigma**-2.0).mean()
        low, high = ((low + high) / 2, high) if spent > energy else (low, (low + high) / 2)
    return sigma


def build(registry: Registry, per: str, *more: str) -> Cohort:
    options = (f'inference={{kind="budget", energy=3.0, per="{per}"}}', 'cost={kind="quantal_turnover"}', *SMALL[:2])
    return cohort(registry, DIGITS, *options, *more)


@pytest.mark.parametrize("per", ["network", "layer", "neuron", "synapse"])
@pytest.mark.parametrize("network", ["mlp", "convolutional"])
def test_each_unit_spends_what_it_may_from_the_start(registry: Registry, per: str, network: str) -> None:
    """Energies summed by hand over each unit; a kernel counts once for each of its positions."""
    images = ['dataset={kind="digits", layout="image"}', 'network={kind="convolutional", noise_per="position"}']
    options = [f'inference={{kind="budget", energy=3.0, per="{per}"}}', 'cost={kind="quantal_turnover"}']
    more = images if network == "convolutional" else [SMALL[1]]
    c = cohort(registry, DIGITS, *options, *more, "training.epochs=1")
    p = c.start().parameters
    paid = [n * t.double().numpy() for n, t in zip(c.copies, _energies_by_hand(c, p), strict=True)]
    counts = [n * s for n, s in zip(c.copies, c.sizes, strict=True)]
    if per == "network":
        found = [sum(t.sum(-1) for t in paid) / sum(counts)]
    elif per == "layer":
        found = [t.sum(-1) / n for t, n in zip(paid, counts, strict=True)]
    elif per == "neuron":
        found = [t.reshape(len(t), s[0], -1).mean(-1) / n for t, s, n in zip(paid, c.shapes, c.copies, strict=True)]
    else:
        found = [t / n for t, n in zip(paid, c.copies, strict=True)]
    for t in found:
        np.testing.assert_allclose(t, 3.0, rtol=1e-3)


def _energies_by_hand(c: Cohort, p):
    for mu, sigma in zip(p.mu, c.formulas.sigmas(p), strict=True):
        yield 1.6493848884661 * 0.05**0.2 * (((mu**2 + 1e-8) / sigma**2).double()) ** 0.2


def test_units_are_averaged_over_what_they_hold(registry: Registry) -> None:
    c = build(registry, "neuron")
    parts = [torch.arange(math.prod(s), dtype=torch.float32)[None].repeat(len(c), 1) for s in c.shapes]
    for t, mean, shape in zip(parts, shared(c, parts), c.shapes, strict=True):
        known = np.repeat(t[0].view(shape).double().numpy().mean(1), shape[1])
        np.testing.assert_allclose(mean[0], known)


def test_results_tell_multipliers_energy_and_margins(registry: Registry) -> None:
    c = build(registry, "layer", "training.epochs=3")
    p = (state := trained(c)).parameters
    (result,) = measure(c, state)
    spent = [float(t.double().mean()) for t in energies(c, p)]
    np.testing.assert_allclose(result.layer_metrics["energy"], spent, rtol=1e-5)
    assert np.abs(result.layer_metrics["budget_excess"]).max() < 0.05
    assert abs(result.metrics["budget_excess"]) == pytest.approx(np.abs(result.layer_metrics["budget_excess"]).max())
    for layer, multiplier in zip(result.layers, p.multipliers, strict=True):
        assert (layer["multiplier"] == float(multiplier)).all()
    balance, c_of = result.layer_metrics["balance"], np.array([float(m) for m in p.multipliers])
    relative = balance * c_of / (balance * c_of)[0]  # of the loss that a unit of energy saves: B times c
    np.testing.assert_allclose(result.layer_metrics["margin"] / result.layer_metrics["margin"][0], relative, rtol=1e-4)
    margins = result.layer_metrics["margin"]
    assert result.metrics["margin"] == pytest.approx(margins.max() / margins.min())


def test_an_interrupted_budget_resumes_to_the_bit(registry: Registry) -> None:
    whole, half = build(registry, "neuron"), build(registry, "neuron")
    half_way = checkpoint.unpack(checkpoint.pack(trained(half, steps=13)), half)
    end, resumed = trained(whole).parameters, trained(half, half_way).parameters
    for a, b in zip(end.tensors(), resumed.tensors(), strict=True):
        assert torch.equal(a, b)


def test_a_multiplier_beside_a_budget_is_refused(registry: Registry) -> None:
    for cost in ('{kind="calcium", c=0.1}', '{kind="calcium", s=0.1}'):
        with pytest.raises(
            SpecError, match="finds the multiplier from its budget; leave out the one of the cost 'calcium'"
        ):
            cohort(registry, LINEAR, 'inference={kind="budget", energy=3.0}', f"cost={cost}")


def test_a_budget_that_growing_weights_meet_is_warned_of(registry: Registry, caplog) -> None:
    free = cohort(registry, DIGITS, 'inference={kind="budget", energy=3.0}', 'cost={kind="calcium"}', *SMALL[:2])
    preflight.check(free, free.start())
    assert "the energy of the cost 'calcium' falls as means and sigmas grow together" in caplog.text
    caplog.clear()
    kept = build(registry, "network")
    preflight.check(kept, kept.start())
    assert not caplog.text
