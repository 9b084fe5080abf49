"""Regression with n, r, slope, standard error, p and a bootstrap interval, and rank correlation."""

from __future__ import annotations

import numpy as np

from ebayes_core.report.ranks import spearman

RESAMPLES = 2000
SMALL = 500  #: above this many points the bootstrap is slow and agrees with the standard error


def fit_line(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Least squares of y on x with its 95% interval over synapses, and Spearman's rank correlation."""
    from scipy.special import stdtrit

    if len(x) < 3 or np.ptp(x) == 0:
        return dict.fromkeys(("slope", "intercept", "slope_half_width", "rank_correlation"), np.nan)
    left, right = x - x.mean(), y - y.mean()
    slope, freedom = float(left @ right / (left @ left)), len(x) - 2
    rest = right - slope * left
    half = float(stdtrit(freedom, 0.975) * np.sqrt(rest @ rest / freedom / (left @ left)))
    intercept = float(y.mean() - slope * x.mean())
    return {"slope": slope, "intercept": intercept, "slope_half_width": half, "rank_correlation": spearman(x, y)}


def fit_halves(halves: list[np.ndarray], y: np.ndarray) -> dict[str, float]:
    """The same if x is known from two independent estimates: errors of x flatten the slope on either, or on their mean.

    Each is the instrument of the other, so that the slope is the mean of cov(y, x1) and cov(y, x2) over cov(x1, x2).
    """
    mean = (halves[0] + halves[1]) / 2
    plain = fit_line(mean, y)
    if not np.isfinite(plain["slope"]):
        return plain
    first, second, up = (v - v.mean() for v in (*halves, y))
    shared = float(first @ second)
    slope = float((first + second) @ up / 2 / shared) if shared > 0 else np.nan
    wider = slope / plain["slope"] if plain["slope"] else 1.0
    half = plain["slope_half_width"] * abs(wider)
    return plain | {"slope": slope, "intercept": float(y.mean() - slope * mean.mean()), "slope_half_width": half}


def paired(ours: dict[int, float], theirs: dict[int, float]) -> np.ndarray:
    """Differences within seeds, which share initial means and the order of the data."""
    return np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])


def over_seeds(values: np.ndarray) -> tuple[float, float]:
    """Mean of the finite values, one per seed, and the half width of its 95% interval (Student's t); NaN for fewer than
    two.

    The synapses of a network share inputs and outputs and are not independent, so this interval is the reliable one.
    """
    from scipy.special import stdtrit

    finite = values[np.isfinite(values)]
    k = len(finite)
    half = stdtrit(k - 1, 0.975) * finite.std(ddof=1) / np.sqrt(k) if k > 1 else np.nan
    return (float(finite.mean()) if k else np.nan), float(half)


def running_quantiles(x: np.ndarray, y: np.ndarray, shares: tuple[float, ...], bins: int = 10) -> np.ndarray:
    """Median of x, then the quantiles of y, over bins of x with equally many points; (1 + shares, bins)."""
    parts = np.array_split(np.argsort(x), bins)
    return np.array([[np.median(x[p]) for p in parts], *[[np.quantile(y[p], s) for p in parts] for s in shares]])


def regress(x: np.ndarray, y: np.ndarray, second: np.ndarray | None = None) -> dict[str, float]:
    """Slope of y on x, optionally with a second regressor, with r (then partial), p and 95% interval.

    Arrays (n,). The interval is that of percentiles of paired resamples, or from Student's t for more than 500 points.
    NaN if the slope is undefined. By Frisch, Waugh and Lovell, the part that the second regressor explains is removed
    from both.
    """
    from scipy.special import stdtr, stdtrit

    freedom = len(x) - 2 - (second is not None)
    left, right = (without(v, second) for v in (x, y)) if freedom > 0 else (np.zeros(0), np.zeros(0))
    if not left.any():
        return {"n": len(x), **dict.fromkeys(("r", "slope", "stderr", "p", "low", "high"), np.nan)}
    slope = left @ right / (left @ left)
    rest = right - slope * left
    stderr = np.sqrt(rest @ rest / freedom / (left @ left))
    r = left @ right / np.sqrt((left @ left) * (right @ right)) if right.any() else np.nan
    half = stdtrit(freedom, 0.975) * stderr
    low, high = _bootstrap(x, y, second) if len(x) <= SMALL and rest.any() else (slope - half, slope + half)
    p = 2 * stdtr(freedom, -abs(slope) / stderr) if stderr > 0 else 0.0
    found = {"r": r, "slope": slope, "stderr": stderr, "p": p, "low": low, "high": high}
    return {"n": len(x), **{name: float(value) for name, value in found.items()}}


def without(values: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    """Residual of values (..., n) after a constant and the second regressor."""
    rest = values - values.mean(-1, keepdims=True)
    if second is None:
        return rest
    other = second - second.mean(-1, keepdims=True)
    return rest - _slope(other, rest, second)[..., None] * other


def _slope(x: np.ndarray, y: np.ndarray, of: np.ndarray, flat: float = 0.0) -> np.ndarray:
    """Slope through the origin of y on x (..., n), a residual; `flat` where x consists of rounding errors."""
    square = (x**2).sum(-1)
    varies = square > 1e-24 * (of**2).sum(-1)
    return np.where(varies, (x * y).sum(-1) / np.where(varies, square, 1.0), flat)


def _bootstrap(x: np.ndarray, y: np.ndarray, second: np.ndarray | None) -> tuple[float, float]:
    """Percentiles of the slopes of paired resamples; resamples with too few distinct points are excluded."""
    index = np.random.default_rng(0).integers(0, len(x), (RESAMPLES, len(x)))
    x, y, second = x[index], y[index], None if second is None else second[index]
    slopes = _slope(without(x, second), without(y, second), x, flat=np.nan)
    known = slopes[np.isfinite(slopes)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (np.nan, np.nan)
    return float(low), float(high)
