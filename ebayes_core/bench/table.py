"""The bench as text: the machine, the sections, the goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ebayes_core.bench.goals import Verdict
from ebayes_core.bench.rows import Row, Section
from ebayes_core.console import printing
from ebayes_core.console.printing import Column, Listing
from ebayes_core.wording import span

BUSY = 0.5  #: load before the start above which the times are noticeably disturbed


#: what the columns of the tables mean
LEGEND = {
    "ms, s": "median time over the rounds of timing; per network where the heading says so",
    "ratio": "to the first row of the table",
    "to floor": "ratio to the time of the matrix products, the bytes of the update and the noise alone, in the cache",
    "quartiles": "lower and upper quartile over the rounds",
    "best of processes": "the same program was timed in several fresh processes; the range is that of their medians",
    "limit": "of the measured ratio (or time), then the stricter one to be reached later",
    "met": "whether the measured value is within the limit; with two limits: both, only the first, or NO",
    "in brackets": "after a goal: the row with the worst value, which decides; or why nothing was measured",
}


def show(console: Console, machine: dict[str, Any], sections: list[Section], verdicts: list[Verdict]) -> None:
    """Print the whole bench."""
    about(console, machine)
    for section in sections:
        console.print()
        printing.show(console, _section(section))
    console.print()
    printing.show(console, _goals(verdicts))
    printing.legend(console, LEGEND)


def about(console: Console, m: dict[str, Any]) -> None:
    """Print a description of the machine, and a warning if it was busy."""
    console.print(f"{m['processor']}, {m['cores']} cores, {m['threads']} threads, {m['system']}", soft_wrap=True)
    compiler = m["compiler"] or "no C++ compiler"
    console.print(f"torch {m['torch_version']}, {compiler}, {m['created']}", soft_wrap=True)
    if (m["load_before"] or 0) > BUSY:
        console.print(
            f"THE MACHINE WAS BUSY (load {m['load_before']:.1f} before the start): these numbers are not reliable"
        )


def number(value: float | None) -> str:
    """A number with three digits, or a dash if there is none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _section(section: Section) -> Listing:
    """The table of a section: medians, their ratios to the first row and to the floor, and quartiles."""
    headings, words = ["", section.unit, "ratio", "to floor", "quartiles"], (0,)
    rows = [_cells(section, row) for row in section.rows]
    if all(row.floor is None for row in section.rows):
        headings, rows = _without(3, headings), [_without(3, row) for row in rows]
    return Listing(section.title, columns(headings, rows, words=words, keys=1))


def _without(column: int, cells: Sequence[str]) -> list[str]:
    return [*cells[:column], *cells[column + 1 :]]


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int], keys: int) -> list[Column]:
    """Columns from rows; the first `keys` columns identify the row."""
    cells = list(zip(*rows, strict=True)) or [()] * len(headings)
    return [Column(h, list(c), i in words, i < keys) for i, (h, c) in enumerate(zip(headings, cells, strict=True))]


def _cells(section: Section, row: Row) -> list[str]:
    if row.problem:
        return [f"{row.name}: {row.problem}", "-", "-", "-", ""]
    low, high = row.quartiles or (None, None)
    spread = f"{number(low)} to {number(high)}" if len(row.samples) > 1 else ""
    return [_described(row), *map(number, (row.median, section.ratio(row), row.to_floor)), spread]


def _described(row: Row) -> str:
    """The name of a row, its note, and the spread over the processes of which the best is shown."""
    best = f"best of {len(row.processes)} processes, {span(row.processes)}" if row.processes else ""
    notes = "; ".join(part for part in (row.note, best) if part)
    return f"{row.name} ({notes})" if notes else row.name


def _goals(verdicts: list[Verdict]) -> Listing:
    """The table of goals: what, with the worst row; limits, measured value, and whether the goal is met."""
    rows = [(_what(v), _limits(v), number(v.measured), _met(v)) for v in verdicts]
    return Listing("Goals", columns(("", "limit", "measured", "met"), rows, words=(0,), keys=1))


def _what(v: Verdict) -> str:
    """The goal, with the row that decides or why nothing was measured."""
    return f"{v.goal.what} ({'; '.join(part for part in (v.row, v.why) if part)})"


def _limits(v: Verdict) -> str:
    sign = ">=" if v.goal.at_least else "<="
    then = "" if v.goal.then is None else f", then {number(v.goal.then)}"
    return f"{sign} {number(v.goal.limit)}{then}"


def _met(v: Verdict) -> str:
    if v.met is None:
        return "-"
    if v.then_met is None:
        return "yes" if v.met else "NO"
    return "both" if v.then_met else "first" if v.met else "NO"
