"""The published curves over c (Malkin et al. 2024, Fig. 2 and 3), and how far the networks of a run are from them."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._curves import Arrays, columns, lines
from ebayes_plugins.analyses._measured import deposited
from ebayes_plugins.analyses._regression import over_seeds

PREFIX = "published_"  #: of the names of published values among the arrays of an analysis
WEIGHTS = 784 * 100 + 100 * 100 + 100 * 10  #: the published cost is summed over these; their biases are not counted
NEAR = 0.01  #: the largest difference in log10 c at which two networks have the same c
Interval = tuple[float, float, float]  #: a mean over seeds and its 95% interval; NaN for the interval of one seed


class Difference(NamedTuple):
    """By how much networks of one mechanism, noise and c differ from the published one."""

    column: str
    line: str
    c: float
    points: Interval  #: accuracy, in percentage points
    percent: Interval  #: RMS sigma over the weights
    seeds: int

    @property
    def part(self) -> str:
        """The networks in words."""
        return f"{self.column}, {self.line}, c = {self.c:.3g}"


def table() -> Arrays:
    """The published curves, one row per mechanism, noise and c, named as the rows of `_curves.population`."""
    t = deposited("published.csv")
    rho = np.array([float(Fraction(text)) for text in t["rho"]])
    return {
        "rho": rho, "line": t["noise"], "c": 10.0 ** t["log10_c"], "score_sample": t["accuracy_percent"] / 100,
        "sigma_rms_weights": t["sigma_rms_weights"], "loss": t["test_loss_nat"],
        "price": t["cost_s1_nat"] / WEIGHTS, "price_at_rms": t["sigma_rms_weights"] ** -rho / rho,
    }  # fmt: skip


def beside(ours: Arrays) -> Arrays:
    """The published values of the exponents and noise modes of a run, in its range of c, to be stored with its rows.

    Raises UserError if there are none, or the run has no accuracy.
    """
    theirs = table()
    logs = np.log10(ours["c"])
    there = np.abs(np.log10(theirs["c"]) - np.median([logs.min(), logs.max()])) < np.ptp(logs) / 2 + NEAR
    places = [
        (column, np.flatnonzero(there & np.isclose(theirs["rho"], mine["rho"][0]) & (theirs["line"] == line)))
        for column in columns(ours) for line, mine in lines(ours, column)
    ]  # fmt: skip
    rows = np.concatenate([at for _, at in places])
    if not len(rows) or ours["score"][0] != "accuracy":
        raise UserError(
            "published = true  needs accuracies of networks with rho = 1/2, 2/3, 4/3 or 2, heterogeneous or "
            "homogeneous noise, and c from 0.0001 to 1778: the authors published no other curves"
        )
    names = np.repeat([column for column, _ in places], [len(at) for _, at in places])
    return {PREFIX + name: values[rows] for name, values in theirs.items()} | {PREFIX + "column": names}


def published(arrays: Arrays) -> Arrays:
    """The published rows among the arrays of an analysis, by their own names; empty without the option."""
    found = {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}
    return found | ({"score": np.array(["accuracy"])} if found else {})


def shared(arrays: Arrays) -> Arrays:
    """The published rows at every c that the run has too, since curves are compared through the same points."""
    theirs = published(arrays)
    if not theirs:
        return {}
    kept = [
        bool((np.abs(np.log10(arrays["c"] / c)) < NEAR)[(arrays["column"] == column) & (arrays["line"] == line)].any())
        for column, line, c in zip(theirs["column"], theirs["line"], theirs["c"], strict=True)
    ]
    return {name: values if name == "score" else values[kept] for name, values in theirs.items()}


def published_line(arrays: Arrays, column: str, line: str) -> Arrays | None:
    """The published curve of one mechanism and noise mode, if there is one."""
    theirs = published(arrays)
    return dict(lines(theirs, column)).get(line) if theirs else None


def differences(arrays: Arrays) -> list[Difference]:
    """The networks beside the published ones, at each c that both have, averaged over seeds."""
    found = []
    for column in columns(arrays):
        for line, mine in lines(arrays, column):
            theirs = published_line(arrays, column, line)
            if theirs:
                found += [d for c in np.unique(mine["c"]) for d in _differences(_at(mine, c), theirs)]
    return found


def _at(mine: Arrays, c: float) -> Arrays:
    """The rows of one c."""
    return {name: values[mine["c"] == c] for name, values in mine.items()}


def _differences(mine: Arrays, theirs: Arrays) -> list[Difference]:
    """None or one, for the seeds of one c."""
    column, line, c = str(mine["column"][0]), str(mine["line"][0]), float(mine["c"][0])
    (at,) = np.nonzero(np.abs(np.log10(theirs["c"] / c)) < NEAR)
    if not len(at):
        return []
    points = 100 * (mine["score_sample"] - theirs["score_sample"][at[0]])
    percent = 100 * (mine["sigma_rms_weights"] / theirs["sigma_rms_weights"][at[0]] - 1)
    known = np.isfinite(points) & np.isfinite(percent)
    both = _interval(points[known]), _interval(percent[known])
    return [Difference(column, line, c, *both, int(known.sum()))] if known.any() else []


def _interval(values: np.ndarray) -> Interval:
    mean, half = over_seeds(values)
    return mean, mean - half, mean + half


def sentence(found: list[Difference]) -> str:
    """The differences in a sentence: the smallest and the largest; empty without any."""
    if not found:
        return ""
    points, percent = (np.array([getattr(d, name)[0] for d in found]) for name in ("points", "percent"))
    return (
        f"From {len(found)} published points, accuracy differs by {points.min():+.1f} to {points.max():+.1f} "
        f"percentage points and RMS sigma by {percent.min():+.1f} to {percent.max():+.1f}%."
    )
