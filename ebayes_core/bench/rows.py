"""Rows and sections of the bench: measured times, their ratio to the first row, and that to the floor."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Step = Callable[[], object]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Variant:
    """Something to time: `start` prepares it, in any process, and returns the step that is repeated."""

    name: str
    start: Callable[[], Step]
    networks: int = 1  #: times are per network; of a step that takes several, per network and step
    tags: tuple[str, ...] = ()  #: by which the goals find it
    section: str = ""
    baseline: bool = False  #: timed in several fresh processes, of which the quickest counts
    device: str = "cpu"
    note: str = ""  #: what may differ between machines, unlike the name
    threads: int | None = None  #: of a baseline's processes; None: as many as here
    alone: bool = False  #: where processes run side by side, one takes it while the others wait
    waits: bool = False  #: this is one of those others


@dataclass(frozen=True)
class Row:
    """The times of a variant, or the reason why there are none."""

    name: str
    samples: tuple[float, ...] = ()
    tags: tuple[str, ...] = ()
    problem: str | None = None
    tries: tuple[tuple[float, ...], ...] = ()  #: of each fresh process, if it was timed in several
    floor: float | None = None  #: the least time that its matrix products, memory and noise need
    note: str = ""

    @classmethod
    def quickest(cls, name: str, tries: Sequence[Sequence[float]], tags: tuple[str, ...], note: str = "") -> Row:
        """The row of the quickest process."""
        return cls(name, tuple(min(tries, key=statistics.median)), tags, tries=tuple(map(tuple, tries)), note=note)

    @property
    def processes(self) -> tuple[float, ...]:
        """The medians of several fresh processes, the quickest first; empty for a row timed in one."""
        return tuple(sorted(map(statistics.median, self.tries))) if len(self.tries) > 1 else ()

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

    @property
    def to_floor(self) -> float | None:
        """The median divided by the floor; None if either is missing."""
        return self.median / self.floor if self.floor and self.median is not None else None


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
        more = {"floor": row.floor, "to_floor": row.to_floor, "processes": row.processes}
        words = {"problem": row.problem, "tags": row.tags, "note": row.note}
        return {"name": row.name, **numbers, **more, "samples": row.samples, **words}


def quotient(row: Row, other: Row) -> float | None:
    """The ratio of two medians; None if either is missing."""
    if row.median is None or not other.median:
        return None
    return row.median / other.median


def tagged(rows: Iterable[Row], tag: str) -> Row | None:
    """The first row with a tag."""
    return next((row for row in rows if tag in row.tags), None)


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
