"""The claims about curves over c (Fig. 2 and 3): rank correlations, gains at equal axis, and exponents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebayes_core.contract.claim import Claim, Measured
from ebayes_plugins.analyses._curves import (
    AVERAGES,
    PRICES,
    SIZE_NAMES,
    SIZES,
    Arrays,
    columns,
    curve,
    gain,
    lines,
    pair,
)
from ebayes_plugins.analyses._regression import rank_correlation, regress


def better(arrays: Arrays) -> int:
    """1 if a larger score is better; -1 for an RMSE."""
    return -1 if arrays["score"][0] == "rmse" else 1


def ranks(axes: dict[str, str]) -> Any:
    """The rank correlation of score and axis, for each mechanism and noise mode."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        for column in columns(arrays):
            for line, mine in lines(arrays, column):
                for axis, name in axes.items():
                    found = rank_correlation(mine[axis], better(arrays) * mine["score_sample"])
                    yield Measured(f"{column}, {line}, {name}", *found)

    return measured


def gains(axes: dict[str, str]) -> Any:
    """The gain in score of heterogeneous noise at equal values of each axis, for each mechanism."""

    def measured(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
        for column in columns(arrays):
            both = pair(arrays, column)
            if both is None:
                continue
            for axis, name in axes.items():
                value, *ends = better(arrays) * np.array(gain(*both, axis, str(arrays["score"][0])))
                yield Measured(f"{column}, equal {name}", value, *sorted(ends))

    return measured


def _grows(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    for column in columns(arrays):
        for line, mine in lines(arrays, column):
            for size in SIZES:
                name = f"{column}, {line}, {SIZE_NAMES[size]}"
                yield Measured(name, *rank_correlation(mine["c"], mine[f"sigma_{size}"]))


def _ratios(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    for column in columns(arrays):
        both = pair(arrays, column)
        if both is None:
            continue
        for size in SIZES:
            (c, ours, _), (other, theirs, _) = (curve(mine, f"sigma_{size}") for mine in both)
            logs = np.log(ours) - np.interp(np.log(c), np.log(other), np.log(theirs))
            yield Measured(f"{column}, {SIZE_NAMES[size]}", float(np.exp(logs.mean())))


TRADEOFF = (
    Claim(1, "accuracy falls as c rises", "rank correlation of accuracy and c", (-np.inf, 0.0), ranks({"c": "c"})),
    Claim(2, "average sigma rises with c", "rank correlation of sigma and c", (0.0, np.inf), _grows),
    Claim(
        3,
        "at equal c heterogeneous noise gives considerably higher accuracy",
        "gain in accuracy over homogeneous noise, mean over log c",
        (0.02, np.inf),
        gains({"c": "c"}),
    ),
    Claim(
        4,
        "at equal c its average sigma is only slightly lower",
        "sigma relative to homogeneous noise, geometric mean over c",
        (0.67, 1.0),
        _ratios,
    ),
)


def _slopes(analysis: Any, arrays: Arrays) -> Iterator[Measured]:
    """Slope of log cost on log RMS sigma, plus rho: 0 for a power law of exponent -rho."""
    for column in columns(arrays):
        for line, mine in lines(arrays, column):
            for price, name in PRICES.items():
                fit = regress(np.log(mine["sigma_rms"]), np.log(mine[price]))
                rho = float(mine["rho"][0])
                yield Measured(f"{column}, {line}, {name}", *(fit[k] + rho for k in ("slope", "low", "high")))


ADVANTAGE = (
    Claim(5, "accuracy falls as average sigma rises", "rank correlation", (-np.inf, 0.0), ranks(AVERAGES)),
    Claim(
        5,
        "at equal average sigma heterogeneous noise is considerably more accurate",
        "gain in accuracy, mean over log sigma",
        (0.02, np.inf),
        gains(AVERAGES),
    ),
    Claim(
        6, "reliability cost is a power law of sigma with slope -rho", "log-log slope + rho", (-0.1, 0.1), _slopes
    ),
    Claim(7, "accuracy rises with reliability cost", "rank correlation", (0.0, np.inf), ranks(PRICES)),
    Claim(
        7,
        "at equal reliability cost heterogeneous noise is considerably more accurate",
        "gain in accuracy, mean over log cost",
        (0.02, np.inf),
        gains(PRICES),
    ),
)  # fmt: skip
