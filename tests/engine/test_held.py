"""Means that are held: sigma is trained alone, by every step and every noise, and ends at its closed form."""

from __future__ import annotations

import itertools

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import preflight
from ebayes_core.engine.checkpoint import pack, unpack
from ebayes_core.engine.cohort import State
from ebayes_core.engine.minibatch import ingredients
from ebayes_core.engine.native import NoCompiler, native
from ebayes_core.engine.objective import gradients
from ebayes_core.engine.step import make_step
from ebayes_core.errors import PluginError, UserError
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, LINEAR, cohort, trained

HELD, SOLVE = 'training.means="held"', 'training.sigma="fixed_point"'
WAYS = {
    "descent": (), "fixed_point": (SOLVE,), "homogeneous": ('noise={kind="homogeneous"}',),
    "multiplicative": ('noise={kind="multiplicative"}', SOLVE), "log_normal": ('noise={kind="log_normal"}',),
    "binomial": ('noise={kind="binomial"}',), "sgd": ('optimizer={kind="sgd"}',), "ivon": ('optimizer={kind="ivon"}',),
}  # fmt: skip


def values(state: State) -> list[torch.Tensor]:
    return [*state.parameters.tensors(), *state.weights, state.xi]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_means_stay_to_the_bit_and_sigma_moves(registry: Registry, way: tuple[str, ...]) -> None:
    c = cohort(registry, DIGITS, HELD, *way)
    before = c.start()
    state = trained(c)
    assert all(map(torch.equal, state.parameters.mu, before.parameters.mu))
    assert all(m.memory == () for m in state.parameters.means)
    for free, parts in state.parameters.free.items():
        for now, start in zip(parts, before.parameters.free[free], strict=True):
            assert not torch.equal(now.value, start.value)


@pytest.mark.parametrize("noise", ["heterogeneous", "homogeneous", "multiplicative"])
def test_sigma_has_the_gradient_that_it_has_beside_trained_means(registry: Registry, noise: str) -> None:
    named = f'noise={{kind="{noise}"}}'
    found = []
    for means in ("trained", "held"):
        c = cohort(registry, DIGITS, f'training.means="{means}"', named)
        state = c.start()
        given, _ = ingredients(c, state)
        for g in given.gradient:
            g.normal_(generator=torch.Generator().manual_seed(1))
        found.append(gradients(c.formulas, state.parameters, given.gradient, given.noise))
    for both, alone in zip(*found, strict=True):
        assert alone[0] == []
        assert all(map(torch.equal, both[1]["phi"], alone[1]["phi"]))


def test_sigma_ends_at_the_closed_form_for_a_linear_readout(registry: Registry) -> None:
    """sigma**(rho + 2) = c rho / N h with h = mean x**2 / noise_sd**2, whatever the means are (Eq. 29)."""
    rho, cost = 1.5, 0.7
    c = cohort(
        registry, LINEAR, HELD, SOLVE, "training.epochs=500", f'cost={{kind="power_law", rho={rho}, c={cost}}}'
    )  # fmt: skip
    state = trained(c)
    x = torch.cat([c.data.x, torch.ones(len(c.data.x), 1, dtype=c.dtype)], 1)
    h = x.square().mean(0) / 0.5**2
    known = (cost * rho / (c.data.examples * h)) ** (1 / (rho + 2))
    (sigma,) = c.formulas.sigmas(state.parameters)
    torch.testing.assert_close(sigma[0], known, rtol=0.02, atol=0)


@pytest.mark.parametrize("way", [(), (SOLVE,)], ids=["descent", "fixed_point"])
def test_training_resumes_to_the_bit(registry: Registry, way: tuple[str, ...]) -> None:
    c = cohort(registry, DIGITS, HELD, *way)
    whole = trained(c)
    half = trained(c, steps=37)
    resumed = trained(c, unpack(pack(half), c))
    assert all(map(torch.equal, values(resumed), values(whole)))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_step_in_c_is_the_plain_one(registry: Registry, way: tuple[str, ...]) -> None:
    c = cohort(registry, DIGITS, HELD, 'training.dtype="float64"', *way)
    found = []
    for compiled in (False, True):
        state = trained(c, steps=5)
        given, next_xi = ingredients(c, state)
        for g in given.gradient:
            g.normal_(generator=torch.Generator().manual_seed(1))
        given.clock.fill_(6)
        c.noise.fill(next_xi, given.clock)
        step = make_step(c.formulas)
        if compiled:
            try:
                native(step, state.parameters, state.weights, state.alive, given)(given)
            except NoCompiler as error:
                pytest.skip(str(error))
        else:
            with torch.no_grad():
                step(state.parameters, state.weights, given, state.alive)
        found.append(values(state))
    for ours, theirs in itertools.zip_longest(*found):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_the_magnitude_balance_is_that_of_trained_means(registry: Registry) -> None:
    c = cohort(registry, DIGITS, HELD, "training.epochs=1")
    (found,) = measure(c, trained(c))
    assert found.metrics["magnitude_balance"] != found.metrics["magnitude_balance"]
    assert found.metrics["balance"] > 0
    assert (found.layer_metrics["magnitude_balance"] != found.layer_metrics["magnitude_balance"]).all()


def test_a_mean_of_zero_is_no_mistake_if_it_is_held(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """|mu|**0.5 has no derivative there, which only trained means need."""
    root = lambda self, mu, sigma: mu.abs() ** 0.5
    monkeypatch.setattr(type(cohort(registry, DIGITS).member.inference), "magnitude_cost", root)
    c = cohort(registry, DIGITS, HELD)
    state = c.start()
    for mean in state.parameters.means:
        mean.value[:, ::2] = 0
    preflight.check(c, state)
    assert all(w.isfinite().all() for w in trained(c, state, 3).weights)
    moved = cohort(registry, DIGITS)
    with pytest.raises(PluginError, match="magnitude_cost"):
        preflight.check(moved, moved.start())


def test_nothing_to_train_is_refused(registry: Registry) -> None:
    c = cohort(registry, DIGITS, HELD, 'noise={kind="none"}')
    with pytest.raises(UserError, match="the noise 'none' has no free parameters, so nothing would be trained"):
        preflight.check(c, c.start())
