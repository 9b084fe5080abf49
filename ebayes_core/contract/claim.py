"""A claim: what a paper states, the statistic that decides, and the rule by which it holds, set before the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: What no statistic decides.
INTERPRETED = (
    "23  energy-efficient synapses mimic Bayesian ones and cannot be told from them by these predictions alone  [an "
    "interpretation of claims 9 to 18: nothing to measure]"
)
HELD, FAILED, OPEN = "held", "not held", "open"


class Measured(NamedTuple):
    """The statistic of one mechanism, layer or network, with its 95% interval where it has one."""

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
    """One statement, and the open range in which the whole interval of its statistic has to lie.

    measure(analysis, arrays) yields a statistic per mechanism, layer or network, from what the analysis measured;
    nothing where its options do not speak of the claim.
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
        """Held, not held, or open where the interval reaches over an end of the range; a claim about NaN is open."""
        (low, high), (least, most) = found.interval, self.within
        if least < low and high < most:
            return HELD
        return FAILED if high <= least or low >= most else OPEN
