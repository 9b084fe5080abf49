"""Memory: how close the update gets to the bandwidth of the machine, and how much memory a network takes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
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
from ebayes_core.engine.ingredients import Ingredients
from ebayes_core.engine.kernel import kernel
from ebayes_core.engine.loop import train
from ebayes_core.engine.minibatch import ingredients

UPDATE = "the update alone"
HELD, BYTES = "memory of one network", "bytes per synapse"
FEW = (16, 32, 64)  #: numbers of networks; the growth between them is the memory per network
#: Environment variables that make the C library return freed tensors to the system, so that only live ones count.
RETURN_FREED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def update_variants(device: str = "cpu") -> list[Variant]:
    """The triad a = b + s c and the update, which move the same number of bytes."""
    population = Population(device=device)
    row = partial(Variant, networks=MEMBERS, section=UPDATE, device=device)
    return [
        row("triad over the same bytes", Triad(population), tags=("triad",)),
        row(f"update kernel, {MEMBERS} networks, heterogeneous", Update(population), tags=("update",)),
    ]


def prepared(population: Population) -> tuple[Cohort, State, Ingredients]:
    """A cohort in its initial state, with random gradients of realistic size."""
    cohort = population.cohort()
    state = cohort.start()
    given, next_xi = ingredients(cohort, state)
    for gradient in given.gradient:
        gradient.normal_(std=1e-3)
    cohort.noise.fill(next_xi, given.clock.fill_(1))
    return cohort, state, given


def moved(state: State, gradient: list[Tensor]) -> int:
    """Bytes that an update moves: it reads gradients and noise, updates parameters and moments, and writes weights."""
    both = size(state.parameters.tensors())
    return 2 * both + size(gradient) + size(state.weights) + 2 * state.xi.nbytes


def size(tensors: Iterable[Tensor]) -> int:
    """Total bytes of tensors."""
    return sum(t.nbytes for t in tensors)


@dataclass(frozen=True)
class Triad:
    """The triad a = b + s c, which moves as many bytes as the update."""

    population: Population

    def __call__(self) -> Step:
        """Allocate its three arrays."""
        _, state, given = prepared(self.population)
        a, b, c = (given.clock.new_ones(moved(state, given.gradient) // 12, dtype=torch.float32) for _ in range(3))
        return lambda: torch.add(b, c, alpha=0.5, out=a)


@dataclass(frozen=True)
class Update:
    """The update kernel of a population, without the rest of a step."""

    population: Population

    def __call__(self) -> Step:
        """Prepare the kernel and what it works on."""
        cohort, state, given = prepared(self.population)
        with torch.no_grad():
            fused = kernel(cohort, state, given)
        return torch.no_grad()(lambda: fused(given))


def held_by_members() -> Section:
    """Bytes per synapse: as estimated by `ebayes check`, and as measured from the growth of a process."""
    held = {members: fresh(resident_with, members, **RETURN_FREED) for members in FEW}
    rows = [once("estimated by ebayes check", "stated", lambda: [stated()])]
    for few, more in pairwise(FEW):
        grown = (held[more] - held[few]) / ((more - few) * PAPER.synapses)
        rows.append(Row(f"measured, {few} to {more} networks", (grown,), ("memory",)))
    return Section(HELD, BYTES, tuple(rows))


def stated() -> float:
    """The estimate for the same population."""
    from ebayes_core.sweeps.estimate import estimates

    (estimate,) = estimates(Population(FEW[0]).points(), torch.device("cpu"), calibrate=False)
    return estimate.bytes_per_synapse


def resident_with(members: int) -> int:
    """Resident bytes of this process after a few steps with this number of networks."""
    cohort = Population(members, compile=False).cohort()
    steps = train(cohort, cohort.start())
    for _ in range(3):
        next(steps)
    return resident()


def resident() -> int:
    """Resident bytes of this process; raises OSError if the system does not report them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
