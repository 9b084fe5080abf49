"""A run of the bench, from the first row to the verdict on the goals."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ebayes_core.bench import busy, floor, growth, lineup, machine, memory, peers, probing, startup, sweeping
from ebayes_core.bench.goals import TAGS, Verdict, judge
from ebayes_core.bench.rows import Say, Section, Variant, guarded, sections
from ebayes_core.bench.sweeping import MS
from ebayes_core.bench.timing import FULL, QUICK, interleaved
from ebayes_core.sweeps.job import flushed_denormals


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


def bench(quick: bool, figure: Path | None, say: Say, device: str = "cpu") -> Bench:
    """Measure all rows, or only those that the goals need; with `figure`, also measure and draw growth."""
    began, about = time.perf_counter(), machine.describe(device)
    with flushed_denormals():  # as in a run
        found = [*_in_new_processes(quick, say, device), *_in_turns(quick, say, device)]
    grown = None
    if figure is not None:
        grown = growth.grow(say)
        growth.draw(grown, figure)
    return Bench(about, found, judge(found, device, quick), time.perf_counter() - began, grown)


def _in_new_processes(quick: bool, say: Say, device: str) -> list[Section]:
    """Measurements in new processes, while this one still uses little memory."""
    say("start-up: the first step with a cold and a warm compile cache")
    found = [guarded(startup.TITLE, "s", lambda: startup.waiting(quick, device))]
    if not quick:
        say("memory of a network")
        found.append(guarded(memory.HELD, memory.BYTES, memory.held_by_members))
    if not quick and device == "cpu":
        say("a whole run, alone and beside busy programs")
        found.append(guarded(busy.TITLE, "s", busy.section))
    return found


def _in_turns(quick: bool, say: Say, device: str) -> list[Section]:
    """Rows timed in turns in this process, then those derived from them, then processes side by side."""
    effort = QUICK if quick else FULL
    training, parts = lineup.training(quick, device), floor.variants(device)
    more = [] if quick else [*peers.variants(device), *memory.update_variants(device)]
    variants = [*training, *parts, *more, *_needed(probing.variants(device), quick)]
    rows = floor.with_floor(variants, interleaved(variants, effort, say))
    say("measuring curvature and test scores on small data sets")
    run = guarded(probing.RUN, "s per network", lambda: probing.share(device))
    found = [_with_sums(section) for section in sections(variants, rows, MS)]
    if device == "cpu":
        say("1-thread processes side by side")
        found += sweeping.measured(effort)
    return [*found, run]


def _needed(variants: list[Variant], quick: bool) -> list[Variant]:
    """The variants, with `quick` those that the goals need."""
    return [variant for variant in variants if not quick or TAGS & set(variant.tags)]


def _with_sums(section: Section) -> Section:
    """The section; that of the floor with the sums of its parts, if they were all measured."""
    if section.title != floor.TITLE:
        return section
    with contextlib.suppress(ValueError):
        return replace(section, rows=(*floor.sums(section.rows), *section.rows))
    return section
