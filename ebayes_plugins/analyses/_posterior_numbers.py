"""Variance of the noise and of the posterior for the same synapses: the theory's prediction, and the measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ebayes_plugins.analyses._common import analytic_slope, optimum
from ebayes_plugins.analyses._regression import fit_line, running_quantiles

BINS, LINE = 15, 40  #: bins of the running median, points of the analytic line
QUANTILES = (0.1, 0.5, 0.9)


def expected(slope: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The optimum if the posterior's precision is the curvature: 2/(rho+2) (log sigma_post^2 + log c rho), App. 5.

    slope: of the cost, see `_common.slope_of`; x, y: log10 of the posterior's variance and of sigma^2 (synapses,).
    Returns the line over the central 99% of x, its slope at the median, and how far the synapses are above it (median).
    """
    if not len(x):
        nothing = dict.fromkeys(("line_x", "line_y"), np.full(LINE, np.nan))
        return {"analytic_slope": np.nan, "above": np.nan, **nothing}
    line = lambda at: 2 * np.log10(optimum(slope, 10.0**-at))
    low, high = np.percentile(x, [0.5, 99.5])
    ends, middle = np.linspace(low, high, LINE), float(np.median(x))
    steep = -analytic_slope(slope, 10 ** (line(np.array([middle]))[0] / 2))
    return {"analytic_slope": steep, "above": np.median(y - line(x)), "line_x": ends, "line_y": line(ends)}


def observed(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Fit, rank correlation, spread, axis ratio and medians of log10 variances."""
    few = len(x) < BINS
    return {
        **fit_line(x, y),
        "spread_ratio": y.std() / x.std() if not few and np.ptp(x) > 0 else np.nan,
        "aspect": median_gap(y) / 2, "posterior_aspect": median_gap(x) / 2,
        "median_x": np.median(x) if len(x) else np.nan, "median_y": np.median(y) if len(y) else np.nan,
        "bins": np.full((1 + len(QUANTILES), BINS), np.nan) if few else running_quantiles(x, y, QUANTILES, BINS),
    }  # fmt: skip


def median_gap(values: np.ndarray) -> float:
    """Median of |a - b| over all pairs of values, by bisection; for log variances, twice an ellipse's log axis ratio.

    In sorted order, the pairs within a gap are counted in n log n steps. NaN for fewer than two values.
    """
    ordered, n = np.sort(values), len(values)
    if n < 2:
        return np.nan
    low, high = 0.0, float(ordered[-1] - ordered[0])
    for _ in range(50):
        gap = (low + high) / 2
        within = (np.searchsorted(ordered, ordered + gap, side="right") - np.arange(n) - 1).sum()
        low, high = (low, gap) if 4 * within >= n * (n - 1) else (gap, high)
    return high
