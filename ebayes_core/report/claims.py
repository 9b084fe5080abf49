"""Claims tested on results files: what each analysis measured, and its verdict, as rows and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ebayes_core.contract.claim import CONSTRUCTED, HELD, OPEN, Claim, Measured
from ebayes_core.report.chance import LEVEL, MOST, holm, p_value, seeds_needed

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry

#: when a version of a rule was written; the first, and those that follow another
WRITTEN = {"before": "before the numbers", "pilot": "after smaller runs", "after": "after the numbers"}


@dataclass(frozen=True)
class Finding:
    """A claim as measured by one analysis of one results file."""

    claim: Claim
    parts: tuple[Measured, ...]
    file: Path
    analysis: str
    sigma: str  #: how sigma was trained: descent, or fixed_point
    balance: tuple[float, float]  #: smallest and largest balance of a network

    @property
    def counted(self) -> tuple[Measured, ...]:
        """The parts that data could have decided: those that are not true by construction."""
        return tuple(part for part in self.parts if self.claim.verdict(part) != CONSTRUCTED)

    def verdict(self, times: float = 1.0) -> str:
        """The common verdict of these parts, or else in how many of them the claim held.

        times: thresholds are so many times as large as the rule's.
        """
        verdicts = [self.claim.verdict(part, times) for part in self.counted]
        kinds = set(verdicts) or {CONSTRUCTED}
        return kinds.pop() if len(kinds) == 1 else f"held in {verdicts.count(HELD)} of {len(verdicts)}"

    @property
    def hardest(self) -> Measured:
        """The part closest to failing: that whose statistic is the furthest outside the range or the nearest to an end.

        Parts that are true by construction, or whose verdict is open for want of an interval, come last.
        """
        low, high = self.claim.within
        inside = lambda part: min(part.value - low, high - part.value)
        rank = lambda part: (part not in self.counted, math.isnan(part.value), not part.known, inside(part))
        return min(self.parts, key=rank)

    @property
    def p_value(self) -> float:
        """The chance that the claim is held by chance: that of its least certain part, since all have to hold."""
        return max((p_value(self.claim, part) for part in self.counted), default=1.0)


def findings(file: Path, registry: Registry) -> tuple[list[Finding], dict[str, Exception]]:
    """Every claim measured by the analyses in a file, and for each analysis that failed, its error.

    Raises StoreError if it is not a results file.
    """
    from ebayes_core.contract.attribution import asking
    from ebayes_core.report import figures

    sigma, balance = _regime(file)
    found: list[Finding] = []
    problems: dict[str, Exception] = {}
    for name, (analysis, arrays) in figures.stored(file, registry)[0].items():
        try:
            with asking(analysis, "its claims"):
                measured = [(claim, tuple(claim.measure(analysis, arrays))) for claim in analysis.claims]
        except Exception as error:  # of a third-party claim, or arrays of another version; the other claims go on
            problems[name] = error
            continue
        found += [Finding(claim, parts, file, name, sigma, balance) for claim, parts in measured if parts]
    return in_order(found), problems


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """Sort findings by number of the claim; those of one statement stay together."""
    statements = list(dict.fromkeys(finding.claim.statement for finding in found))
    return sorted(found, key=lambda finding: (finding.claim.number, statements.index(finding.claim.statement)))


def _regime(file: Path) -> tuple[str, tuple[float, float]]:
    """How sigma was trained in a file, and the range of its networks' balance."""
    import numpy as np

    from ebayes_core.results.reader import Run

    with Run(file) as run:
        ways = {run.member_spec(i)["training"]["sigma"] for i in range(run.n_members)}
        balance = run.metric("balance")
    known = balance[np.isfinite(balance)]
    return " and ".join(sorted(ways)), (known.min(), known.max()) if known.size else (math.nan, math.nan)


def table(found: Sequence[Finding], parts: bool = False) -> list[dict[str, str]]:
    """The findings as rows of text: for each the part closest to failing, or all parts."""
    return [_row(finding, part, parts) for finding in found for part in (finding.parts if parts else [finding.hardest])]


