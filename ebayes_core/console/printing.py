"""Tables of text, fitted to the width of the screen without cutting or breaking a number.

Columns are given in order of importance. Those that do not fit go into another block below, which repeats the key
columns; or they are left out, if the caller says how else to see them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ebayes_core.console import output

SHOWN = 20  #: rows of a table that are shown by default
GAP = 2  #: between two columns
NARROW = 16  #: smallest width of a column of words before its lines are wrapped
LONGEST = 40  #: longer words are broken


@dataclass(frozen=True)
class Column:
    """A heading and the cells below it."""

    heading: str  #: may have several lines, the unit last
    cells: list[str]
    words: bool = False  #: left-aligned and may be wrapped between words, unlike numbers
    key: bool = False  #: identifies the row, so it is repeated in every block

    @property
    def name(self) -> str:
        """The heading on one line, without its unit."""
        return " ".join(line for line in self.heading.split("\n") if not line.startswith("(")).strip()

    @property
    def natural(self) -> int:
        """The width at which no line is wrapped."""
        return max(map(cell_len, (*self.heading.split("\n"), *self.cells)))

    @property
    def least(self) -> int:
        """The smallest possible width."""
        if not self.words:
            return self.natural
        longest = max((cell_len(w) for text in (self.heading, *self.cells) for w in text.split()), default=0)
        return min(self.natural, max(NARROW, min(longest, LONGEST)))


@dataclass(frozen=True)
class Listing:
    """A table as text, ready to be shown on the screen or a page."""

    title: str
    columns: list[Column]
    note: str = ""  #: below the table, such as what is left out

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
        """Indices of the left-aligned columns (words); numbers are right-aligned."""
        return {i for i, column in enumerate(self.columns) if column.words}

    def first(self, most: int, note: str) -> Listing:
        """The first rows; if there are more, with a note in which {} is replaced by how many."""
        more = len(self.rows) - most
        if more <= 0:
            return self
        columns = [replace(column, cells=column.cells[:most]) for column in self.columns]
        return replace(self, columns=columns, note=note.format(more))


def total(widths: Iterable[int]) -> int:
    """The width of columns beside each other, gaps included."""
    found = list(widths)
    return sum(found) + GAP * (len(found) - 1)


def blocks(columns: list[Column], width: float) -> list[list[Column]]:
    """Divide the columns into blocks that fit: each has the keys and as many other columns as fit, at least one."""
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
    """Whether the keys leave room for every other column and take at most two thirds of the screen."""
    taken = [c.least for c in keys]
    return total((*taken, max(c.least for c in others))) <= width and total(taken) <= 2 * width / 3


def _even(columns: list[Column], width: float) -> list[list[Column]]:
    """As few blocks as possible, of similar width, so that no column is left alone in the last block."""
    found = blocks(columns, width)
    if len(found) == 1:
        return found
    narrower = (blocks(columns, least) for least in range(int(width), -1, -1))
    *_, even = takewhile(lambda tried: (len(tried), tried[0][0]) == (len(found), found[0][0]), narrower)
    return even


def _widths(columns: list[Column], width: float) -> list[int]:
    """The width of each column: the smallest possible, plus the remaining space for columns of words."""
    found = [column.least for column in columns]
    for i, column in enumerate(columns):
        found[i] += int(max(0, min(column.natural - found[i], width - total(found))))
    return found


def _table(columns: list[Column], width: float) -> Table:
    """A block as a table; it gets wider than the screen rather than cutting a number."""
    widths = _widths(columns, width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0), width=total(widths))
    for column, size in zip(columns, widths, strict=True):
        side: Literal["left", "right"] = "left" if column.words else "right"
        table.add_column(column.heading, width=size, justify=side, no_wrap=not column.words, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def show(console: Console, listing: Listing, *, wide: bool = False, rest: str = "") -> list[Column]:
    """Print a table in blocks, or, if `rest` is given, only the most important columns. Returns the printed columns.

    wide: print all columns beside each other, however long the lines get.
    rest: how else to see the columns that do not fit, such as an option of the command.
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
        paragraph(console, f"columns that do not fit: {names} ({rest})")
    return [column for block in printed for column in block]


def _shown(column: Column, console: Console) -> Column:
    """The column in the screen's encoding, so that the measured width is the printed one."""
    heading, *cells = (output.shown(text, console.encoding) for text in (column.heading, *column.cells))
    return replace(column, heading=heading, cells=cells)


def paragraph(console: Console, words: str, first: str = "", then: str | None = None) -> None:
    """Print a text wrapped between words only; file names and no-break spaces are never broken.

    first, then: prefixes of the first line and of the others.
    """
    rest = " " * cell_len(first) if then is None else then
    how: dict[str, Any] = {"subsequent_indent": rest, "break_long_words": False, "break_on_hyphens": False}
    for part in words.splitlines():
        for line in textwrap.wrap(part, max(console.width, 2 * len(rest)), initial_indent=first, **how):
            console.print(line.replace("\N{NO-BREAK SPACE}", " "), soft_wrap=True)
        first = rest


def legend(console: Console, entries: Mapping[str, str]) -> None:
    """Print names with their explanations, aligned below each other."""
    width = max(map(len, entries), default=0) + GAP
    for name, words in entries.items():
        paragraph(console, words, f"{name:<{width}}")
