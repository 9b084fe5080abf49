"""Sweeps as `ebayes run` trains them: cohorts that fit the cache, in 1-thread processes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.floor import with_floor
from ebayes_core.bench.lineup import sweeps
from ebayes_core.bench.planned import cores, in_processes, whole
from ebayes_core.bench.processes import side_by_side
from ebayes_core.bench.rows import Row, Section, Variant, guarded
from ebayes_core.bench.setting import PAPER
from ebayes_core.bench.timing import Effort
from ebayes_core.errors import EbayesError

MS = "ms per network"
BESIDE = f"{PAPER.name}, two 1-thread processes side by side, per process"
SWEEP = f"{PAPER.name}, {MEMBERS} networks as `ebayes run` trains them, on all cores"
ALL_THREADS = {"plain sweep", f"jax {MEMBERS}"}  #: tags of the rows that have the machine to themselves
#: what the goals call a sweep of the whole machine, by the tag of its row
CALLED = {"sweep": "sweep", "heterogeneous": "sweeps", "homogeneous": "sweep homogeneous"}


def measured(effort: Effort) -> list[Section]:
    """Two processes on both sides, and all cores."""
    rows, workers = sweeps(), min(cores(), MEMBERS)
    two = rows if workers == 2 else [row for row in rows if not row.alone]
    pair = guarded(BESIDE, MS, lambda: Section(BESIDE, MS, tuple(_timed(two, 2, effort))))
    all_cores = lambda: _whole_or_reason(pair) if workers == 2 else _timed(rows, workers, effort)
    machine = guarded(SWEEP, MS, lambda: Section(SWEEP, MS, tuple(_whole(rows, all_cores(), workers))))
    beside = (row for row in pair.rows if not ALL_THREADS & set(row.tags))
    return [replace(pair, rows=tuple(map(_beside, beside))), machine]


def _whole_or_reason(section: Section) -> Sequence[Row]:
    """The rows. Raises EbayesError if the section failed as a whole, which leaves a row of its own title."""
    if section.rows[0].name == section.title:
        raise EbayesError(section.rows[0].problem or section.title)
    return section.rows


def _timed(rows: Sequence[Variant], workers: int, effort: Effort) -> list[Row]:
    each = in_processes(rows, workers)
    return with_floor(each[0], side_by_side(each, effort))


def _beside(row: Row) -> Row:
    return replace(row, tags=tuple(f"{tag} beside" for tag in row.tags))


def _whole(rows: Sequence[Variant], timed: Sequence[Row], workers: int) -> list[Row]:
    """The rows that had all threads to themselves, the floor, and the wall times of sweeps on the whole machine."""
    alone, sweeps = [row for row in timed if ALL_THREADS & set(row.tags)], []
    for variant, row in zip(rows, timed, strict=True):
        if isinstance(variant.start, Population):
            tags = tuple(CALLED[tag] for tag in row.tags if tag in CALLED)
            sweeps.append(whole(row, variant.start, workers, tags))
    return [*alone, _floor(sweeps), *sweeps]


def _floor(sweeps: Sequence[Row]) -> Row:
    floor = next((row.floor for row in sweeps if "sweep" in row.tags), None)
    why = None if floor else "not every part of it was measured"
    return Row("the floor, in the cache", (floor,) if floor else (), ("sweep floor",), why)
