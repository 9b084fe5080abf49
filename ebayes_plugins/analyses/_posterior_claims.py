"""Statistics of claims 14 to 17: intervals over seeds, and neighbours in c and rho."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ebayes_core.contract.claim import NEGATIVE, POSITIVE, SIGN, Claim, Measured
from ebayes_plugins.analyses._intervals import Why, by_seed
from ebayes_plugins.analyses._regression import over_seeds

Arrays = dict[str, np.ndarray]
Point = np.ndarray  #: the rows of one mechanism at one c, one network per seed
Neighbours = Callable[[Arrays], Iterator[tuple[Point, Point]]]


def mechanisms(arrays: Arrays) -> list[str]:
    """The mechanisms, starting with the smallest rho: the steepest analytic line."""
    names = dict.fromkeys(arrays["mechanism"].tolist())
    steep = {name: over_seeds(arrays["analytic_slope"][arrays["mechanism"] == name])[0] for name in names}
    return sorted(names, key=lambda name: -np.nan_to_num(steep[name]))


def points(arrays: Arrays) -> dict[tuple[str, int], Point]:
    """(mechanism, rank of c) -> its rows, ordered by rho and c."""
    found = {}
    for name in mechanisms(arrays):
        for row in np.unique(arrays["row"][arrays["mechanism"] == name]):
            found[name, int(row)] = np.flatnonzero((arrays["mechanism"] == name) & (arrays["row"] == row))
    return found


def interval(values: np.ndarray, half_widths: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds with its 95% interval; for a single seed, the interval over synapses."""
    mean, half = over_seeds(values)
    half = half if np.isfinite(half) else float(half_widths[np.isfinite(values)].mean()) if np.isfinite(mean) else half
    return mean, mean - half, mean + half


def table(arrays: Arrays, named: dict[str, str]) -> Arrays:
    """A row per mechanism and c: means over seeds of the named columns, and the slope's interval over seeds."""
    rows = []
    for (name, _), at in points(arrays).items():
        row = {"mechanism": name, "c": arrays["c"][at[0]], "seeds": len(at)}
        row |= {heading: over_seeds(arrays[column][at].astype(float))[0] for heading, column in named.items()}
        rows.append(row | {"± (seeds)": over_seeds(arrays["slope"][at])[1]})
    return {heading: np.array([row[heading] for row in rows]) for heading in rows[0]}


def _title(arrays: Arrays, at: Point) -> str:
    """Which network, and its balance: noise that is not at its optimum is nearly uniform for that reason alone."""
    return f"{arrays['mechanism'][at[0]]}, c = {arrays['c'][at[0]]:.3g} (B {over_seeds(arrays['balance'][at])[0]:.2g})"


def _circular(analysis: Any, arrays: Arrays, at: Point) -> Why:
    """Why a relation is true by construction: 1 / (N H) of the network whose sigma was set from H."""
    solved = arrays.get("solved", np.zeros(len(arrays["c"]), bool))[at].any()
    return {"because": "the solver set sigma from this curvature"} if solved and analysis.against == "laplace" else {}


def _each(name: str, less: str | None = None) -> Any:
    """A column, or its difference from another, for every mechanism and c."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        values = arrays[name] - (arrays[less] if less else 0.0)
        for at in points(arrays).values():
            part = f"{_title(arrays, at)}, layer {analysis.layer}"
            yield by_seed(part, values[at], **_circular(analysis, arrays, at))

    return measured


def along_c(arrays: Arrays) -> Iterator[tuple[Point, Point]]:
    """Each point of a mechanism, and the one with the next larger c."""
    for (a, before), (b, after) in pairwise(points(arrays).items()):
        if a[0] == b[0]:
            yield before, after


def along_rho(arrays: Arrays) -> Iterator[tuple[Point, Point]]:
    """Each point, and the one at the same rank of c with the next larger rho."""
    found = points(arrays)
    for row in sorted({row for _, row in found}):
        for before, after in pairwise([at for (_, r), at in found.items() if r == row]):
            if arrays["analytic_slope"][before[0]] > arrays["analytic_slope"][after[0]] + 1e-6:
                yield before, after


def _same_seeds(arrays: Arrays, before: Point, after: Point) -> tuple[Point, Point]:
    _, a, b = np.intersect1d(arrays["seed"][before], arrays["seed"][after], return_indices=True)
    return before[a], after[b]


def _rise(name: str) -> Any:
    """Increase of a column from one row to the other, seed by seed."""
    return lambda arrays, a, b: arrays[name][b] - arrays[name][a]


def _shift(arrays: Arrays, a: Point, b: Point) -> np.ndarray:
    """How far the second cloud is above the first in log sigma^2, at equal posterior variance."""
    slope = (arrays["slope"][a] + arrays["slope"][b]) / 2
    return _rise("median_y")(arrays, a, b) - slope * _rise("median_x")(arrays, a, b)


def _between(neighbours: Neighbours, change: Any) -> Any:
    """A change between neighbours, seed by seed."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        for pair in neighbours(arrays):
            part = f"{' to '.join(_title(arrays, at) for at in pair)}, layer {analysis.layer}"
            a, b = _same_seeds(arrays, *pair)
            if len(a):
                yield by_seed(part, change(arrays, a, b), **_circular(analysis, arrays, a))

    return measured


CLAIMS = (
    Claim(
        14, "optimal and posterior variance are positively related for every rho and c",
        "rank correlation over synapses", POSITIVE, _each("rank_correlation"), history=("before", "after"), source=SIGN,
    ),
    Claim(
        15, "slopes of log sigma^2 on log posterior variance are 2/(rho+2)", "measured minus analytic slope",
        (-0.1, 0.1), _each("slope", less="analytic_slope"), history=("before", "after"),
    ),
    Claim(
        15, "all slopes are below 1", "slope", (-np.inf, 1.0), _each("slope"), history=("before", "after"),
        source="1, the slope of equality", reference=None,
    ),
    Claim(
        15, "slopes approach 1 as rho decreases", "slope at the next larger rho minus slope, at the same rank of c",
        NEGATIVE, _between(along_rho, _rise("slope")), history=("before", "after"), source=SIGN,
    ),
    Claim(
        15, "optimal noise is less heterogeneous than the posterior",
        "s.d. of log sigma^2 over that of log posterior variance", (-np.inf, 1.0), _each("spread_ratio"),
        history=("before", "after"),
        source="1, equality", reference=None,
    ),
    Claim(
        16, "the slope does not depend on c", "slope at the next larger c minus slope", (-0.1, 0.1),
        _between(along_c, _rise("slope")), history=("before", "after"),
    ),
    Claim(
        16, "larger c moves the line up",
        "log10 sigma^2 at the next larger c minus that at c, medians at equal posterior variance", POSITIVE,
        _between(along_c, _shift), history=("before", "after"), source=SIGN,
    ),
    Claim(
        17, "ellipses are rounder at larger rho",
        "median log10 axis ratio over all pairs, at the next larger rho minus at rho", NEGATIVE,
        _between(along_rho, _rise("aspect")), history=("before", "after"), source=SIGN,
    ),
)  # fmt: skip
