"""Figure 7 on artificial networks: planted lines, ellipses and shifts are recovered, and the claims judge them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.claim import CONSTRUCTED, FAILED, HELD, OPEN
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._posterior_claims import mechanisms
from ebayes_plugins.analyses._posterior_numbers import median_gap
from ebayes_plugins.analyses.posterior import Posterior
from tests.drawn import examples, words
from tests.plugins.test_analyses import FakeRun, figure_of, legible, wobbling

N = 500
RHO = {"calcium": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}
ENTROPY = {"kind": "entropic"}
BAYES, ENERGY = {"kind": "variational_bayes"}, {"kind": "energy_efficient"}
SCALES = (0.01, 0.03, 0.1)


class Beside(FakeRun):
    """Networks with the same seed: the posterior's variance depends on the seed, and the others are computed from it.

    variance_of(member, its table, posterior variance) is sigma^2; the curvature is 1 / (N posterior variance).
    """

    def __init__(self, members: list[dict[str, Any]], variance_of: Any, shape: tuple[int, int] = (20, 30)):
        swept = {"cost": [m["cost"] for m in members], "inference": [m["inference"] for m in members]}
        super().__init__(members, swept, None)
        self.variance_of, self.shape = variance_of, shape

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        drawn = np.exp(np.random.default_rng([self.seeds[i], layer]).normal(-2, 1, self.shape))
        mine = self.members[i]
        if name == "sigma":
            bayes = mine["inference"] is BAYES
            variance = drawn if bayes else self.variance_of(i, mine, drawn) + 0 * drawn
            return np.sqrt(variance) if mine.get("noise", "") != "none" else 0 * drawn
        h = 1 / (N * drawn)
        h[: mine.get("flat", 0)] = 0.0
        return h if name == "gauss_newton_noise" else np.ones_like(drawn)

    layer_metrics = ("balance", "n_synapses")  #: as in a file of before networks had copies of synapses

    def layer_metric(self, name: str) -> np.ndarray:
        return np.arange(self.n_members)[:, None] / 10 + np.array([0.8, 0.9])


def population(kinds: tuple[str, ...] = tuple(RHO), seeds: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The posterior of each seed first, then mechanisms at every s."""
    bayes = [{"cost": ENTROPY, "inference": BAYES, "seed": seed} for seed in range(seeds)]
    costs = [{"kind": kind, "s": s} for s in SCALES for kind in kinds]
    return bayes + [{"cost": c, "inference": ENERGY, "seed": seed, **more} for c in costs for seed in range(seeds)]


def optimal(i: int, member: dict[str, Any], posterior: np.ndarray) -> np.ndarray:
    """Appendix 5: sigma^2 = (s^rho sigma_post^2)^(2/(rho+2))."""
    rho, s = RHO[member["cost"]["kind"]], member["cost"]["s"]
    return (s**rho * posterior) ** (2 / (rho + 2))


def verdicts(arrays: dict[str, np.ndarray], start: str) -> set[str]:
    (claim,) = (claim for claim in Posterior.claims if claim.statement.startswith(start))
    return {claim.verdict(part) for part in claim.measure(Posterior(), arrays)}


@given(st.floats(0.2, 6), st.floats(1e-3, 1e3), st.sampled_from(["variational", "laplace"]))
@examples(15)
def test_synapses_on_the_analytic_line_give_its_slope_and_offset(rho: float, c: float, against: Any) -> None:
    members = [
        {"cost": ENTROPY, "inference": BAYES},
        {"cost": {"kind": "power_law", "rho": rho, "c": c}, "inference": ENERGY},
    ]
    found = Posterior(against=against).measure(Beside(members, lambda i, m, v: (c * rho * v) ** (2 / (rho + 2))))
    assert found["slope"] == pytest.approx(2 / (rho + 2)) == found["spread_ratio"]
    assert found["analytic_slope"] == pytest.approx(2 / (rho + 2), rel=1e-5)
    assert found["intercept"] == pytest.approx(2 / (rho + 2) * np.log10(c * rho), abs=1e-6)
    assert found["above"] == pytest.approx(0, abs=1e-6) and found["rank_correlation"] == pytest.approx(1)
    np.testing.assert_allclose(found["line_y"], found["intercept"] + found["slope"] * found["line_x"], atol=1e-5)


