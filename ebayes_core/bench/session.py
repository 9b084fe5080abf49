"""A run of the bench, from the first row to the verdict on the goals."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ebayes_core.bench import growth, lineup, machine, memory, peers, probing, startup
from ebayes_core.bench.goals import Verdict, judge
from ebayes_core.bench.processes import side_by_side as beside
from ebayes_core.bench.rows import Row, Say, Section, guarded, sections
from ebayes_core.bench.timing import FULL, QUICK, interleaved
from ebayes_core.sweeps.job import flushed_denormals

MS = "ms per network"


@dataclass
class Bench:
    """All measurements, and a description of the machine."""

    machine: dict[str, Any]
    sections: list[Section]
    verdicts: list[Verdict]
    seconds: float
    growth: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """The bench as plain data; missing numbers are None, never NaN."""
        return {
            "machine": self.machine, "seconds": self.seconds, "sections": [s.record() for s in self.sections],
            "goals": [asdict(v) for v in self.verdicts], "growth": self.growth,
        }  # fmt: skip


def bench(quick: bool, figure: Path | None, say: Say) -> Bench:
    """Measure all rows, or only those that the goals need; with `figure`, also measure and draw growth."""
    began, about = time.perf_counter(), machine.describe()
    with flushed_denormals():  # as in a run
        found = [*_in_new_processes(say), *_in_turns(quick, say)]
    grown = None
    if figure is not None:
        grown = growth.grow(say)
        growth.draw(grown, figure)
    return Bench(about, found, judge(found), time.perf_counter() - began, grown)


def _in_new_processes(say: Say) -> list[Section]:
    """Measurements in new processes, while this one still uses little memory."""
    say("start-up: commands, and the first step with a cold and a warm compile cache")
    waiting = guarded(startup.TITLE, "s", startup.waiting)
    say("memory of a network")
    return [waiting, guarded(memory.HELD, memory.BYTES, memory.held_by_members)]


def _in_turns(quick: bool, say: Say) -> list[Section]:
    """Rows timed in turns in this process, then those derived from them, then two processes side by side."""
    effort, training = QUICK if quick else FULL, lineup.training(quick)
    variants = [*training, *([] if quick else peers.variants()), *memory.update_variants(), *probing.variants()]
    rows = interleaved(variants, effort, say)
    say("measuring curvature and test scores on small data sets")
    run = guarded(probing.RUN, "s per network", lambda: probing.share(_tagged(rows, "engine")))
    say("two 1-thread processes side by side")
    pair = guarded(lineup.BESIDE, MS, lambda: Section(lineup.BESIDE, MS, beside(lineup.beside(training), effort)))
    return [*sections(variants, rows, MS), pair, run]


def _tagged(rows: list[Row], tag: str) -> Row:
    return next(row for row in rows if tag in row.tags)
