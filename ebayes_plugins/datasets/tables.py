"""CSV files: columns by name, and where a cell is not what it should be."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ebayes_core.errors import nearest

INTEGER = re.compile(r"[+-]?\d{1,18}")


class Unfit(ValueError):
    """A file whose content cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text, and the number of the line on which each row ends."""

    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def columns(self, names: Sequence[str]) -> list[int]:
        """The numbers of these columns. Raises Unfit for a name that the first line does not contain."""
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names[:20]) + ", ..." * (len(self.names) > 20)
                raise Unfit(f"there is no column '{name}'{nearest(name, self.names) or ';'} columns are {known}")
        return [self.names.index(name) for name in names]

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """These columns as finite numbers, (rows, columns) float64. Raises Unfit naming the first other cell."""
        cells = ((i, column) for i in range(len(self.rows)) for column in columns)
        flat = np.fromiter((self._number(i, column) for i, column in cells), np.float64)
        return flat.reshape(len(self.rows), len(columns))

    def _number(self, row: int, column: int) -> float:
        found = number(self.rows[row][column])
        if found is None or not math.isfinite(found):
            raise Unfit(self.at(row, column, "is not a finite number"))
        return found

    def labels(self, column: int) -> np.ndarray:
        """A column of classes: integers if every cell is one, otherwise text. Raises Unfit for an empty cell."""
        cells = [row[column].strip() for row in self.rows]
        if "" in cells:
            raise Unfit(self.at(cells.index(""), column, "is empty"))
        whole = all(INTEGER.fullmatch(cell) for cell in cells)
        return np.array(cells, dtype=np.int64) if whole else np.array(cells)

    def continuous(self, column: int) -> bool:
        """Whether a cell of a column is a number that is not whole."""
        return any(number(row[column]) is not None and not INTEGER.fullmatch(row[column].strip()) for row in self.rows)

    def at(self, row: int, column: int, what: str) -> str:
        """`line 7, column 'width': 'abc' is not a number`."""
        return f"line {self.lines[row]}, column '{self.names[column]}': {self.rows[row][column][:40]!r} {what}"


def number(cell: str) -> float | None:
    """The number in a cell; None if it holds something else. Python's underscores in numbers are not accepted."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def table(content: bytes) -> Table:
    """The table in the bytes of a CSV file. Raises Unfit naming the line with a mistake."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"byte {error.start} is not UTF-8 text: save it as CSV in UTF-8") from error
    found = list(_read(text))
    if not found:
        raise Unfit("it is empty")
    (_, names), rows = found[0], found[1:]
    _refuse_headless(names)
    for line, row in rows:
        if len(row) != len(names):
            raise Unfit(f"line {line} has {len(row)} cells, and the first line names {len(names)} columns")
    return Table(tuple(name.strip() for name in names), [row for _, row in rows], [line for line, _ in rows])


def _read(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise Unfit(f"line {reader.line_num} is not CSV: {error}") from error


def _refuse_headless(names: list[str]) -> None:
    """Without names the first example would be taken for them, and silently lost."""
    if any(number(name) is not None for name in names):
        raise Unfit("line 1 has to name the columns, and contains numbers; insert a line such as  x1,x2,y  before it")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Unfit(f"two columns are called '{twice[0]}'")