def _row(finding: Finding, part: Measured, alone: bool) -> dict[str, str]:
    """A part of a finding; its own verdicts, or those of all parts."""
    from ebayes_core.results.handle import title

    claim, (least, most) = finding.claim, finding.balance
    verdict = partial(claim.verdict, part) if alone else finding.verdict
    return {
        "claim": str(claim.number), "statement": claim.statement, "statistic": claim.statistic,
        "threshold": claim.rule, "source": claim.source, "rule": written(claim),
        "verdict": verdict(), "at half": verdict(times=0.5) if claim.sized else "",
        "at twice": verdict(times=2.0) if claim.sized else "", "value": f"{part.value:.3g}",
        "interval": f"{part.low:.3g} to {part.high:.3g}" if part.known else "none",
        "over": part.over if part.known else "", "of": part.part, "note": part.because or part.doubt,
        "seeds": _seeds(claim, part), "file": f"{title(finding.file)}: {finding.analysis}", "sigma": finding.sigma,
        "B": f"{least:.2g} to {most:.2g}",
    }  # fmt: skip


def written(claim: Claim) -> str:
    """The version of a rule, and when each version was written."""
    times = [WRITTEN[when] for when in claim.history]
    if len(times) == 1:
        return f"version 1, written {times[0]}"
    return f"version {claim.version} ({', '.join(f'{n} {time}' for n, time in enumerate(times, 1))})"


def _seeds(claim: Claim, part: Measured) -> str:
    """How many seeds would settle an open verdict, in words."""
    if claim.verdict(part) != OPEN or part.unsettled:
        return ""
    needed = seeds_needed(claim, part)
    return str(needed) if needed else f"over {MOST}" if part.seeds > 1 else "unknown: no spread over seeds"


def summary(found: Sequence[Finding]) -> str:
    """How many verdicts would be held by chance alone, and how many stand after a correction for their number.

    What several files measure alike, such as the same experiment, counts once.
    """
    once = {(f.claim.number, f.claim.statement, str(f.parts)): f for f in found}
    tested = [finding for finding in once.values() if finding.counted]
    stand = holm([finding.p_value for finding in tested])
    held = [finding.verdict() == HELD for finding in tested]
    kept = sum(h and s for h, s in zip(held, stand, strict=True))
    return (
        f"{sum(held)} of {len(tested)} verdicts are held. If every statistic lay at its threshold, at most "
        f"{LEVEL * len(tested):.2g} would be by chance ({LEVEL:.1%} each); {kept} are still held after Holm's "
        f"correction for {len(tested)} verdicts. {len(once) - len(tested)} more are true by construction and not "
        "counted."
    )


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """A table with a row per claim and a column for each way of training sigma (descent, fixed_point)."""
    heads = ("claim", "statement", "statistic", "threshold", "source", "rule")
    cells: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for row in rows:
        cells.setdefault(tuple(row[name] for name in heads), {}).setdefault(row["sigma"], []).append(_cell(row))
    ways = sorted({row["sigma"] for row in rows})
    lines = [[*heads, *ways], ["---"] * (len(heads) + len(ways))]
    for head, by_way in cells.items():
        lines.append([*head, *("<br>".join(by_way.get(way, ["-"])) for way in ways)])
    return "\n".join("| " + " | ".join(part.replace("|", "\\|") for part in line) + " |" for line in lines)


def _cell(row: dict[str, str]) -> str:
    """One finding: its verdicts, statistic and interval, and where they come from."""
    sized = f" (half: {row['at half']}; twice: {row['at twice']})" if row["at half"] else ""
    interval = f" ({row['interval']} over {row['over']})" if row["over"] else ", no interval"
    note = f"; {row['note']}" if row["note"] else ""
    return f"**{row['verdict']}**{sized}: {row['value']}{interval}, {row['of']}{note} ({row['file']})"
