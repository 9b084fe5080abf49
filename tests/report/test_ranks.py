"""Ranks, rank correlations and straight lines against scipy.stats, with ties and without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ebayes_core.report.ranks import ranks, spearman
from ebayes_plugins.analyses._regression import fit_line, over_seeds


@pytest.mark.parametrize("n, values", [(3, 2), (17, 4), (1001, 50), (1001, 10**9)])
def test_ranks_and_their_correlation_are_those_of_scipy(n: int, values: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(0, values, n).astype(float)
    y = x + rng.integers(0, values, n)
    x[0], y[:2] = -np.inf, (np.inf, -1)
    assert np.array_equal(ranks(x), stats.rankdata(x))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_without_variation_or_with_nan_there_is_no_rank_correlation() -> None:
    x = np.arange(4.0)
    assert np.isnan(spearman(x, np.ones(4)))
    assert np.isnan(spearman(x, np.array([0, 1, np.nan, 2])))
    assert (spearman(x, np.exp(x)), spearman(x, -(x**3))) == (1, -1)


@pytest.mark.parametrize("n", [3, 4, 57])
def test_a_line_and_its_interval_are_those_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((2, n)) + 100
    found, known = fit_line(x, y), stats.linregress(x, y)
    assert found["slope"] == pytest.approx(known.slope, rel=1e-9)
    assert found["intercept"] == pytest.approx(known.intercept, rel=1e-9)
    assert found["slope_half_width"] == pytest.approx(stats.t.ppf(0.975, n - 2) * known.stderr, rel=1e-9)
    assert found["rank_correlation"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_the_interval_over_seeds_is_that_of_students_t() -> None:
    values = np.array([1.0, 2.5, np.nan, 3.0, 0.5])
    low, high = stats.t.interval(0.95, 3, np.nanmean(values), stats.sem(values, nan_policy="omit"))
    assert over_seeds(values) == pytest.approx(((low + high) / 2, (high - low) / 2))
