"""What chance does to verdicts: p values, Holm's correction, and how many seeds settle an open verdict."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ebayes_core.contract.claim import Claim, Measured
from ebayes_core.report.chance import LEVEL, holm, p_value, seeds_needed
from ebayes_core.report.claims import Finding, summary
from ebayes_plugins.analyses._intervals import by_ratio, by_seed, ranked

RISES = Claim(1, "it rises", "mean", (0.0, math.inf), lambda analysis, arrays: [])
FALLS = Claim(1, "it falls", "mean", (-math.inf, 0.0), lambda analysis, arrays: [])
AROUND = Claim(2, "it is the same", "difference", (-0.1, 0.1), lambda analysis, arrays: [])
BELOW = Claim(3, "it is smaller", "ratio", (-math.inf, 1.0), lambda analysis, arrays: [])
BETWEEN = Claim(4, "it is slightly smaller", "ratio", (0.5, 1.0), lambda analysis, arrays: [])


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_p_value_is_that_of_a_t_test(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, n)
    found = by_seed("", values)
    assert p_value(RISES, found) == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    two = [stats.ttest_1samp(values, end, alternative=way).pvalue for end, way in ((-0.1, "greater"), (0.1, "less"))]
    assert p_value(AROUND, found) == pytest.approx(max(two))


@pytest.mark.parametrize("logs", [[-2.3, -2.0, -2.6], [-0.3, -1.6, -0.5], [-0.3, -0.4, -0.38], [0.5, 0.2]])
def test_the_p_value_of_a_ratio_is_that_of_a_t_test_of_its_logarithm(logs: list[float]) -> None:
    found, below = by_ratio("", np.array(logs)), stats.ttest_1samp(logs, 0, alternative="less").pvalue
    above = stats.ttest_1samp(logs, np.log(0.5), alternative="greater").pvalue
    assert p_value(BELOW, found) == pytest.approx(below)
    assert p_value(BETWEEN, found) == pytest.approx(max(below, above))
    assert p_value(RISES, found) == 0  # no ratio is below 0


def test_an_interval_that_touches_the_threshold_has_the_level_as_p_value() -> None:
    assert p_value(RISES, Measured("", 1.0, 0.0, 2.0)) == pytest.approx(LEVEL)
    assert p_value(RISES, Measured("", 1.0, 0.0, 2.0, seeds=3)) == pytest.approx(LEVEL)
    assert p_value(RISES, Measured("", 1.0)) == p_value(RISES, Measured("", 1.0, 0.5, 1.5, unsettled="B 0.2")) == 1


def test_holm_is_the_published_procedure() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005], level=0.05) == [True, False, False, True]
    assert holm([0.001, 0.9], level=0.05) == [True, False] and holm([]) == []


def test_a_chance_sweep_is_held_in_at_most_5_percent_and_a_planted_effect_is_found() -> None:
    """15 networks at 9 values of c, as the specs of Figure 2 have them."""
    random, seed = np.random.default_rng(0), np.array([0] * 9 + [1] * 3 + [2] * 3)
    c = np.array([*range(9), 2, 4, 6, 2, 4, 6], float)
    luck, shared = random.normal(size=(1000, 15)), 3 * random.normal(size=(1000, 3))[:, seed]
    fair = [ranked("", c, y, seed) for y in luck + shared]
    held = np.mean([RISES.verdict(found) == "held" for found in fair])
    assert held <= 0.05
    assert np.mean([found.low > 0 or found.high < 0 for found in fair]) == pytest.approx(0.05, abs=0.02)
    assert all(RISES.verdict(ranked("", c, c + y, seed)) == "held" for y in (luck / 4 + shared)[:50])


@pytest.mark.parametrize("n", [3, 5])
def test_a_mean_of_chance_is_held_in_at_most_5_percent(n: int) -> None:
    found = [by_seed("", values) for values in np.random.default_rng(n).normal(size=(1000, n))]
    assert np.mean([RISES.verdict(one) == "held" for one in found]) == pytest.approx(LEVEL, abs=0.015)


def test_few_permutations_settle_nothing() -> None:
    x = np.arange(3.0)
    assert ranked("", x, x, np.zeros(3)).low == 0  # one of 6 permutations is as good
    assert np.isnan(ranked("", x, x, np.arange(3)).value)  # a network per seed
    assert np.isnan(ranked("", x, np.ones(3), np.zeros(3)).value)


@pytest.mark.parametrize(("seeds", "n"), [(1, 5), (2, 4), (3, 3), (6, 2), (8, 2)])
def test_the_p_value_of_a_perfect_order_is_the_share_of_permutations_that_reach_it(seeds: int, n: int) -> None:
    x, seed, share = np.tile(np.arange(float(n)), seeds), np.repeat(np.arange(seeds), n), math.factorial(n) ** -seeds
    found, spread = ranked("", x, x, seed), math.sqrt(share / 4000)
    assert p_value(RISES, found) == pytest.approx(share, abs=4 * spread + 1 / 4000)
    assert p_value(FALLS, ranked("", x, -x, seed)) == pytest.approx(share, abs=4 * spread + 1 / 4000)
    assert p_value(RISES, ranked("", x, -x, seed)) == 1


@pytest.mark.parametrize("y", [[0, 1, 2, 3, 4.0], [1, 0, 2, 3, 4.0], [0, 2, 1, 4, 3.0], [4, 3, 2, 1, 0.0]])
def test_a_permutation_test_and_its_interval_agree(y: list[float]) -> None:
    found = ranked("", np.arange(5.0), np.array(y), np.zeros(5))
    assert (found.low > 0) == (p_value(RISES, found) < LEVEL)


@pytest.mark.parametrize("value", [-0.5, 0.1])  # three times 0.1 has a mean that is not 0.1
def test_few_seeds_of_one_value_settle_nothing(value: float) -> None:
    """The chance that n seeds are all on one side of the median is that of n heads."""
    few, many = (by_seed("", np.full(n, value)) for n in (5, 6))
    assert (BELOW.verdict(few), p_value(BELOW, few), seeds_needed(BELOW, few)) == ("open", 1, 6)
    assert "no spread over 5 seeds" in few.doubt
    assert (BELOW.verdict(many), p_value(BELOW, many)) == ("held", 0.5**6)
    outside = by_seed("", np.full(6, value + 2))
    assert (BELOW.verdict(outside), p_value(BELOW, outside)) == ("not held", 1)
    assert BELOW.verdict(by_seed("", np.full(2, value), because="a formula")) == "by construction"


def test_the_rank_correlation_is_within_seeds() -> None:
    """Seeds that differ in level neither make a correlation nor hide one."""
    x, seed = np.tile(np.arange(5.0), 3), np.repeat([0, 1, 2], 5)
    assert ranked("", x, x - 100 * seed, seed).value == pytest.approx(1)
    assert ranked("", x, np.r_[x[:10], np.nan, x[11:]] + 100 * seed, seed).value == pytest.approx(1)


@pytest.mark.parametrize(("value", "spread"), [(0.4, 1.0), (-0.4, 1.0), (0.3, 2.0)])
def test_so_many_seeds_settle_an_open_verdict(value: float, spread: float) -> None:
    found = by_seed("", value + spread * np.array([-1.0, 0, 1]))
    n = seeds_needed(RISES, found)
    assert n is not None
    half = lambda k: stats.t.ppf(0.975, k - 1) * spread / np.sqrt(k)
    assert half(n) < abs(value) <= half(n - 1)
    assert seeds_needed(RISES, found._replace(seeds=0)) is None
    assert seeds_needed(BELOW, by_ratio("", value + spread * np.array([-1.0, 0, 1]))) == n


def test_the_summary_counts_each_verdict_once() -> None:
    sure, open_ = Measured("a", 1.0, 0.9, 1.1, "3 seeds", 3), Measured("b", 1.0, -1.0, 3.0, "3 seeds", 3)
    of = lambda *parts, claim=RISES: Finding(claim, parts, Path("a.h5"), "x", "descent", (1, 1))
    built = Measured("c", 1.0, because="a formula")
    other = Claim(9, "other", "", (0, math.inf), lambda analysis, arrays: [])
    text = summary([of(sure), of(sure), of(open_, claim=other), of(built)])
    assert text.startswith("1 of 2 verdicts are held.") and "at most 0.05 would be by chance (2.5% each)" in text
    assert "1 are still held after Holm's correction" in text and "1 more are true by construction" in text
