"""Estimates of the time and memory of a run: each cohort is timed for a moment, and its bytes are counted."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import torch

from ebayes_core.engine import preflight
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.loop import train
from ebayes_core.engine.stacking import kind_of_step
from ebayes_core.spec import Point
from ebayes_core.sweeps.planning import member_data, plan, workers
from ebayes_core.wording import amount

#: timing of a cohort: number of rounds, and seconds per round with all threads and with one
ROUNDS, SECONDS = 4, 0.15
#: if the longer time exceeds the shorter by this factor, both are reported
WIDE = 1.5
Span = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """The estimate for one cohort."""

    members: list[int]
    synapses: int
    steps: int
    seconds: Span | None  #: of training, on an idle machine and with the current load
    bytes_per_synapse: float
    megabytes: float


def estimates(points: list[Point], device: torch.device, calibrate: bool = True) -> list[Estimate]:
    """An estimate for each cohort, without compiling and measuring; cohorts whose steps are alike are timed once.

    If several processes train the cohorts, each has one thread.
    """
    threads, at_once = torch.get_num_threads(), workers(points, device)
    torch.set_num_threads(1 if at_once > 1 else threads)
    try:
        return list(_estimates(plan(points, device, at_once), device, calibrate))
    finally:
        torch.set_num_threads(threads)


def _estimates(groups: list[list[Point]], device: torch.device, calibrate: bool) -> Iterator[Estimate]:
    known: dict[Hashable, Span] = {}
    for group in groups:
        cohort = Cohort(group, member_data(group[0], device))
        state = cohort.start()
        preflight.check(cohort, state)
        kind = len(cohort), kind_of_step(cohort.member)
        if calibrate and kind not in known:
            known[kind] = _seconds_per_step(cohort, state)
        yield _estimate(cohort, state, known.get(kind))


def in_total(found: list[Estimate], at_once: int) -> Span | None:
    """The time until all cohorts are trained, so many at a time; None if they were not timed."""
    times = [e.seconds for e in found if e.seconds]
    low, high = (sum(part) / at_once for part in zip(*times, strict=True)) if times else (0.0, 0.0)
    return (low, high) if times else None


def in_words(seconds: Span) -> str:
    """A time as one number, or as a range if the two estimates differ much."""
    low, high = seconds
    return f"{amount(low)} to {amount(high)} s" if high > WIDE * low else f"about {amount((low + high) / 2)} s"


def _seconds_per_step(cohort: Cohort, state: State) -> Span:
    """The lower quartile with all threads or with one, whichever is less, and the upper quartile with all threads.

    If other programs are busy, threads wait for each other and a step may take a hundred times as long, while a single
    thread still gets its share. Several rounds average over time; quartiles are robust against outliers.
    """
    steps, threads = train(cohort, state), torch.get_num_threads()
    next(steps)  # the first step may wait for the compiler
    times: dict[int, list[float]] = {threads: [], 1: []}
    try:
        for count, some in [*times.items()] * ROUNDS:
            torch.set_num_threads(count)
            some += _timed(steps)
    finally:
        torch.set_num_threads(threads)
    low = min((_quantile(some, 1 / 4) for some in times.values() if some), default=0.0)
    return low, _quantile(times[threads], 3 / 4)


def _timed(steps: Iterator[State]) -> list[float]:
    """Seconds of each step, measured for a short time."""
    times, began = [], time.perf_counter()
    now = began
    while now - began < SECONDS and next(steps, None):
        before, now = now, time.perf_counter()
        times.append(now - before)
    return times


def _quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(share * len(times))] if times else 0.0


def _estimate(cohort: Cohort, state: State, per_step: Span | None) -> Estimate:
    steps, synapses = cohort.training.epochs * cohort.batches, sum(cohort.sizes)
    gradients = 2 if cohort.solves(state) else 1  # and squared gradients, if sigma is solved for
    tensors = [*state.parameters.tensors(), *state.weights * (1 + gradients)]
    size = sum(t.nbytes for t in tensors)
    return Estimate(
        [p.index for p in cohort.points], synapses, steps,
        None if per_step is None else (per_step[0] * steps, per_step[1] * steps),
        size / (len(cohort) * synapses), (size + cohort.data.x.nbytes + cohort.data.x_test.nbytes) / 1e6,
    )  # fmt: skip
