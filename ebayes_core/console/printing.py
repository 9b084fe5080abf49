"""A table in words, and how it is set into whatever width there is: no number is ever cut or broken.

Columns stand in the order of their importance. What does not fit beside the rest goes below it, in a block that repeats
the columns which say whose row it is; or is left out, where the table says what else shows it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ebayes_core.console import output

SHOWN = 20  #: rows that a person reads; of more, a command shows the first
GAP = 2  #: between two columns
NARROW = 16  #: a column of words gets so much before a line breaks in it
LONGEST = 40  #: a longer word is broken


@dataclass(frozen=True)
class Column:
    """Cells below a heading."""

    heading: str  #: on several lines, the unit last
    cells: list[str]
    words: bool = False  #: to the left, and may go on in the next line between words; a number never does
    key: bool = False  #: says whose row it is: stands in every block

    @property
    def name(self) -> str:
        """The heading in one line, without its unit."""
        return " ".join(line for line in self.heading.split("\n") if not line.startswith("(")).strip()

    @property
    def natural(self) -> int:
        """The width in which no line breaks."""
        return max(map(cell_len, (*self.heading.split("\n"), *self.cells)))

    @property
    def least(self) -> int:
        """The width it cannot do without."""
        if not self.words:
            return self.natural
        longest = max((cell_len(w) for text in (self.heading, *self.cells) for w in text.split()), default=0)
        return min(self.natural, max(NARROW, min(longest, LONGEST)))


@dataclass(frozen=True)
class Listing:
    """A table in words: whoever shows it only has to set it."""

    title: str
    columns: list[Column]
    note: str = ""  #: what it leaves out

    @property
    def headings(self) -> list[str]:
        """The heading of each column."""
        return [column.heading for column in self.columns]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def left(self) -> set[int]:
        """The columns of words; numbers stand to the right."""
        return {i for i, column in enumerate(self.columns) if column.words}

    def first(self, most: int, note: str) -> Listing:
        """The first rows, with a note where there are more: {} in it is how many."""
        more = len(self.rows) - most
        if more <= 0:
            return self
        columns = [replace(column, cells=column.cells[:most]) for column in self.columns]
        return replace(self, columns=columns, note=note.format(more))


def total(widths: Iterable[int]) -> int:
    """The width of columns beside each other."""
    found = list(widths)
    return sum(found) + GAP * (len(found) - 1)


def blocks(columns: list[Column], width: float) -> list[list[Column]]:
    """The columns by blocks that fit: in each the keys, then as many others as there is room for, at least one."""
    keys = [column for column in columns if column.key]
    others = [column for column in columns if not column.key]
    if others and keys and not _room(keys, others, width):
        numbers = Column("#", [str(i + 1) for i in range(len(keys[0].cells))])
        keys, others = [numbers], [*keys, *others]
    found: list[list[Column]] = [[]]
    for column in others:
        if found[-1] and total(c.least for c in (*keys, *found[-1], column)) > width:
            found.append([])
        found[-1].append(column)
    return [[*keys, *block] for block in found]


def _room(keys: list[Column], others: list[Column], width: float) -> bool:
    """Whether the keys leave enough: for each other column, and a third of the screen."""
    taken = [c.least for c in keys]
    return total((*taken, max(c.least for c in others))) <= width and total(taken) <= 2 * width / 3


def _even(columns: list[Column], width: float) -> list[list[Column]]:
    """As few blocks as fit, and alike in width: no column stands alone that could stand in company."""
    found = blocks(columns, width)
    while len(found) > 1 and len(narrower := blocks(columns, width - 1)) == len(found):
        found, width = narrower, width - 1
    return found


def _widths(columns: list[Column], width: float) -> list[int]:
    """What each column gets: what it needs, and the columns of words what is left over."""
    found = [column.least for column in columns]
    for i, column in enumerate(columns):
        found[i] += int(max(0, min(column.natural - found[i], width - total(found))))
    return found


def _table(columns: list[Column], width: float) -> Table:
    """A block, wider than the screen rather than with a number cut."""
    widths = _widths(columns, width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0), width=total(widths))
    for column, size in zip(columns, widths, strict=True):
        side: Literal["left", "right"] = "left" if column.words else "right"
        table.add_column(column.heading, width=size, justify=side, no_wrap=not column.words, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def show(console: Console, listing: Listing, *, wide: bool = False, rest: str = "") -> list[Column]:
    """Print a table: in blocks, or, where `rest` says what shows the others, the most important columns alone.

    wide: every column in one line, however long that is. Returns the columns that were printed.
    """
    width = float("inf") if wide else console.width
    found = (blocks if rest else _even)([_shown(column, console) for column in listing.columns], width)
    if listing.title:
        console.print(listing.title, style="bold", soft_wrap=True)
    printed = found[:1] if rest else found
    for i, block in enumerate(printed):
        if i:
            console.print()
        console.print(_table(block, width), crop=False)
    if listing.note:
        paragraph(console, listing.note)
    if len(printed) < len(found):
        names = ", ".join(c.name for block in found[1:] for c in block if c not in found[0])
        paragraph(console, f"not shown for want of width: {names}; {rest}")
    return [column for block in printed for column in block]


def _shown(column: Column, console: Console) -> Column:
    """As the screen's encoding can show it, so that what is measured is what is printed."""
    heading, *cells = (output.shown(text, console.encoding) for text in (column.heading, *column.cells))
    return replace(column, heading=heading, cells=cells)


def paragraph(console: Console, words: str, first: str = "", then: str | None = None) -> None:
    """Print a text that breaks between words only: names of files stay whole, and what no-break spaces hold together.

    first, then: what its first line and the others begin with.
    """
    rest = " " * cell_len(first) if then is None else then
    how: dict[str, Any] = {"subsequent_indent": rest, "break_long_words": False, "break_on_hyphens": False}
    for part in words.splitlines():
        for line in textwrap.wrap(part, max(console.width, 2 * len(rest)), initial_indent=first, **how):
            console.print(line.replace("\N{NO-BREAK SPACE}", " "), soft_wrap=True)
        first = rest


def legend(console: Console, entries: Mapping[str, str]) -> None:
    """Print what names mean, the explanations below each other."""
    width = max(map(len, entries), default=0) + GAP
    for name, words in entries.items():
        paragraph(console, words, f"{name:<{width}}")
