"""What a run will take: a short calibration of each cohort, and bytes counted."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ebayes_core.engine import Cohort, State, train
from ebayes_core.planning import member_data, plan
from ebayes_core.spec import Point

STEPS = 20


@dataclass(frozen=True)
class Estimate:
    """One cohort: its size, seconds of training, and bytes."""

    members: list[int]
    synapses: int
    steps: int
    seconds: float | None
    bytes_per_synapse: float
    megabytes: float


def estimates(points: list[Point], device: torch.device, calibrate: bool = True) -> list[Estimate]:
    """An estimate per cohort; cohorts of one shape are timed once. Compiling and measuring come on top."""
    known: dict[tuple[object, ...], float] = {}
    found = []
    for group in plan(points, device):
        cohort = Cohort(group, member_data(group[0], device))
        state = cohort.start()
        shape = (tuple(cohort.shapes), len(cohort), len(state.parameters.phi), cohort.batch_size)
        if calibrate and shape not in known:
            known[shape] = _seconds_per_step(cohort, state)
        found.append(_estimate(cohort, state, known.get(shape)))
    return found


def _seconds_per_step(cohort: Cohort, state: State) -> float:
    """Median over a few steps after the first, which compiles."""
    times, clock = [], None
    for _, _ in zip(train(cohort, state), range(STEPS), strict=False):
        now = time.perf_counter()
        times += [] if clock is None else [now - clock]
        clock = now
    return sorted(times)[len(times) // 2] if times else 0.0


def _estimate(cohort: Cohort, state: State, per_step: float | None) -> Estimate:
    steps, synapses = cohort.training.epochs * cohort.batches, sum(cohort.sizes)
    gradients = 2 if cohort.solves(state) else 1  # shaped as the weights: slopes, and squares where sigma is solved for
    lists = [*state.parameters.lists(), state.weights, *[state.weights] * gradients]
    size = sum(t.nbytes for ts in lists for t in ts)
    return Estimate(
        [p.index for p in cohort.points], synapses, steps, None if per_step is None else per_step * steps,
        size / (len(cohort) * synapses), (size + cohort.data.x.nbytes + cohort.data.x_test.nbytes) / 1e6,
    )  # fmt: skip
