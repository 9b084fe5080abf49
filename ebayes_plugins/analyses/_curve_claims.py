"""The claims about curves over c (Fig. 2 and 3): rank correlations, gains at equal axis, and exponents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ebayes_core.contract.claim import NEGATIVE, POSITIVE, SIGN, Claim, Measured
from ebayes_plugins.analyses._curves import (
    AVERAGES,
    PRICES,
    Arrays,
    columns,
    curve,
    lines,
    mean_gain,
    pair,
)
from ebayes_plugins.analyses._intervals import by_ratio, by_seed, ranked
from ebayes_plugins.analyses._published import differences
from ebayes_plugins.analyses._regression import fit_line
from ebayes_plugins.analyses._sizes import SIZE_NAMES, SIZES
from ebayes_plugins.analyses._titles import count


def better(arrays: Arrays) -> int:
    """1 if a larger score is better; -1 for an RMSE."""
    return -1 if arrays["score"][0] == "rmse" else 1


def seeds(*curves: Arrays) -> list[list[Arrays]]:
    """The same curves for each seed alone, at those values of c that every seed with several of them has.

    The networks of one seed share what chance has given them, at all c: an interval needs whole curves, one per seed.
    """
    points = [set(zip(mine["seed"].tolist(), mine["c"].tolist(), strict=True)) for mine in curves]
    both = set.intersection(*points)
    by_seed = {seed: {c for s, c in both if s == seed} for seed in sorted({s for s, _ in both})}
    several = {seed: c for seed, c in by_seed.items() if len(c) > 1}
    shared = set.intersection(*several.values()) if several else set()
    return [[_at(mine, seed, shared) for mine in curves] for seed in several if len(shared) > 1]


def _at(mine: Arrays, seed: int, c: set[float]) -> Arrays:
    """The rows of one seed at these values of c."""
    chosen = (mine["seed"] == seed) & np.isin(mine["c"], list(c))
    return {name: values[chosen] for name, values in mine.items()}


def _every(arrays: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Each curve, with the mechanism and noise mode as its name."""
    for column in columns(arrays):
        for line, mine in lines(arrays, column):
            yield f"{column}, {line}", mine


def _pairs(arrays: Arrays) -> Iterator[tuple[str, list[list[Arrays]]]]:
    """Each mechanism, with its heterogeneous and homogeneous curve for each seed."""
    for column in columns(arrays):
        both = pair(arrays, column)
        if both is not None:
            yield column, seeds(*both)


def ranks(axes: dict[str, str]) -> Any:
    """The rank correlation of score and axis within seeds, for each mechanism and noise mode."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        for name, mine in _every(arrays):
            for axis, what in axes.items():
                yield ranked(f"{name}, {what}", mine[axis], better(arrays) * mine["score_sample"], mine["seed"])

    return measured


def _grows(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    for name, mine in _every(arrays):
        for size in SIZES:
            yield ranked(f"{name}, {SIZE_NAMES[size]}", mine["c"], mine[f"sigma_{size}"], mine["seed"])


def gains(axes: dict[str, str]) -> Any:
    """The gain in score of heterogeneous noise at equal values of each axis, for each mechanism, over seeds."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        for column, both in _pairs(arrays):
            for axis, name in axes.items():
                each = [better(arrays) * mean_gain(ours, theirs, axis) for ours, theirs in both]
                yield by_seed(f"{column}, equal {name}", np.array(each))

    return measured


def _ratios(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    """Average sigma of heterogeneous over homogeneous noise, geometric mean over the c of each seed."""
    for column, both in _pairs(arrays):
        for size in SIZES:
            of = [[np.log(curve(mine, f"sigma_{size}")[1]) for mine in each] for each in both]
            yield by_ratio(f"{column}, {SIZE_NAMES[size]}", np.array([(a - b).mean() for a, b in of]))


def _slopes(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    """Slope of log cost on log RMS sigma, plus rho, over seeds: 0 for a power law of exponent -rho."""
    for name, mine in _every(arrays):
        for price, how in PRICES.items():
            each = [fit_line(np.log(one["sigma_rms"]), np.log(one[price]))["slope"] for (one,) in seeds(mine)]
            shared = mine["line"][0] == "homogeneous" or price == "price_at_rms"
            why = "sigma is the same for all synapses, or taken to be" if shared else ""
            yield by_seed(f"{name}, {how}", np.array(each) + float(mine["rho"][0]), because=why)


def _differs(by: str) -> Any:
    """Differences from the published values at each c with several seeds; at all c, which stay open, if none has."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        found = differences(arrays)
        for d in [d for d in found if d.seeds > 1] or found:
            value, low, high = getattr(d, by)
            yield Measured(d.part, value, low, high, count(d.seeds, "seed"), d.seeds)

    return measured


def once(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims, measured by the main figure alone: a figure of details has the same numbers."""

    def measured(claim: Claim) -> Any:
        return lambda analysis, arrays: () if analysis.details else claim.measure(analysis, arrays)

    return tuple(replace(claim, measure=measured(claim)) for claim in claims)


TRADEOFF = once((
    Claim(
        1, "accuracy falls as c rises", "rank correlation of accuracy and c", NEGATIVE, ranks({"c": "c"}),
        history=("pilot", "after"), source=SIGN,
    ),
    Claim(
        2, "average sigma rises with c", "rank correlation of sigma and c", POSITIVE, _grows,
        history=("pilot", "after"),
        source=SIGN,
    ),
    Claim(
        3, "at equal c heterogeneous noise gives considerably higher accuracy",
        "gain in accuracy over homogeneous noise, mean over log c", (0.15, np.inf), gains({"c": "c"}),
        history=("pilot", "after"),
        source="half of the smallest gain in Fig. 2",
    ),
    Claim(
        4, "at equal c its average sigma is only slightly lower",
        "sigma relative to homogeneous noise, geometric mean over c", (0.5, 1.0), _ratios, history=("pilot", "after"),
        source="Fig. 2, which shows 0.57 to 0.77", reference=1.0,
    ),
    Claim(
        24, "the published curves are reproduced within 2 points and 6%",
        "accuracy minus the published one at each c, in percentage points", (-2.0, 2.0), _differs("points"),
        history=("pilot",),
    ),
    Claim(
        24, "the published curves are reproduced within 2 points and 6%",
        "RMS sigma of the weights minus the published one at each c, in percent", (-6.0, 6.0), _differs("percent"),
        history=("pilot",),
    ),
))  # fmt: skip
ADVANTAGE = once((
    Claim(
        5, "accuracy falls as average sigma rises", "rank correlation", NEGATIVE, ranks(AVERAGES),
        history=("pilot", "after"),
        source=SIGN,
    ),
    Claim(
        5, "at equal average sigma heterogeneous noise is considerably more accurate",
        "gain in accuracy, mean over log sigma", (0.12, np.inf), gains(AVERAGES), history=("before", "after"),
        source="half of the smallest gain in Fig. 3",
    ),
    Claim(
        6, "reliability cost is a power law of sigma with slope -rho", "log-log slope + rho", (-0.1, 0.1), _slopes,
        history=("before", "after"),
    ),
    Claim(
        7, "accuracy rises with reliability cost", "rank correlation", POSITIVE, ranks(PRICES),
        history=("before", "after"),
        source=SIGN,
    ),
    Claim(
        7, "at equal reliability cost heterogeneous noise is considerably more accurate",
        "gain in accuracy, mean over log cost", (0.1, np.inf), gains(PRICES), history=("before", "after"),
        source="half of the smallest gain in Fig. 3",
    ),
))  # fmt: skip
