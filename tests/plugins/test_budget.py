"""Budgets: planted synapses whose sigma solves each budget exactly have the slopes that theory says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.stats import linregress

from ebayes_core.errors import UserError
from ebayes_plugins.analyses import _budget_slopes as slopes
from ebayes_plugins.analyses._budget_slopes import PER, Synapses
from ebayes_plugins.analyses.budget import Budget, _own
from tests.plugins.test_analyses import FakeRun, N, figure_of, power, sweep

NEURONS, INPUTS = 7, 23


def solved(h: np.ndarray, size: np.ndarray, energy: float, rho: float, unit: np.ndarray) -> np.ndarray:
    """The sigma of least expected loss where each unit has this mean energy, sum (size / sigma)^rho / n = energy.

    By the root of each unit's energy in its multiplier, without the closed form of the analysis.
    """
    sigma = np.empty_like(h)
    for u in np.unique(unit):
        mine = unit == u
        at = lambda log_c, mine=mine: (np.exp(log_c) * rho * size[mine] ** rho / h[mine]) ** (1 / (rho + 2))
        excess = lambda log_c, mine=mine, at=at: np.log(((size[mine] / at(log_c)) ** rho).mean() / energy)
        sigma[mine] = at(brentq(excess, -80, 80, xtol=1e-13))
    return sigma


def planted(per: str, rho: float, alike: bool = False, sized: bool = False, layers: int = 1) -> Synapses:
    """Layers of 7 neurons with 23 synapses each, whose curvatures differ in level and, unless `alike`, in spread."""
    random = np.random.default_rng(5)
    n = layers * NEURONS * INPUTS
    neuron, layer = np.arange(n) // INPUTS, 1 + np.arange(n) // (NEURONS * INPUTS)
    z = np.tile(random.normal(size=INPUTS), layers * NEURONS)
    wide = 1.0 if alike else random.uniform(0.5, 2, layers * NEURONS)[neuron]
    x = random.normal(size=layers * NEURONS)[neuron] + 1.5 * layer + wide * z
    size = np.exp(random.normal(size=n)) if sized else np.ones(n)
    unit = {"network": 0 * neuron, "layer": layer, "neuron": neuron, "synapse": np.arange(n)}[per]
    sigma = solved(np.exp(x), size, 2.5, rho, unit)
    return Synapses(x, 2 * np.log(sigma), rho * np.log(size) + 3.0, layer, neuron)


@pytest.mark.parametrize(
    ("rho", "c", "loss", "alike"), [(0.5, 0.36489524, 0.91223811, 2.6640625), (2.0, 1.20125, 12.0125, 21.3125)]
)
def test_the_solver_of_these_tests_finds_the_known_answers(rho: float, c: float, loss: float, alike: float) -> None:
    h, one = np.array([0.25, 1.0, 4.0, 16.0, 64.0]), np.ones(5)
    sigma = solved(h, one, 2.0, rho, 0 * h)  # a mean of 2 is a total of 10
    np.testing.assert_allclose(h * sigma ** (rho + 2) / rho, c, rtol=1e-7)
    assert 0.5 * h @ sigma**2 == pytest.approx(loss, rel=1e-7) == pytest.approx(rho * c * 10 / 2, rel=1e-7)
    assert 0.5 * h.sum() * 2.0 ** (-2 / rho) == pytest.approx(alike)
    least = minimize(
        lambda y: 0.5 * h @ np.exp(2 * y), np.full(5, -0.5), method="SLSQP", options={"ftol": 1e-14},
        constraints={"type": "eq", "fun": lambda y: np.exp(-rho * y).sum() - 10},
    )  # fmt: skip
    assert least.fun == pytest.approx(loss, rel=1e-6)
    if rho == 2:
        np.testing.assert_allclose(sigma**-rho / 10, np.array([1, 2, 4, 8, 16]) / 31, rtol=1e-9)


@pytest.mark.parametrize("rho", [2 / 5, 2 / 3, 2.0])
@pytest.mark.parametrize("sized", [False, True], ids=["sigma", "sigma / |mu|"])
@pytest.mark.parametrize("per", PER)
def test_each_budget_has_its_slopes(per: str, sized: bool, rho: float) -> None:
    s, one = planted(per, rho, sized=sized), -2 / (rho + 2)
    assert slopes.within(s).value == pytest.approx(0 if per == "synapse" else one, abs=1e-9)
    alone = slopes.across(planted(per, rho, alike=True)).value
    assert alone == pytest.approx({"neuron": 0, "synapse": 0}.get(per, one), abs=1e-9), "neurons of one spread"
    if per in ("network", "layer"):
        assert slopes.across(s).value == pytest.approx(one, abs=1e-9)
    if per == "network":
        assert slopes.pooled(s).value == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize("sized", [False, True], ids=["sigma", "sigma / |mu|"])
@pytest.mark.parametrize("per", PER)
def test_what_is_expected_is_what_the_budget_makes(per: str, sized: bool) -> None:
    s = planted(per, 2 / 3, sized=sized, layers=3)
    implied = slopes.expected(s._replace(y=np.full_like(s.y, np.nan)), 2 / 3)[per]
    np.testing.assert_allclose(implied.y - implied.y.mean(), s.y - s.y.mean(), atol=1e-9)
    assert slopes.between_layers(implied) == pytest.approx(slopes.between_layers(s), abs=1e-9)


def test_the_means_of_neurons_with_a_budget_follow_the_spread_of_their_curvatures() -> None:
    rho = 2.0
    s, k = planted("neuron", rho), rho / (rho + 2)
    x = s.x.reshape(NEURONS, INPUTS)
    gap = np.log(np.exp(k * x).mean(1)) - k * x.mean(1)
    level = s.y.reshape(NEURONS, INPUTS).mean(1)
    np.testing.assert_allclose(level - level.mean(), 2 / rho * (gap - gap.mean()), atol=1e-9)
    assert slopes.across(s).value == pytest.approx(linregress(x.mean(1), 2 / rho * gap).slope)
    assert abs(slopes.across(s).value) > 0.01, "the spread varies with the level here"


def test_the_pooled_slope_mixes_those_within_and_across_by_their_variances() -> None:
    s = planted("neuron", 2 / 3)
    at = slopes.spread(s)
    mixed = (at.within * slopes.within(s).value + at.across * slopes.across(s).value) / (at.within + at.across)
    assert slopes.pooled(s).value == pytest.approx(mixed, rel=1e-9)


def test_the_slope_across_few_measured_synapses_is_that_of_repeated_experiments() -> None:
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=600), INPUTS) + np.tile(1.7 * random.normal(size=INPUTS), 600)
    neuron = np.arange(len(x)) // INPUTS
    s = Synapses(x, -0.8 * slopes.centred(x, neuron), 0 * x, 1 + 0 * neuron, neuron)
    chosen = np.argsort(random.random((40, 600, INPUTS)), -1)[:, :, :5]
    sample = [np.take_along_axis(v.reshape(1, 600, INPUTS), chosen, 2).mean(2) for v in (s.x, s.y)]
    found = np.mean([linregress(a, b).slope for a, b in zip(*sample, strict=True)])
    inner, outer = slopes.within(s).value, slopes.across(s).value
    (predicted,) = slopes.in_a_sample(inner, outer, slopes.spread(s), np.array([5]))
    assert outer == pytest.approx(0, abs=1e-9) and inner == pytest.approx(-0.8)
    assert predicted == pytest.approx(found, rel=0.03) and predicted < -0.15
    assert slopes.in_a_sample(inner, outer, slopes.spread(s), np.array([23.0]))[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("fit", [slopes.within, slopes.across, slopes.pooled])
def test_the_interval_over_neurons_covers_the_slope_as_often_as_it_says(fit: Any) -> None:
    """Residuals that neurons share, within as a slope of their own and across as an offset."""
    random = np.random.default_rng(2)
    neuron = np.repeat(np.arange(30), 11)
    covered = []
    for _ in range(400):
        x = random.normal(size=330) + random.normal(size=30)[neuron]
        y = (-0.7 + 0.2 * random.normal(size=30)[neuron]) * x + random.normal(size=30)[neuron]
        found = fit(Synapses(x, y + random.normal(size=330), 0 * x, 1 + 0 * neuron, neuron))
        covered.append(abs(found.value + 0.7) < found.half)
    assert 0.91 < np.mean(covered) < 0.985


def test_prices_are_budgets_of_the_network() -> None:
    found = Budget().measure(FakeRun(*sweep(seeds=3), power(2 / 3, 0.1)))
    assert set(found["budget"]) == {"price"}
    for name in ("within", "across", "pooled", "layers_slope"):
        np.testing.assert_allclose(found[name], -0.75, rtol=1e-4)
    for name in ("within", "across", "layers"):
        np.testing.assert_allclose(_own(found, f"{name}_expected"), -0.75, rtol=1e-4)
    np.testing.assert_allclose(found["within_half"], 0, atol=1e-6)
    np.testing.assert_allclose(found["rho"], 2 / 3, rtol=1e-4)
    assert set(found["neurons"]) == {17} and set(found["n"]) == {509, 510}, "three neurons and a synapse are flat"


class Budgeted(FakeRun):
    """Networks with a budget for each kind of unit, whose sigma solves it exactly."""

    layer_metrics = (*FakeRun.layer_metrics, "budget_excess", "margin")

    def __init__(self, rho: float) -> None:
        self.rho = rho
        members = [
            {"cost": {"kind": "power_law", "rho": rho}, "inference": {"kind": "budget", "energy": 2.0, "per": per}}
            for per in PER
        ]
        super().__init__(members, {"inference.per": list(PER)}, None)

    def layer_metric(self, name: str) -> np.ndarray:
        return np.arange(12.0).reshape(4, 3) if name in ("budget_excess", "margin") else super().layer_metric(name)

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        h = [super(Budgeted, self).layer(0, k, "gauss_newton_noise") for k in (1, 2)]
        if name != "sigma":
            return np.ones((20, 30)) if name == "mu" else h[layer - 1]
        flat = np.concatenate([part.ravel() for part in h])
        curved, index = flat > 0, np.arange(flat.size)
        unit = {"network": 0 * index, "layer": index // 600, "neuron": index // 30, "synapse": index}[PER[i]]
        sigma = np.full(flat.shape, 9.0)
        sigma[curved] = solved(N * flat[curved], np.ones(curved.sum()), 2.0, self.rho, unit[curved])
        return sigma.reshape(2, 20, 30)[layer - 1]


@pytest.mark.parametrize("rho", [2 / 3, 2.0])
def test_the_analysis_finds_the_budget_of_a_file(rho: float, tmp_path: Any) -> None:
    analysis, run = Budget(), Budgeted(rho)
    found = analysis.measure(run)
    assert found["budget"].tolist() == [per for per in PER for _ in range(2)]
    for name, own in (("within", "within"), ("across", "across"), ("layers_slope", "layers")):
        np.testing.assert_allclose(found[name], _own(found, f"{own}_expected"), atol=1e-6, err_msg=name)
    table = analysis.statistics(found)
    one = -2 / (rho + 2)
    np.testing.assert_allclose(table["within"], [one] * 6 + [0] * 2, atol=1e-6)
    np.testing.assert_allclose(table["across"][[0, 1, 2, 3, 6, 7]], [one] * 4 + [0] * 2, atol=1e-6)
    assert (np.abs(table["across"][4:6]) < 0.4 * abs(one)).all()
    assert table["sum R/E - 1"].tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert f"budget per network {one:.2f} and {one:.2f}" in analysis.headline(found)
    figure = figure_of(analysis, found, tmp_path)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), found["bins"][0, 2])
    np.testing.assert_allclose(figure.axes[7].lines[0].get_ydata(), found["neuron_y"][4][:17])


def test_a_cost_of_the_ratio_to_the_mean_holds_the_mean_still() -> None:
    """(|mu| / sigma)^rho: sigma^2 depends on H and mu, and on H alone the slope would be another."""

    class Means(FakeRun):
        def layer(self, i: int, layer: int, name: str) -> np.ndarray:
            h = super().layer(i, layer, "gauss_newton_noise")
            random = np.random.default_rng(layer).normal(size=h.shape)
            mu = np.exp(random) * np.where(h > 0, h, 1.0) ** 0.4
            if name == "sigma":
                effective = np.sqrt(mu**2 + 1e-3**2)
                with np.errstate(divide="ignore", invalid="ignore"):
                    return np.where(h > 0, (0.1 * 2 * effective**2 / (N * h)) ** 0.25, 0.7)
            return mu if name == "mu" else h

    costs = [{"kind": "cv", "rho": 2.0, "c": 0.1}]
    found = Budget().measure(Means([{"cost": cost} for cost in costs], {}, None))
    np.testing.assert_allclose(found["within"], -0.5, rtol=1e-6)
    np.testing.assert_allclose(found["across"], -0.5, rtol=1e-6)
    np.testing.assert_allclose(found["rho"], 2.0, rtol=1e-4)


def test_without_sigmas_that_differ_there_is_no_slope() -> None:
    with pytest.raises(UserError, match="no network has sigmas that differ"):
        Budget().measure(FakeRun(*sweep(noise="homogeneous"), power(1, 1)))
