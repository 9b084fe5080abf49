"""The tables of reproduction.md that come from the records in results/: run without arguments, this writes them.

With --check it writes nothing, and fails with the name of a table that is not the one of the records.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ebayes_core.api.plugins import registry_of
from ebayes_core.contract.claim import CONSTRUCTED, FAILED, HELD, INTERPRETED, Claim
from ebayes_core.contract.registry import Registry
from ebayes_core.report.claims import WRITTEN, Finding, findings, in_order, summary, table, written
from ebayes_core.report.figures import stored
from ebayes_plugins.analyses._published import differences
from ebayes_plugins.analyses.tradeoff import Tradeoff

HERE = Path(__file__).parent
PAGE, RECORDS = HERE / "reproduction.md", HERE / "results"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
#: how a file trained sigma, as a heading
REGIMES = {"descent": "by descent", "fixed_point": "at the optimum"}
#: where the paper makes a claim
FIGURES = {
    "Figures 2 and 3": [*range(1, 8), 24], "Figure 4": [8], "Figure 5 and Appendix 6": [9, 10, 11, 12, 21],
    "Figure 6": [13, 22], "Figure 7": range(14, 18), "Appendix 4": [18, 19], "Appendix 5": [20],
}  # fmt: skip
INTERPRETATION = int(INTERPRETED.split(maxsplit=1)[0])  #: number of the claim that no statistic can test
#: verdicts on a claim as a whole, and what they mean
VERDICTS = {
    "holds": "every part of every statement holds in every file",
    "in part": "some parts hold, others are open or do not hold",
    "open": "no part holds, and none fails",
    "fails": "no part holds, and at least one fails",
    "by construction": "true whatever the data are, in every part",
    "no record": "no record of such networks tests it",
    "an interpretation": "no statistic can test it",
}
COLUMNS = ("file", "sigma", "B", "parts", "verdict", "half", "twice", "value", "over", "hardest part", "seeds needed")


def builtin() -> Registry:
    """The plugins of ebayes itself, whatever else is installed."""
    return Registry([entry for entry in registry_of(()).entries if entry.distribution == "ebayes"])


def known(registry: Registry) -> list[Claim]:
    """Every statement of a claim that an analysis tests, by number."""
    found = dict.fromkeys(claim for kind in registry.kinds("analysis").values() for claim in kind.claims)
    return sorted(found, key=lambda claim: claim.number)


def measured(records: Iterable[Path], registry: Registry) -> list[Finding]:
    """Every claim measured by the records, by number. Raises SystemExit if one cannot be measured."""
    found: list[Finding] = []
    for record in records:
        more, problems = findings(record, registry)
        if problems:
            raise SystemExit(f"{record}: {problems}")
        found += more
    return in_order(found)


def tables(records: Iterable[Path]) -> dict[str, str]:
    """Every generated table by its name."""
    registry, records = builtin(), sorted(records)
    claims, found = known(registry), measured(records, registry)
    return {
        "published": published(records, registry),
        "glance": glance(claims, found),
        "chance": summary(found) + "\n",
        "claims": "\n".join(of_figure(name, numbers, claims, found) for name, numbers in FIGURES.items()),
        "history": history(claims),
    }


def published(records: Iterable[Path], registry: Registry) -> str:
    """How far the networks are from the published values, a row per mechanism and noise mode, a column per c."""
    kept = [stored(record, registry)[0].values() for record in records]
    found = [
        d for file in kept for analysis, arrays in file
        if isinstance(analysis, Tradeoff) and analysis.published for d in differences(arrays)
    ]  # fmt: skip
    cells = {(d.column, d.line, d.c): f"{d.points[0]:+.1f}, {d.percent[0]:+.1f}%" for d in found}
    columns, lines = sorted({d.c for d in found}), dict.fromkeys((d.column, d.line) for d in found)
    rows = [[*line, *(cells.get((*line, c), "") for c in columns)] for line in lines]
    return grid(["mechanism", "noise", *(f"c = {c:g}" for c in columns)], rows)


def overall(found: Sequence[Finding]) -> str:
    """The verdict on a claim as a whole: that of all parts of its statements in all files."""
    verdicts = {finding.claim.verdict(part) for finding in found for part in finding.parts}
    counted = verdicts - {CONSTRUCTED}
    if not counted:
        return "by construction" if verdicts else "no record"
    if HELD in counted:
        return "holds" if counted == {HELD} else "in part"
    return "fails" if FAILED in counted else "open"


def glance(claims: Sequence[Claim], found: Sequence[Finding]) -> str:
    """How many claims have each verdict, and which, for each way of training sigma."""
    columns, numbers = [], {claim.number for claim in claims} | {INTERPRETATION}
    for regime in REGIMES:
        mine = [finding for finding in found if regime in finding.sigma.split(" and ")]
        verdicts = {n: overall([f for f in mine if f.claim.number == n]) for n in sorted(numbers)}
        verdicts[INTERPRETATION] = "an interpretation"
        columns.append({v: [str(n) for n in verdicts if verdicts[n] == v] for v in VERDICTS})
    cell = lambda numbers: f"{len(numbers)}: {', '.join(numbers)}" if numbers else "0"
    rows = [[name, *(cell(column[name]) for column in columns), meaning] for name, meaning in VERDICTS.items()]
    return grid(["verdict", *REGIMES.values(), "meaning"], rows)


def of_figure(name: str, numbers: Iterable[int], claims: Sequence[Claim], found: Sequence[Finding]) -> str:
    """Each statement of a figure's claims with its rule, and a table with a row for each file."""
    parts = [f"### Claims of {name}\n"]
    for claim in sorted((c for c in claims if c.number in numbers), key=lambda c: c.number):
        parts.append(
            f"**{claim.number}. {claim.statement}.** Held if {claim.statistic} {within(claim)}; "
            f"threshold: {claim.source}; {written(claim)}.\n"
        )
        mine = [finding for finding in found if finding.claim == claim]
        parts.append(of_files(mine) if mine else "No record tests it.\n")
    return "\n".join(parts)


