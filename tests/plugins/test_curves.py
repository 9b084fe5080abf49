"""Curves over c: a planted advantage is recovered, and claims are judged by their rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from ebayes_plugins.analyses import _curves as curves
from ebayes_plugins.analyses._curve_claims import seeds
from ebayes_plugins.analyses._sizes import SIZES
from ebayes_plugins.analyses.advantage import Advantage
from ebayes_plugins.analyses.tradeoff import Tradeoff

C = np.geomspace(1e-3, 1e3, 73)


def planted(
    shift: float, seeds: int = 1, spread: float = 0.0, rho: float = 2.0, points: np.ndarray = C
) -> dict[str, np.ndarray]:
    """Two noise modes under one mechanism: heterogeneous accuracy at c is the homogeneous one at c / shift.

    sigma = sqrt(c) and cost = sigma**-rho / rho for both, but for a tenth of the spread, so the ratios of sigma and
    cost follow.
    """
    c = np.tile(np.repeat(points, seeds), 2)
    line = np.repeat(["heterogeneous", "homogeneous"], len(points) * seeds)
    at = np.log(c) - np.where(line == "heterogeneous", np.log(shift), 0.0)
    noise = spread * np.random.default_rng(3).normal(size=len(c))
    sigma = np.sqrt(c)
    sizes = {f"{name}_{size}": sigma for name in ("sigma", "relative") for size in SIZES}
    score = expit(-at + noise)
    return {
        "c": c, "seed": np.tile(np.arange(seeds), 2 * len(points)), "line": line,
        "column": np.full(len(c), "trafficking"), "rho": np.full(len(c), rho), **sizes,
        "score_sample": score, "score_ensemble": score, "score_mean": score, "score": np.array(["accuracy"]),
        "price": sigma**-rho / rho * np.exp(noise / 10), "price_at_rms": sigma**-rho / rho, "balance": np.ones(len(c)),
        "left_out": np.array([0]),
    }  # fmt: skip


@given(shift=st.floats(0.2, 20), level=st.floats(0.1, 0.9), rho=st.floats(0.5, 2))
def test_the_factors_at_equal_score_are_the_planted_ones(shift: float, level: float, rho: float) -> None:
    both = curves.pair(planted(shift, rho=rho), "trafficking")
    for axis, expected in (("c", shift), ("sigma_rms", shift**0.5), ("price", shift ** (-rho / 2))):
        value, low, high = curves.factor(*both, axis, "accuracy", level)
        assert value == pytest.approx(expected, rel=0.02)  # straight between points of a curve
        assert np.isnan([low, high]).all()  # one seed tells nothing of the spread


def test_the_gain_at_equal_c_is_the_mean_difference_of_the_curves() -> None:
    both = curves.pair(planted(3.0), "trafficking")
    at = np.linspace(np.log(C[0]), np.log(C[-1]), 2001)
    expected = (expit(-at + np.log(3)) - expit(-at)).mean()
    assert curves.gain(*both, "c", "accuracy")[0] == pytest.approx(expected, rel=0.02)


def test_the_interval_over_seeds_covers_the_planted_factor() -> None:
    both = curves.pair(planted(3.0, seeds=3, spread=0.3, points=np.geomspace(1e-3, 1e3, 13)), "trafficking")
    value, low, high = curves.factor(*both, "c", "accuracy", 0.5)
    assert low < 3 < high and low < value < high
    sd = 0.3 * np.sqrt(2 / 3)  # two points of three seeds each decide, more or less
    assert 0.4 * 4 * sd < np.log(high / low) < 1.2 * 4 * sd


def test_the_spread_is_pooled_over_the_points_with_several_seeds() -> None:
    mine = dict(curves.lines(planted(1.0, seeds=4, spread=0.2), "trafficking"))["homogeneous"]
    draws = logit(curves.resampled(mine, "accuracy")[1:])
    inner = np.abs(np.log(C)) < 4  # away from the ends of the logit, which is cut there
    np.testing.assert_allclose(draws.std(0)[inner], 0.1, rtol=0.2)


def test_a_level_that_is_never_left_has_no_crossing() -> None:
    scores = np.array([[0.9, 0.8, 0.4], [0.9, 0.8, 0.7], [0.3, 0.2, 0.1]])
    np.testing.assert_allclose(curves.crossing(scores, 0.6), [1.5, np.nan, np.nan])
    np.testing.assert_allclose(curves.crossing(np.array([[0.2, 0.6]]), 0.5), [0.75])  # an RMSE rises


def verdicts(analysis: Any, arrays: dict[str, np.ndarray]) -> dict[tuple[int, str], set[str]]:
    found: dict[tuple[int, str], set[str]] = {}
    for claim in analysis.claims:
        for part in claim.measure(analysis, arrays):
            found.setdefault((claim.number, claim.statistic), set()).add(claim.verdict(part))
    return found


def test_a_planted_advantage_holds_and_a_planted_equality_does_not() -> None:
    better, same, alone = (
        verdicts(Tradeoff(), of) | verdicts(Advantage(), of)
        for of in (planted(10.0, seeds=3, spread=0.05), planted(1.0, seeds=3, spread=0.05), planted(10.0))
    )
    expected = {4: {"open"}, 6: {"held", "by construction"}}  # sigma is planted as equal, in all three seeds alike
    for (number, statistic), found in better.items():
        assert found == expected.get(number, {"held"}), (number, statistic)
    assert all(found == {"open"} for key, found in alone.items() if "gain" in key[1] or key[0] == 4)  # a single seed
    assert {key: found for key, found in same.items() if "gain" in key[1]} == {
        key: {"not held"} for key in same if "gain" in key[1]
    }


def test_an_interval_needs_whole_curves_one_per_seed() -> None:
    """One seed has five values of c, two have three of these, and a fourth a single one."""
    c, seed = np.array([1.0, 2, 3, 4, 5, 2, 3, 5, 5, 3, 2, 4]), np.array([0] * 5 + [1] * 3 + [2] * 3 + [3])
    mine = {"c": c, "seed": seed, "y": np.arange(12.0)}
    each = seeds(mine)
    assert [one["y"].tolist() for (one,) in each] == [[1, 2, 4], [5, 6, 7], [8, 9, 10]]
    assert seeds({name: values[5:6] for name, values in mine.items()}) == []
