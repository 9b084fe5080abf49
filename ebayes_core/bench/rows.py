"""Rows and sections of the bench: measured times, and their ratio to the first row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Step = Callable[[], object]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Variant:
    """Something to time: `start` prepares it, in any process, and returns the step that is repeated."""

    name: str
    start: Callable[[], Step]
    networks: int = 1  #: times are per network
    tags: tuple[str, ...] = ()  #: by which the goals find it
    section: str = ""


@dataclass(frozen=True)
class Row:
    """The times of a variant, or the reason why there are none."""

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
    """Rows with a common unit; ratios are relative to the first one."""

    title: str
    unit: str
    rows: tuple[Row, ...]

    def ratio(self, row: Row) -> float | None:
        """The median divided by that of the first row; None if either is missing."""
        return quotient(row, self.rows[0])

    def record(self) -> dict[str, object]:
        """The section as plain data."""
        return {"title": self.title, "unit": self.unit, "rows": [self._row(row) for row in self.rows]}

    def _row(self, row: Row) -> dict[str, object]:
        numbers = {"median": row.median, "quartiles": row.quartiles, "ratio": self.ratio(row)}
        return {"name": row.name, **numbers, "samples": row.samples, "problem": row.problem, "tags": row.tags}


def quotient(row: Row, other: Row) -> float | None:
    """The ratio of two medians; None if either is missing."""
    if row.median is None or not other.median:
        return None
    return row.median / other.median


def sections(variants: Iterable[Variant], rows: Iterable[Row], unit: str) -> list[Section]:
    """Rows that were timed together, sorted into the sections of their variants."""
    found: dict[str, list[Row]] = {}
    for variant, row in zip(variants, rows, strict=True):
        found.setdefault(variant.section, []).append(row)
    return [Section(title, unit, tuple(part)) for title, part in found.items()]


def once(name: str, tag: str, measure: Callable[[], Iterable[float]]) -> Row:
    """A row that is measured once instead of in turns; if this fails, the row contains the reason."""
    try:
        return Row(name, tuple(measure()), (tag,))
    except Exception as error:
        return Row(name, (), (tag,), reason(error))


def guarded(title: str, unit: str, measure: Callable[[], Section]) -> Section:
    """Measure a section; if this fails, it has a single row with the reason, and the other sections go on."""
    try:
        return measure()
    except Exception as error:
        return Section(title, unit, (Row(title, problem=reason(error)),))


def reason(error: Exception) -> str:
    """An exception on one line."""
    first = (str(error).strip().splitlines() or [""])[0][:160]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
