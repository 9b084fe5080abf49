"""Memory: how near the update comes to the machine's bandwidth, and what a member holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.processes import fresh
from ebayes_core.bench.rows import Row, Section, Step, Variant, once
from ebayes_core.bench.setting import PAPER
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.kernel import kernel
from ebayes_core.engine.loop import train
from ebayes_core.engine.minibatch import ingredients

UPDATE = "the update alone"
HELD, BYTES = "memory of one member", "bytes per synapse"
FEW = (16, 32, 64)  #: members; the growth between them is the price of one
#: The C library then gives large tensors back when they are freed, so that only what is held is seen.
HONEST = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def update_variants() -> list[Variant]:
    """The triad a = b + s c, and the update, over the same number of bytes."""
    row = partial(Variant, networks=MEMBERS, section=UPDATE)
    return [
        row("triad over the same bytes", triad, tags=("triad",)),
        row(f"update kernel, {MEMBERS} members, heterogeneous", update, tags=("update",)),
    ]


def prepared(population: Population) -> tuple[Cohort, State, list[Tensor]]:
    """A cohort at its start, with gradient of a likely size."""
    cohort = population.cohort()
    state = cohort.start()
    return cohort, state, [1e-3 * torch.randn_like(w) for w in state.weights]


def moved(state: State, gradient: list[Tensor]) -> int:
    """Bytes that a step must read and write: parameters and moments both ways, gradient and noise in, weights out."""
    both = size(state.parameters.tensors())
    return 2 * both + size(gradient) + size(state.weights) + 2 * state.xi.nbytes


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors."""
    return sum(t.nbytes for t in tensors)


def triad() -> Step:
    """a = b + s c, over as many bytes as the update moves."""
    _, state, gradient = prepared(Population())
    a, b, c = (torch.ones(moved(state, gradient) // 3 // 4) for _ in range(3))
    return lambda: torch.add(b, c, alpha=0.5, out=a)


def update() -> Step:
    """The kernel of the default population; nothing else of a step."""
    cohort, state, gradient = prepared(Population())
    with torch.no_grad():
        fused = kernel(cohort, state, gradient)
        given, _ = ingredients(cohort, state, gradient, cohort.data.x[: cohort.batch_size])

    @torch.no_grad()
    def step() -> None:
        fused(state.parameters, state.weights, given, state.alive)

    return step


def held_by_members() -> Section:
    """Bytes per synapse and member: as `ebayes check` states them, and as the process grows from members to members."""
    held = {members: fresh(resident_with, members, **HONEST) for members in FEW}
    rows = [once("stated by ebayes check", "stated", lambda: [stated()])]
    for few, more in pairwise(FEW):
        grown = (held[more] - held[few]) / ((more - few) * PAPER.synapses)
        rows.append(Row(f"measured, {few} to {more} members", (grown,), ("memory",)))
    return Section(HELD, BYTES, tuple(rows))


def stated() -> float:
    """What the estimate says of the same population."""
    from ebayes_core.sweeps.estimate import estimates

    (estimate,) = estimates(Population(FEW[0]).points(), torch.device("cpu"), calibrate=False)
    return estimate.bytes_per_synapse


def resident_with(members: int) -> int:
    """Resident bytes of a process that has just taken a few steps with so many members."""
    cohort = Population(members, compile=False).cohort()
    steps = train(cohort, cohort.start())
    for _ in range(3):
        next(steps)
    return resident()


def resident() -> int:
    """Bytes of this process that lie in memory; OSError where the system does not say."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
