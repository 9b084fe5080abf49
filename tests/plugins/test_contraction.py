"""Powers of the amount of data and of the price: those that were planted, at the optimum, and in theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ebayes_core.errors import UserError
from ebayes_core.report.figures import house_figure
from ebayes_plugins.analyses._arms import arm, common
from ebayes_plugins.analyses._contraction_figure import curve
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses.contraction import Contraction
from ebayes_plugins.analyses.uncertainty import compared
from tests.plugins.test_analyses import FakeRun

RHO = {"calcium": 0.5, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}
AMOUNTS, PRICES, MIDDLE = (200, 600, 1800), (0.01, 0.1, 1.0), 0.1
BAYES = {"kind": "variational_bayes", "prior": "gaussian", "scale": 1e6}
LOSS = 0.3  #: power of N with which the planted curvature per example falls


class Optimal(FakeRun):
    """Networks at their optimum, whose curvature per example falls as N^-LOSS; a third of each layer is flat."""

    def metric(self, name: str) -> np.ndarray:
        if name == "n_examples":
            return np.array([float(m["examples"]) for m in self.members])
        return np.ones(self.n_members)

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        m = self.members[i]
        h = np.exp(np.random.default_rng([m["seed"], layer]).normal(-3, 1, (6, 10))) * m["examples"] ** -LOSS
        h[:2] = 0.0
        if m["examples"] == AMOUNTS[0]:
            h[2, 0] = 0.0  # flat with few data only: left out of all
        if name == "mu":
            return np.ones_like(h)
        if name != "sigma":
            return h
        with np.errstate(divide="ignore"):
            flat = self._sigma(m, m["examples"] * h) if m.get("noise") == "homogeneous" else 7.0
            return np.where(h > 0, self._sigma(m, m["examples"] * h), flat)

    def _sigma(self, m: dict[str, Any], curvature: np.ndarray) -> Any:
        if m.get("inference", {}).get("kind") == "variational_bayes":
            return curvature**-0.5
        rho = m["cost"].get("rho") or RHO[m["cost"]["kind"]]
        if m.get("noise") == "homogeneous":
            every = np.concatenate([self.layer(self.members.index(m), k, "gauss_newton_noise") for k in (1, 2)])
            return (m["cost"]["c"] * rho / (m["examples"] * every.mean())) ** (1 / (rho + 2)) + 0 * curvature
        return (m["cost"]["c"] * rho / curvature) ** (1 / (rho + 2))


def population(amounts: tuple[int, ...] = AMOUNTS, prices: tuple[float, ...] = PRICES) -> Optimal:
    kinds = [{"cost": {"kind": kind}} for kind in RHO]
    kinds += [{"cost": {"kind": "membrane"}, "inference": BAYES}]
    at = [(n, MIDDLE) for n in amounts] + [(amounts[-1], c) for c in prices if c != MIDDLE]
    members = [
        {**kind, "cost": {**kind["cost"], "c": c}, "examples": n, "seed": seed}
        for kind in kinds for n, c in at for seed in range(2)
    ]  # fmt: skip
    swept = {"cost.c": [m["cost"]["c"] for m in members], "dataset.examples": [m["examples"] for m in members]}
    return Optimal(members, swept, None)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return Contraction().measure(population())


def test_the_powers_are_the_planted_ones_and_the_optimums(arrays: Arrays) -> None:
    rows = Contraction().statistics(arrays)
    assert len(rows["network"]) == 10 and set(rows["seeds"]) == {2}
    for i, (axis, kind) in enumerate(zip(rows["of"], rows["network"], strict=True)):
        size = 1.0 if kind.startswith("Bayes") else 2 / (RHO[kind] + 2)
        data = axis == "amount of data N"
        known = -size * (1 - LOSS) if data else size * (not kind.startswith("Bayes"))
        np.testing.assert_allclose(rows["power found"][i], known, atol=1e-9)
        np.testing.assert_allclose(rows["at the optimum"][i], known, atol=1e-9)
        np.testing.assert_allclose(rows["at constant curvature"][i], -size if data else known, atol=1e-12)
        np.testing.assert_allclose(rows["curvature's power"][i], -LOSS if data else 0, atol=1e-9)
        np.testing.assert_allclose(rows["± (seeds)"][i], 0, atol=1e-9)


def test_the_same_synapses_are_compared_at_every_amount_of_data(arrays: Arrays) -> None:
    assert set(arrays["n"]) == {2 * (40 - 1)}, "those that are flat anywhere are left out everywhere"


def test_sigmas_off_their_optimum_are_told_from_it() -> None:
    """sigma that does not react to the data at all, beside the optimum that does."""

    class Stuck(Optimal):
        def _sigma(self, m: dict[str, Any], curvature: np.ndarray) -> Any:
            return 0.2 + 0 * curvature

    some = population().members[:10]  # calcium
    arrays = Contraction().measure(Stuck(some, {"cost.c": [m["cost"]["c"] for m in some]}, None))
    assert (np.abs(arrays["fit_solved"]) > 0.5).all()
    np.testing.assert_allclose(arrays["fit_found"], 0, atol=1e-12)


@pytest.mark.parametrize("kind", ["calcium", "trafficking"])
def test_one_sigma_for_all_has_the_power_of_its_cost(kind: str) -> None:
    members = [
        {"cost": {"kind": kind, "c": MIDDLE}, "noise": "homogeneous", "examples": n, "seed": seed}
        for n in AMOUNTS for seed in (0, 1)
    ]  # fmt: skip
    run = Optimal(members, {"dataset.examples": [m["examples"] for m in members]}, None)
    arrays = Contraction().measure(run)
    means = [np.mean([run.layer(i, k, "gauss_newton_noise").mean() for k in (1, 2)]) for i in range(len(members))]
    summed = np.log(means).reshape(3, 2) + np.log(AMOUNTS)[:, None]  # ln of the mean curvature, by N and seed
    known = -2 / (RHO[kind] + 2) * np.polyfit(np.log(AMOUNTS), summed, 1)[0]
    np.testing.assert_allclose(arrays["fit_solved"], known, atol=1e-9)
    np.testing.assert_allclose(arrays["fit_found"], known, atol=1e-9)


def test_curves_are_relative_to_the_most_data_and_to_the_middle_price(arrays: Arrays) -> None:
    at, y, half = curve(arrays, "data", "actin")
    np.testing.assert_allclose(at, AMOUNTS)
    np.testing.assert_allclose(y, (np.array(AMOUNTS) / AMOUNTS[-1]) ** (-0.6 * (1 - LOSS)))
    np.testing.assert_allclose(half, 0, atol=1e-9)
    at, y, _ = curve(arrays, "price", "actin")
    np.testing.assert_allclose(at, [0.1, 1, 10])
    np.testing.assert_allclose(y, at**0.6)


def test_the_figure_says_what_was_found(arrays: Arrays) -> None:
    with house_figure() as figure:
        Contraction().draw(arrays, figure)
    title = " ".join(figure.get_suptitle().split())
    assert title == (
        "σ² goes with the amount of data N to the power -0.7 under variational Bayes, -0.56 to -0.35 under energies; "
        "with the price c to the power 0 under variational Bayes, 0.5 to 0.8 under energies."
    )
    names = [t.get_text() for t in figure.axes[2].get_yticklabels()]
    assert names[:-1] == [*RHO] and names[-1].startswith("Bayes, ") and names[-1].endswith("scale 1e+06")


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(UserError, match=r'"dataset.examples" = \[200, 400, 800\]'):
        Contraction().measure(population(AMOUNTS[:1], (MIDDLE,)))


def test_the_common_value_is_the_one_with_most_others() -> None:
    assert common(np.array([1.0, 1.0, 1.0, 2.0, 3.0]), np.array([1, 2, 3, 1, 1])) == 1
    assert common(np.array([1.0, 2.0, 3.0]), np.array([5, 5, 5])) == 2


def swept(members: list[dict[str, Any]], *fields: str) -> Optimal:
    """Networks whose tables of these slots, or fields of training, were swept, as was the amount of data."""
    values = {name: [m.get(name) or m["training"][name.split(".")[1]] for m in members] for name in fields}
    return Optimal(members, {**values, "dataset.examples": [m["examples"] for m in members]}, None)


def test_costs_of_one_kind_with_other_fields_are_arms_of_their_own() -> None:
    costs = [{"kind": "power_law", "rho": rho, "c": MIDDLE} for rho in (0.5, 4.0)]
    members = [{"cost": cost, "examples": n, "seed": seed} for cost in costs for n in AMOUNTS for seed in (0, 1)]
    rows = Contraction().statistics(Contraction().measure(swept(members, "cost")))
    assert rows["network"].tolist() == ["power_law rho = 0.5", "power_law rho = 4"]
    np.testing.assert_allclose(rows["power found"], [-(1 - LOSS) * 2 / 2.5, -(1 - LOSS) * 2 / 6])
    np.testing.assert_allclose(rows["at constant curvature"], [-2 / 2.5, -2 / 6])


def test_epochs_make_another_arm_unless_they_follow_the_amount_of_data() -> None:
    def arms(*at: tuple[int, int]) -> list[str]:
        members = [{"cost": {"kind": "actin"}, "examples": n, "training": {"epochs": epochs}} for n, epochs in at]
        run = swept(members, "training.epochs")
        return [arm(run, i) for i in range(len(at))]

    assert arms((200, 9), (1800, 1)) == ["actin", "actin"]
    assert arms((200, 2), (200, 20)) == ["actin, epochs = 2", "actin, epochs = 20"]


def test_objectives_are_told_apart_and_a_cost_that_is_not_paid_makes_no_network() -> None:
    tables = [{"kind": "budget", "energy": 3.0}, {"kind": "variational_continual", "scale": 2.0}, BAYES]
    kinds = [(cost, table) for cost in RHO for table in tables]
    members = [
        {"cost": {"kind": kind, "c": MIDDLE}, "inference": table, "examples": 200, "seed": 0} for kind, table in kinds
    ]
    run = swept(members, "cost", "inference")
    assert {arm(run, i) for i in range(len(members))} == {
        *(f"{kind}, budget energy = 3" for kind in RHO), "Bayes, Gaussian prior of scale 1e+06",
        "Bayes, Gaussian prior of scale 2, variational_continual",
    }  # fmt: skip
    chosen = [arm(run, i) for i in compared(run)]
    assert len(chosen) == len(set(chosen)) == 6


@pytest.mark.parametrize(
    ("cost", "inference", "data", "price"),
    [
        ("entropic", "energy_efficient", -1, 1),
        ("quantal_turnover", "energy_efficient", -5 / 6, 5 / 6),  # rho = 2/5 with n, p, q free
        ("membrane", "budget", 0, 0),
        ("membrane", "variational_continual", -1, 0),
    ],
)
def test_theory_is_that_of_the_objective(cost: str, inference: str, data: float, price: float) -> None:
    class Still(Optimal):
        def _sigma(self, m: dict[str, Any], curvature: np.ndarray) -> Any:
            return 0.01 + 0 * curvature + 1e-6 * np.arange(10)

    at = [(200, 0.1), (1800, 0.1), (1800, 1.0)]
    members = [
        {"cost": {"kind": cost, "c": c}, "inference": {"kind": inference}, "examples": n, "seed": 0} for n, c in at
    ]
    rows = Contraction().statistics(Contraction().measure(Still(members, {}, None)))
    np.testing.assert_allclose(rows["at constant curvature"], [data, price], atol=1e-6)
