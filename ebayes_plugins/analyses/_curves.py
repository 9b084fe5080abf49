"""Curves over c: the numbers of a sweep's networks by mechanism and noise mode, and comparisons of two curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._common import (
    NOISE,
    copies,
    exponent,
    finished,
    mean_band,
    mechanism,
    multiplier,
)
from ebayes_plugins.analyses._sizes import sizes

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
WAYS = ("sample", "ensemble", "mean")
PRICES = {"price": "summed over synapses", "price_at_rms": "at the RMS sigma"}
AVERAGES = {"sigma_rms": "RMS sigma", "sigma_median": "median sigma", "relative_median": "median sigma / RMS mean"}
RESAMPLES = 1000


def population(run: Run) -> Arrays:
    """One row per network that did not diverge: c, mechanism (column), noise mode (line), scores, sigma, cost and
    balance.

    Raises UserError if every network diverged, or c does not vary.
    """
    members = finished(run)
    if not members:
        raise UserError("nothing to show, every network diverged: lower optimizer.learning_rate")
    specs = [run.member_spec(i) for i in members]
    c = np.array([multiplier(spec) for spec in specs])
    if len(np.unique(c)) < 2:
        raise UserError(
            'this needs several values of c: add  [sweep]  "cost.c" = { logspace = [-2, 1, 7] }  to the spec'
        )
    rho = np.array([exponent(spec) for spec in specs])
    averages = [sizes(run, i) for i in members]
    return {
        "c": c, "rho": rho, "seed": run.seeds[members],
        "column": np.array([", ".join(mechanism(run, i, NOISE)) for i in members]),
        "line": np.array([spec["noise"]["kind"] for spec in specs]),
        **{name: np.array([average[name] for average in averages]) for name in averages[0]},
        "sigma_rms_weights": run.metric("sigma_rms_weights")[members],
        **scores(run, members), **_prices(run, members, c, rho),
        "balance": run.metric("balance")[members],
        "left_out": np.array([run.n_members - len(members)]),
    }  # fmt: skip


def scores(run: Run, members: list[int]) -> Arrays:
    """Accuracy, or the RMSE of a regression, of sampled networks, their ensemble, and the mean weights."""
    right = "accuracy_mean" in run.metrics and bool(np.isfinite(run.metric("accuracy_mean")[members]).any())
    score = "accuracy" if right else "rmse"
    return {f"score_{way}": run.metric(f"{score}_{way}")[members] for way in WAYS} | {"score": np.array([score])}


def _prices(run: Run, members: list[int], c: np.ndarray, rho: np.ndarray) -> Arrays:
    """Reliability cost per synapse at s = 1, hence c = 1/rho (Eq. 48): averaged, and as if all had the RMS sigma.

    A cost that is not a power law has no s; it is taken at c = 1.
    """
    synapses = (run.layer_metric("n_synapses") * copies(run))[members].sum(-1)
    per_synapse = c * np.where(np.isfinite(rho), rho, 1.0) * synapses
    return {
        "price": run.metric("reliability_cost")[members] / per_synapse,
        "price_at_rms": run.metric("reliability_cost_at_rms")[members] / per_synapse,
    }


def columns(arrays: Arrays) -> list[str]:
    """The mechanisms, in the order of the spec."""
    return list(dict.fromkeys(arrays["column"].tolist()))


def lines(arrays: Arrays, column: str) -> Iterator[tuple[str, Arrays]]:
    """The noise modes under one mechanism, each with the rows of its networks."""
    n = len(arrays["c"])
    for line in dict.fromkeys(arrays["line"][arrays["column"] == column].tolist()):
        mine = (arrays["column"] == column) & (arrays["line"] == line)
        yield line, {name: values[mine] for name, values in arrays.items() if len(values) == n}


def curve(mine: Arrays, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of c, and for each the mean over seeds and the standard deviation."""
    at = np.unique(mine["c"])
    mean, sd = np.array([mean_band(mine[name][mine["c"] == c]) for c in at]).T
    return at, mean, sd


