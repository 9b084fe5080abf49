"""Claims: what a paper states, the statistic that decides, and the rule by which it holds, set before the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from ebayes_core.registry import Registry

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


@dataclass(frozen=True)
class Finding:
    """A claim as one analysis of one results file has measured it."""

    claim: Claim
    parts: tuple[Measured, ...]
    file: Path
    analysis: str
    sigma: str  #: how sigma was trained: descent, or fixed_point
    balance: tuple[float, float]  #: least and largest balance of a layer

    @property
    def verdicts(self) -> list[str]:
        """One per part."""
        return [self.claim.verdict(part) for part in self.parts]

    @property
    def verdict(self) -> str:
        """All parts in one word: held, not held, open where none decides, else in how many."""
        kinds = set(self.verdicts)
        return kinds.pop() if len(kinds) == 1 else f"held in {self.verdicts.count(HELD)} of {len(self.parts)}"

    @property
    def hardest(self) -> Measured:
        """The part that lies deepest in the range's wrong side, or nearest to it."""
        low, high = self.claim.within
        inside = lambda part: min(part.value - low, high - part.value)
        return min((p for p in self.parts if not math.isnan(p.value)), key=inside, default=self.parts[0])


def findings(files: Sequence[Path], registry: Registry) -> list[Finding]:
    """Every claim that the analyses in these files measured, by number. Raises StoreError for other files."""
    from ebayes_core import figures

    found = []
    for file in files:
        sigma, balance = _regime(file)
        for name, (analysis, arrays) in figures.stored(file, registry)[0].items():
            for claim in analysis.claims:
                if parts := tuple(claim.measure(analysis, arrays)):
                    found.append(Finding(claim, parts, file, name, sigma, balance))
    return sorted(found, key=lambda finding: finding.claim.number)


def _regime(file: Path) -> tuple[str, tuple[float, float]]:
    """How sigma was trained in a file, and how near each layer came to the optimum."""
    import numpy as np

    from ebayes_core.runfile import Run

    with Run(file) as run:
        ways = {run.member_spec(i)["training"]["sigma"] for i in range(run.n_members)}
        balance = run.layer_metric("balance")
    known = balance[np.isfinite(balance)]
    return " and ".join(sorted(ways)), (known.min(), known.max()) if known.size else (math.nan, math.nan)
