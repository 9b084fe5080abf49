"""A claim of a paper: the statement, the statistic that tests it, and the rule, fixed before the run, by which it
holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: A claim that no statistic can test.
INTERPRETED = (
    "23  energy-efficient synapses mimic Bayesian ones and cannot be distinguished from them by these predictions "
    "alone  [an interpretation of claims 9 to 18: nothing to measure]"
)
HELD, FAILED, OPEN = "held", "not held", "open"


class Measured(NamedTuple):
    """The statistic of one mechanism, layer or network, with its 95% interval if it has one."""

    part: str
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval, or the value alone."""
        known = math.isfinite(self.low) and math.isfinite(self.high)
        return (self.low, self.high) if known else (self.value, self.value)


@dataclass(frozen=True)
class Claim:
    """One statement, and the open interval in which the whole 95% interval of its statistic has to lie.

    measure(analysis, arrays) yields the statistic of each mechanism, layer or network from the arrays of the analysis;
    it yields nothing if the options of the analysis do not concern the claim.
    """

    number: int
    statement: str
    statistic: str
    within: tuple[float, float]
    measure: Callable[[Any, dict[str, np.ndarray]], Iterable[Measured]]

    @property
    def rule(self) -> str:
        """The rule in words."""
        low, high = self.within
        if math.isinf(low) or math.isinf(high):
            return f"< {high:g}" if math.isinf(low) else f"> {low:g}"
        return f"{low:g} to {high:g}"

    def verdict(self, found: Measured) -> str:
        """Held, not held, or open if the interval extends beyond one end of the range; so is NaN."""
        (low, high), (least, most) = found.interval, self.within
        if least < low and high < most:
            return HELD
        return FAILED if high <= least or low >= most else OPEN