def pair(arrays: Arrays, column: str) -> tuple[Arrays, Arrays] | None:
    """The heterogeneous and the homogeneous networks of one mechanism, if it has both at several values of c."""
    found = dict(lines(arrays, column))
    both = [found[noise] for noise in ("heterogeneous", "homogeneous") if noise in found]
    return (both[0], both[1]) if len(both) == 2 and all(len(np.unique(p["c"])) > 1 for p in both) else None


def resampled(mine: Arrays, score: str) -> np.ndarray:
    """The mean curve of a score over c, and resamples of it: (1 + RESAMPLES, c).

    The spread between seeds is pooled over all c with several seeds, on a scale on which it is similar (logit, or log
    of an RMSE); without such c the resamples are NaN.
    """
    at, mean, _ = curve(mine, "score_sample")
    there, back = _scale(score)
    values = there(mine["score_sample"])
    groups = [values[mine["c"] == c] for c in at]
    freedom = sum(len(g) - 1 for g in groups)
    sd = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / freedom) if freedom else np.nan
    draws = np.random.default_rng(0).normal(size=(RESAMPLES, len(at))) * sd / np.sqrt([len(g) for g in groups])
    return np.vstack([mean, back(there(mean) + draws)])


def _scale(score: str) -> tuple[Any, Any]:
    from scipy.special import expit, logit

    if score == "rmse":
        return np.log, np.exp
    return lambda p: logit(np.clip(p, 1e-4, 1 - 1e-4)), expit


def summary(values: np.ndarray) -> tuple[float, float, float]:
    """The first value, and the 95% interval of the others, which are its resamples; NaN if unknown."""
    rest = values[1:]
    if not np.isfinite(rest).all():
        return float(values[0]), np.nan, np.nan
    low, high = np.percentile(rest, [2.5, 97.5])
    return float(values[0]), float(low), float(high)


def gain(ours: Arrays, theirs: Arrays, axis: str, score: str) -> tuple[float, float, float]:
    """Mean difference of score between two curves at equal values of an axis, over the range that both cover.

    Interpolated over log(axis), and averaged over log(axis). With its 95% interval over seeds.
    """
    rows = [resampled(mine, score) for mine in (ours, theirs)]
    return summary(_gains(ours, theirs, axis, rows))


def mean_gain(ours: Arrays, theirs: Arrays, axis: str) -> float:
    """The same without its interval, for which no resamples are needed."""
    rows = [curve(mine, "score_sample")[1][None] for mine in (ours, theirs)]
    return float(_gains(ours, theirs, axis, rows)[0])


def _gains(ours: Arrays, theirs: Arrays, axis: str, scores: list[np.ndarray]) -> np.ndarray:
    """The gain of each of some mean curves (rows) of score; NaN if they share no range of the axis."""
    x = [np.log(curve(mine, axis)[1]) for mine in (ours, theirs)]
    low, high = max(v.min() for v in x), min(v.max() for v in x)
    if not low < high:
        return np.full(len(scores[0]), np.nan)
    at, order = np.linspace(low, high, 50), [np.argsort(v) for v in x]
    y = [np.array([np.interp(at, v[o], row[o]) for row in rows]) for v, o, rows in zip(x, order, scores, strict=True)]
    return np.asarray((y[0] - y[1]).mean(-1))


def crossing(scores: np.ndarray, level: float) -> np.ndarray:
    """Where along each curve (rows) the score crosses the level, as a fractional index of its points; NaN if it does
    not.
    """
    beyond = (scores - level) * np.sign(scores[:, :1] - level) <= 0
    first = beyond.argmax(-1)
    rows = np.arange(len(scores))
    before, after = scores[rows, np.maximum(first - 1, 0)], scores[rows, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        place = first - 1 + (before - level) / (before - after)
    return np.where(beyond.any(-1) & (first > 0), place, np.nan)


def factor(ours: Arrays, theirs: Arrays, axis: str, score: str, level: float) -> tuple[float, float, float]:
    """Ratio of an axis in ours to that in theirs where both have the same score, with its 95% interval."""
    logs = []
    for mine in (ours, theirs):
        x = np.log(curve(mine, axis)[1])
        logs.append(np.interp(crossing(resampled(mine, score), level), np.arange(len(x)), x))
    value, low, high = np.exp(summary(logs[0] - logs[1]))
    return value, low, high
