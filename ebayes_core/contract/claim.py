"""A claim of a paper: the statement, the statistic that tests it, and the rule by which it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: A claim that no statistic can test.
INTERPRETED = (
    "23  energy-efficient synapses mimic Bayesian ones and cannot be distinguished from them by these predictions "
    "alone  [an interpretation of claims 9 to 18: nothing to measure]"
)
HELD, FAILED, OPEN, CONSTRUCTED = "held", "not held", "open", "by construction"
POSITIVE, NEGATIVE = (0.0, math.inf), (-math.inf, 0.0)
OURS, SIGN = "ours", "the sign, from the text"
#: when a version of a rule was committed, relative to the numbers that it judges; pilot: smaller runs had been seen
Written = Literal["before", "pilot", "after"]
ALIKE = 6  #: seeds whose one value bounds their median: all lie on one side of it in 2 of 2^6 cases, less than 5%
ROUNDING = 1e-12  #: values that differ by less have no spread


class Measured(NamedTuple):
    """The statistic of one mechanism, layer or network, with its 95% interval if it has one."""

    part: str
    value: float
    low: float = math.nan
    high: float = math.nan
    over: str = ""  #: what the interval is over: "3 seeds", "bootstrap over synapses"
    seeds: int = 0  #: how many seeds an interval by Student's t is over; 0 for any other interval
    because: str = ""  #: why it is true by construction
    unsettled: str = ""  #: why its verdict is open, whatever the interval says
    logs: bool = False  #: whether it is a ratio, whose interval is even in logarithms
    #: of a value as high if the truth were at the lower end of the range, and as low if at the upper, by a test that is
    #: not Student's; None: p values come from the interval
    chances: tuple[float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether it has an interval: without one there is no verdict."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def alike(self) -> bool:
        """Whether its interval has no width but for rounding: all values are the same, and their spread is unknown."""
        return math.isclose(self.low, self.high, rel_tol=ROUNDING, abs_tol=ROUNDING)

    @property
    def doubt(self) -> str:
        """Why its verdict is open, whatever the interval says; empty if the interval decides."""
        few = self.alike and self.seeds < ALIKE
        return self.unsettled or (f"no spread over {self.over}; so alike, {ALIKE} would settle it" if few else "")


@dataclass(frozen=True)
class Claim:
    """One statement, and the open interval in which the whole 95% interval of its statistic has to lie.

    measure(analysis, arrays) yields the statistic of each mechanism, layer or network from the arrays of the analysis;
    it yields nothing if the options of the analysis do not concern the claim. A change of statistic or range is a new
    version, which adds to the history.
    """

    number: int
    statement: str
    statistic: str
    within: tuple[float, float]
    measure: Callable[[Any, dict[str, np.ndarray]], Iterable[Measured]]
    history: tuple[Written, ...] = ("before",)  #: of each version
    source: str = OURS  #: of the threshold
    #: from which thresholds are counted, so that an end of the range that equals it is none; None if theory sets them
    reference: float | None = 0.0

    @property
    def version(self) -> int:
        """The version of the rule, counted from 1."""
        return len(self.history)

    @property
    def rule(self) -> str:
        """The rule in words."""
        low, high = self.within
        if math.isinf(low) or math.isinf(high):
            return f"< {high:g}" if math.isinf(low) else f"> {low:g}"
        return f"{low:g} to {high:g}"

    @property
    def sized(self) -> bool:
        """Whether it has a threshold that could as well be half or twice as large."""
        return self.reference is not None and any(math.isfinite(e) and e != self.reference for e in self.within)

    def at(self, times: float) -> tuple[float, float]:
        """The range with thresholds that are so many times as large."""
        if self.reference is None:
            return self.within
        low, high = (self.reference + times * (end - self.reference) for end in self.within)
        return low, high

    def verdict(self, found: Measured, times: float = 1.0) -> str:
        """Held, not held, or open: if the interval extends beyond one end of the range, or is not known.

        What is true by construction says so; outside the range it is not. Few seeds of one value leave it open.
        """
        least, most = self.at(times)
        if found.because and not math.isnan(found.value):
            return CONSTRUCTED if least < found.value < most else FAILED
        if found.doubt or not found.known:
            return OPEN
        if least < found.low and found.high < most:
            return HELD
        return FAILED if found.high <= least or found.low >= most else OPEN