def within(claim: Claim) -> str:
    """The rule as part of a sentence."""
    return f"is {claim.rule}" if claim.rule[0] in "<>" else f"is within {claim.rule}"


def of_files(found: Sequence[Finding]) -> str:
    """A row for each file and analysis; columns without any entry are left out."""
    rows = [of_file(finding, row) for finding, row in zip(found, table(found), strict=True)]
    kept = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows)]
    return grid([COLUMNS[i] for i in kept], [[row[i] for i in kept] for row in rows])


def of_file(finding: Finding, row: dict[str, str]) -> list[str]:
    """The verdicts, and the statistic of the part closest to failing with its interval."""
    file = f"[{finding.file.stem}](results/{finding.file.name}): {finding.analysis}"
    value = f"{row['value']} ({row['interval']})" if row["over"] else f"{row['value']}, no interval"
    part = f"{row['of']}; {row['note']}" if row["note"] else row["of"]
    verdicts = [f"**{row['verdict']}**", row["at half"], row["at twice"]]
    return [file, row["sigma"], row["B"], str(len(finding.parts)), *verdicts, value, row["over"], part, row["seeds"]]


def history(claims: Sequence[Claim]) -> str:
    """When each version of each rule was written."""
    most = max(claim.version for claim in claims)
    rows = [[str(c.number), c.statement, *(WRITTEN[w] for w in c.history), *[""] * (most - c.version)] for c in claims]
    once = list(dict.fromkeys(map(tuple, rows)))  # a statement that two analyses test
    return grid(["claim", "statement", *(f"version {n + 1}" for n in range(most))], once)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def written_anew(page: str, made: dict[str, str]) -> str:
    """The page with these tables between their markers."""
    return MARKED.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n{found[4]}", page)


def differing(page: str, made: dict[str, str]) -> list[str]:
    """Names of the tables that the page has otherwise, or not at all."""
    there = {found[2]: found[3] for found in MARKED.finditer(page)}
    return [name for name, text in made.items() if there.get(name, "").strip() != text.strip()]


def main() -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table differs")
    check = parser.parse_args().check
    page, made = PAGE.read_text(encoding="utf-8"), tables(RECORDS.glob("*.h5"))
    if check and (names := differing(page, made)):
        raise SystemExit(f"{PAGE.name}: not the tables of the records: {', '.join(names)}; run: python docs/tables.py")
    if not check:
        PAGE.write_text(written_anew(page, made), encoding="utf-8")


if __name__ == "__main__":
    main()
