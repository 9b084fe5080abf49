"""Statistics of claims about curves over c: rank correlation of score and axis, and gain at equal axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebayes_core.contract.claim import Measured
from ebayes_plugins.analyses._curves import Arrays, columns, gain, lines, pair
from ebayes_plugins.analyses._regression import rank_correlation


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
