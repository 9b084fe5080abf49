"""Claims tested on results files: what each analysis measured, and its verdict, as rows and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ebayes_core.contract.claim import HELD, Claim, Measured

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry


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
    def verdicts(self) -> list[str]:
        """The verdict on each part."""
        return [self.claim.verdict(part) for part in self.parts]

    @property
    def verdict(self) -> str:
        """The common verdict of all parts, or else in how many of them the claim held."""
        kinds = set(self.verdicts)
        return kinds.pop() if len(kinds) == 1 else f"held in {self.verdicts.count(HELD)} of {len(self.parts)}"

    @property
    def hardest(self) -> Measured:
        """The part furthest outside the claim's range, or closest to its edge: the one closest to failing."""
        low, high = self.claim.within
        inside = lambda part: min(part.value - low, high - part.value)
        return min((p for p in self.parts if not math.isnan(p.value)), key=inside, default=self.parts[0])


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
    rows = []
    for finding in found:
        for part in finding.parts if parts else (finding.hardest,):
            rows.append(_row(finding, part, finding.claim.verdict(part) if parts else finding.verdict))
    return rows


def _row(finding: Finding, part: Measured, verdict: str) -> dict[str, str]:
    from ebayes_core.results.handle import title

    claim, (low, high) = finding.claim, part.interval
    interval = f" ({low:.3g} to {high:.3g})" if low < high else ""
    least, most = finding.balance
    return {
        "claim": str(claim.number), "statement": claim.statement, "statistic": claim.statistic, "holds if": claim.rule,
        "verdict": verdict, "value": f"{part.value:.3g}{interval}", "of": part.part,
        "file": f"{title(finding.file)}: {finding.analysis}", "sigma": finding.sigma, "B": f"{least:.2g} to {most:.2g}",
    }  # fmt: skip


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """A table with a row per claim and a column for each way of training sigma (descent, fixed_point)."""
    cells: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for row in rows:
        head = tuple(row[name] for name in ("claim", "statement", "statistic", "holds if"))
        text = f"**{row['verdict']}**: {row['value']}, {row['of']} ({row['file']})"
        cells.setdefault(head, {}).setdefault(row["sigma"], []).append(text.replace("|", "\\|"))
    ways = sorted({row["sigma"] for row in rows})
    lines = [["claim", "statement", "statistic", "holds if", *ways], ["---"] * (4 + len(ways))]
    for head, by_way in cells.items():
        lines.append([*(h.replace("|", "\\|") for h in head), *("<br>".join(by_way.get(way, ["-"])) for way in ways)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