def test_an_entropy_that_is_paid_for_is_the_posterior() -> None:
    members = [{"cost": ENTROPY, "inference": BAYES}, {"cost": {"kind": "entropic", "c": 1.0}, "inference": ENERGY}]
    found = Posterior().measure(Beside(members, lambda i, m, v: v))
    assert found["analytic_slope"] == pytest.approx(1) and found["slope"] == pytest.approx(1)
    assert found["above"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pair, ranks", [((0.1, 0.9), [60, 539]), ((0, 1), [0, 599])])  # of 600: 59.9 and 539.1
def test_planted_ellipses_give_their_axis_ratios(pair: tuple[float, float], ranks: list[int]) -> None:
    """The square root of all variances has half the log ratio; the pair is chosen by the posterior's rank."""
    found = Posterior(pair=pair).measure(Beside(population(("actin",)), lambda i, m, v: np.sqrt(v)))
    np.testing.assert_allclose(found["aspect"], found["posterior_aspect"] / 2)
    np.testing.assert_allclose(found["pair_y"], found["pair_x"] / 2)
    drawn = np.sort(np.log10(Beside(population(), optimal).layer(0, 2, "sigma").ravel() ** 2))
    np.testing.assert_allclose(found["pair_x"], np.tile(drawn[ranks], (3, 1)))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_median_gap_is_the_median_over_all_pairs(values: list[float]) -> None:
    gaps = sorted(abs(a - b) for a, b in combinations(values, 2))
    assert median_gap(np.array(values)) == pytest.approx(gaps[(len(gaps) - 1) // 2], abs=1e-9)


def test_mechanisms_are_paired_with_the_posterior_of_their_seed() -> None:
    found = Posterior().measure(Beside(population(seeds=3), optimal))
    np.testing.assert_array_equal(found["posterior"], found["seed"])
    assert mechanisms(found) == list(RHO)
    np.testing.assert_allclose(found["slope"], [2 / (RHO[str(name)] + 2) for name in found["mechanism"]])
    for name, s in RHO.items():
        assert found["c"][found["mechanism"] == name] == pytest.approx([v**s / s for v in SCALES for _ in range(3)])


def test_the_interval_over_seeds_is_students() -> None:
    tilt = lambda i, m, v: v ** (0.6 + 0.05 * m["seed"])
    table = Posterior().statistics(Posterior().measure(Beside(population(("actin",), seeds=3), tilt)))
    np.testing.assert_allclose(table["slope"], 0.65)
    np.testing.assert_allclose(table["± (seeds)"], 4.302653 * 0.05 / np.sqrt(3))  # t, 2 degrees of freedom
    np.testing.assert_array_equal(table["seeds"], 3)


@pytest.mark.parametrize(("seeds", "expected"), [(1, OPEN), (3, HELD)])
def test_the_theorys_own_networks_hold_every_claim(seeds: int, expected: str) -> None:
    """A single seed says nothing of others."""
    found = Posterior().measure(Beside(population(seeds=seeds), wobbling(optimal), (100, 100)))
    for claim in Posterior.claims:
        parts = list(claim.measure(Posterior(), found))
        assert {claim.verdict(part) for part in parts} == {expected}, claim.statement
        assert len(parts) in (12, 8, 9) and all("layer 2" in part.part and "B " in part.part for part in parts)


@pytest.mark.parametrize(
    ("planted", "statement"),
    [
        (lambda i, m, v: 1 / optimal(i, m, v), "optimal and posterior variance are positively"),
        (lambda i, m, v: optimal(i, m, v) ** 0.5, "slopes of log sigma^2"),
        (lambda i, m, v: v**1.2, "all slopes are below 1"),
        (lambda i, m, v: v ** (RHO[m["cost"]["kind"]] / 3), "slopes approach 1"),
        (lambda i, m, v: v ** (RHO[m["cost"]["kind"]] / 3), "ellipses are rounder"),
        (lambda i, m, v: v**1.2, "optimal noise is less heterogeneous"),
        (lambda i, m, v: v ** (0.3 + 3 * m["cost"]["s"] ** 0.5), "the slope does not depend on c"),
        (lambda i, m, v: v**0.5 / m["cost"]["s"], "larger c moves the line up"),
    ],
)
def test_networks_against_a_claim_do_not_hold_it(planted: Any, statement: str) -> None:
    assert verdicts(Posterior().measure(Beside(population(seeds=3), wobbling(planted))), statement) == {FAILED}


def test_the_posterior_of_the_solvers_own_curvature_proves_nothing() -> None:
    members = population(("actin",), seeds=3, training={"sigma": "fixed_point"})
    for against, expected in (("laplace", {CONSTRUCTED}), ("variational", {HELD})):
        analysis = Posterior(against=against)
        arrays, claim = analysis.measure(Beside(members, wobbling(optimal))), Posterior.claims[0]
        assert {claim.verdict(part) for part in claim.measure(analysis, arrays)} == expected


def test_a_shift_is_measured_at_equal_posterior_variance() -> None:
    found = Posterior().measure(Beside(population(("calcium",)), optimal))
    (claim,) = (claim for claim in Posterior.claims if "line up" in claim.statement)
    planted = 2 * 0.5 / 2.5 * np.diff(np.log10(SCALES))
    np.testing.assert_allclose([part.value for part in claim.measure(Posterior(), found)], planted)


def test_flat_synapses_are_left_out_of_both() -> None:
    members = population(("actin",), flat=3)
    members[0]["flat"] = 5
    found = Posterior().measure(Beside(members, optimal))
    np.testing.assert_array_equal(found["n"], 600 - 5 * 30)
    np.testing.assert_array_equal(found["flat"], 5 * 30)
    np.testing.assert_array_equal(Posterior(against="laplace").measure(Beside(members, optimal))["flat"], 3 * 30)


def test_it_says_what_the_spec_lacks() -> None:
    members = population()
    with pytest.raises(UserError, match=r"variational_bayes.*against = \"laplace\""):
        Posterior().measure(Beside(members[1:], optimal))
    with pytest.raises(UserError, match="energy_efficient"):
        Posterior().measure(Beside(members[:1], optimal))
    with pytest.raises(UserError, match="energy_efficient"):
        Posterior().measure(Beside(population(noise="none"), optimal))
    with pytest.raises(UserError, match="variational_bayes"):
        Posterior().measure(Beside([{**members[0], "noise": "none"}, *members[1:]], optimal))
    with pytest.raises(UserError, match="networks 0, 1 are all posteriors"):
        Posterior().measure(Beside([members[0], *members], optimal))
    with pytest.raises(UserError, match="layer = 3: network 0 has 2 layers"):
        Posterior(layer=3).measure(Beside(members, optimal))


def test_a_diverged_network_is_left_out_and_said_so(tmp_path: Any) -> None:
    members = population(seeds=2)
    members[1]["status"] = members[4]["status"] = "diverged at step 3"
    found = Posterior().measure(Beside(members, optimal))
    assert set(found["seed"]) == {0} and found["skipped"] == [13]
    assert "or diverged): 13" in words(figure_of(Posterior(), found, tmp_path))


CASES = {
    "all": (population(), (20, 30)),
    "one mechanism": (population(("trafficking",)), (20, 30)),
    "seeds": (population(seeds=2), (20, 30)),
    "all flat": (population(flat=20), (20, 30)),
    "one synapse": (population(), (1, 2)),
    "a mechanism with one c": (population()[:-2], (20, 30)),
}


@pytest.mark.parametrize(
    ("case", "against"),
    [
        pytest.param(case, against, marks=pytest.mark.slow if (case == "all") == (against == "variational") else [])
        for case in CASES
        for against in ("variational", "laplace")
    ],
)
def test_the_figure_is_legible_and_finite(case: str, against: Any, tmp_path: Any) -> None:
    members, shape = CASES[case]
    analysis = Posterior(against=against)
    arrays = analysis.measure(Beside(members, optimal, shape))
    figure = figure_of(analysis, arrays, tmp_path)
    legible(figure)
    assert all("weight" in ax.get_xlabel() + ax.get_ylabel() or "c =" in ax.get_title() for ax in figure.axes)
    assert len({len(column) for column in analysis.statistics(arrays).values()}) == 1
    for claim in analysis.claims:
        assert {claim.verdict(part) for part in claim.measure(analysis, arrays)} <= {HELD, FAILED, OPEN}


def test_the_ellipses_have_two_standard_deviations_equal_areas_and_equal_axes(tmp_path: Any) -> None:
    """Each is in units of the geometric mean of its two standard deviations."""
    found = Posterior().measure(Beside(population(), optimal))
    ax = figure_of(Posterior(), found, tmp_path).axes[0]
    assert ax.get_aspect() == 1
    for line, log_variance in ((ax.lines[1], found["pair_x"][0]), (ax.lines[0], found["pair_y"][0])):
        reach = [np.max(line.get_ydata()), np.max(line.get_xdata())]
        np.testing.assert_allclose(reach, 2 * 10 ** ((log_variance - log_variance.mean()) / 2), rtol=1e-3)
