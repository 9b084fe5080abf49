"""Rows and sections: what was timed, how often, and how it stands to the first row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Step = Callable[[], object]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Variant:
    """Something to time: `start` prepares it, in whatever process, and returns what is repeated."""

    name: str
    start: Callable[[], Step]
    networks: int = 1  #: times are per network
    tags: tuple[str, ...] = ()  #: what the goals know it by
    section: str = ""


@dataclass(frozen=True)
class Row:
    """One variant's times, or why there are none."""

    name: str
    samples: tuple[float, ...] = ()
    tags: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def median(self) -> float | None:
        """Median over the rounds; None for a row that failed."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """Lower and upper quartile over the rounds."""
        if not self.samples:
            return None
        low, high = np.quantile(self.samples, (0.25, 0.75))
        return float(low), float(high)


@dataclass(frozen=True)
class Section:
    """Rows of one unit; ratios are to the first of them."""

    title: str
    unit: str
    rows: tuple[Row, ...]

    def ratio(self, row: Row) -> float | None:
        """Median to the first row's median; None where either is missing."""
        return quotient(row, self.rows[0])

    def record(self) -> dict[str, object]:
        """The section as plain data."""
        return {"title": self.title, "unit": self.unit, "rows": [self._row(row) for row in self.rows]}

    def _row(self, row: Row) -> dict[str, object]:
        numbers = {"median": row.median, "quartiles": row.quartiles, "ratio": self.ratio(row)}
        return {"name": row.name, **numbers, "samples": row.samples, "problem": row.problem, "tags": row.tags}


def quotient(row: Row, other: Row) -> float | None:
    """One median by another, where both are there."""
    if row.median is None or not other.median:
        return None
    return row.median / other.median


def sections(variants: Iterable[Variant], rows: Iterable[Row], unit: str) -> list[Section]:
    """Rows that ran together, sorted into the sections of their variants."""
    found: dict[str, list[Row]] = {}
    for variant, row in zip(variants, rows, strict=True):
        found.setdefault(variant.section, []).append(row)
    return [Section(title, unit, tuple(part)) for title, part in found.items()]


def once(name: str, tag: str, measure: Callable[[], Iterable[float]]) -> Row:
    """A row that is measured by itself and not in turns; one that fails says why."""
    try:
        return Row(name, tuple(measure()), (tag,))
    except Exception as error:
        return Row(name, (), (tag,), reason(error))


def guarded(title: str, unit: str, measure: Callable[[], Section]) -> Section:
    """A section that fails is a row that says why; the others go on."""
    try:
        return measure()
    except Exception as error:
        return Section(title, unit, (Row(title, problem=reason(error)),))


def reason(error: Exception) -> str:
    """An exception in one line."""
    first = (str(error).strip().splitlines() or [""])[0][:160]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
