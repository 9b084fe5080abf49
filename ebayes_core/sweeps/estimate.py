"""What a run will take: a short calibration of each cohort, and bytes counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ebayes_core.engine import preflight
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.loop import train
from ebayes_core.spec import Point
from ebayes_core.sweeps.planning import member_data, plan
from ebayes_core.wording import amount

#: what is timed of a cohort: rounds, and seconds of each with all threads and with one
ROUNDS, SECONDS = 4, 0.15
#: above this ratio of the longer time to the shorter both are said
WIDE = 1.5
Span = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """One cohort: its size, seconds of training, and bytes."""

    members: list[int]
    synapses: int
    steps: int
    seconds: Span | None  #: of training, where nothing disturbs it, and as busy as this machine is now
    bytes_per_synapse: float
    megabytes: float


def estimates(points: list[Point], device: torch.device, calibrate: bool = True) -> list[Estimate]:
    """An estimate per cohort; cohorts of one shape are timed once. Compiling and measuring come on top."""
    known: dict[tuple[object, ...], Span] = {}
    found = []
    for group in plan(points, device):
        cohort = Cohort(group, member_data(group[0], device))
        state = cohort.start()
        preflight.check(cohort, state)
        shape = (tuple(cohort.shapes), len(cohort), len(state.parameters.phi), cohort.batch_size)
        if calibrate and shape not in known:
            known[shape] = _seconds_per_step(cohort, state)
        found.append(_estimate(cohort, state, known.get(shape)))
    return found


def in_words(seconds: Span) -> str:
    """One number, or from the shorter to the longer where they differ by much."""
    low, high = seconds
    return f"{amount(low)} to {amount(high)} s" if high > WIDE * low else f"about {amount((low + high) / 2)} s"


def _seconds_per_step(cohort: Cohort, state: State) -> Span:
    """The lower quartile with all threads or one, whichever is less, and the upper quartile with all.

    Between programs that are busy, threads wait for each other, and a step may take a hundred times as long; one
    thread has its share. Rounds, so that no moment is all that was timed; quartiles, which a hiccup does not move.
    """
    steps, threads = train(cohort, state), torch.get_num_threads()
    next(steps)  # it waits for the compiler
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
    """Seconds of each step, for a while."""
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
    gradients = 2 if cohort.solves(state) else 1  # shaped as the weights: slopes, and squares where sigma is solved for
    tensors = [*state.parameters.tensors(), *state.weights * (1 + gradients)]
    size = sum(t.nbytes for t in tensors)
    return Estimate(
        [p.index for p in cohort.points], synapses, steps,
        None if per_step is None else (per_step[0] * steps, per_step[1] * steps),
        size / (len(cohort) * synapses), (size + cohort.data.x.nbytes + cohort.data.x_test.nbytes) / 1e6,
    )  # fmt: skip
