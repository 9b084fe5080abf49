"""Intervals that a verdict may rest on: over seeds, by permutation within each seed, and by resampling data."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import numpy as np

from ebayes_core.contract.claim import Measured
from ebayes_core.report.ranks import ranks
from ebayes_plugins.analyses._regression import over_seeds
from ebayes_plugins.analyses._titles import count

DRAWS = 4000
CENTRAL = (0.025, 0.975)
DIGITS = 12  #: a correlation that permutations reach must not exceed theirs by rounding


class Why(TypedDict, total=False):
    """Why a verdict is not to be counted, or is open whatever the interval says, as in Measured."""

    because: str
    unsettled: str


def by_seed(part: str, values: np.ndarray, **why: Unpack[Why]) -> Measured:
    """Mean of a statistic, one value per seed, with its 95% interval by Student's t; no interval for a single seed."""
    middle, half = over_seeds(values)
    k = int(np.isfinite(values).sum())
    return Measured(part, middle, middle - half, middle + half, count(k, "seed"), k, **why)


def by_ratio(part: str, logs: np.ndarray, **why: Unpack[Why]) -> Measured:
    """The same of a ratio, given its logarithm per seed: geometric mean, and an interval that is even in logarithms."""
    found = by_seed(part, logs, **why)
    value, low, high = np.exp([found.value, found.low, found.high]).tolist()
    return found._replace(value=value, low=low, high=high, logs=True)


def ranked(part: str, x: np.ndarray, y: np.ndarray, seed: np.ndarray, **why: Unpack[Why]) -> Measured:
    """Spearman's rank correlation within seeds; the interval says by how much chance may have raised or lowered it.

    The networks of a sweep share initial means, minibatches and noise with those of the same seed: they are no sample
    of independent networks. So y is permuted within each seed, and the central 95% of what this gives is taken from the
    correlation; the interval excludes 0 where a permutation test at 2.5% on either side does. Its p values are of a
    correlation of 0, where ranges end.
    """
    a, b, sizes = _ranks_within(x, y, seed)
    if not a.any() or not b.any():
        return Measured(part, np.nan, **why)
    size = np.sqrt((a @ a) * (b @ b))
    r = float(a @ b / size)
    excess = np.sort(np.round(r - _permuted(b, sizes) @ a / size, DIGITS))
    least, most = (float(excess[_position(share)]) for share in CENTRAL)
    high, low = ((1 + int(as_far.sum())) / (1 + DRAWS) for as_far in (excess <= 0, excess >= 0))
    over = f"permutations of {len(a)} networks within {count(len(sizes), 'seed')}"
    return Measured(part, r, max(least, -1.0), min(most, 1.0), over, chances=(high, low), **why)


def _position(share: float) -> int:
    """Where in the sorted draws a quantile is, on the side away from the middle."""
    return int(np.floor(share * DRAWS) if share < 0.5 else np.ceil(share * DRAWS)) - (share < 0.5)


def _ranks_within(x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Ranks of x and y less their means, seed by seed, and how many networks each seed has: at least two."""
    known = np.isfinite(x) & np.isfinite(y)
    groups = [np.flatnonzero(known & (seed == one)) for one in np.unique(seed)]
    groups = [at for at in groups if len(at) > 1]
    a, b = (np.concatenate([_centred(v[at]) for at in groups] or [np.zeros(0)]) for v in (x, y))
    return a, b, [len(at) for at in groups]


def _centred(values: np.ndarray) -> np.ndarray:
    found = ranks(values)
    return np.asarray(found - found.mean())


def _permuted(values: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Permutations of the values within each group, (DRAWS, n)."""
    rng, ends = np.random.default_rng(0), np.cumsum(sizes)[:-1]
    parts: Any = [part[np.argsort(rng.random((DRAWS, len(part))), 1)] for part in np.split(values, ends)]
    return np.concatenate(parts, 1)
