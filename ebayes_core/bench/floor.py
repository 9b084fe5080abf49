"""The floor under a training step: the time of its matrix products, of the bytes it moves, and of its noise alone.

Nothing that a step computes besides is counted, so that no implementation of the same step on the same machine is much
faster than the sum. The parts are measured twice: in the last-level cache, as a few networks are trained, and outside.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.memory import moved, prepared
from ebayes_core.bench.rows import Row, Step, Variant, tagged
from ebayes_core.bench.setting import BATCH, PAPER, On, Shape
from ebayes_core.wording import networks

TITLE = f"the floor of {PAPER.name}"
FEW = 4  #: networks whose weights and gradients stay in the cache
BEYOND = 4  #: caches that data fill of which next to nothing stays in the cache
USUAL_CACHE = 64 << 20  #: bytes, where the system does not tell
CACHES = (("in the cache", "warm"), ("out of the cache", "cold"))
DRAWS = ("as torch draws them", "as the engine draws them")


def variants(device: str = "cpu") -> list[Variant]:
    """The parts of the floor; times are per network, those of the noise per draw for a whole cohort."""
    row: Callable[..., Variant] = partial(Variant, section=TITLE, device=device)
    many = beyond(8 * PAPER.synapses, device)
    most = beyond(moved_alone(), device)
    return [
        *(row(f"matrix products, {where}", On(partial(Products, k), device), k, (f"products {tag}",), note=networks(k))
          for k, where, tag in ((FEW, *CACHES[0]), (many, *CACHES[1]))),
        *(row(f"triad over the bytes of an update, {where}", On(partial(triad, k), device), k, (f"triad {tag}",),
              note=networks(k)) for k, where, tag in ((1, *CACHES[0]), (most, *CACHES[1]))),
        row(f"normals of a step, {DRAWS[0]}", On(normals, device), tags=("normals",)),
        row(f"normals of a step, {DRAWS[1]}", On(engine_normals, device), tags=("normals",)),
    ]  # fmt: skip


def cache_bytes(device: str) -> int:
    """Size of the last-level cache, as the system tells it."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    try:
        told = os.sysconf("SC_LEVEL3_CACHE_SIZE")  # 0 where it does not know
    except (ValueError, OSError):
        told = 0
    return told if told > 0 else USUAL_CACHE


def beyond(each: int, device: str) -> int:
    """Number of networks of `each` bytes that do not fit the cache, at least the usual population."""
    return max(MEMBERS, math.ceil(BEYOND * cache_bytes(device) / each))


def moved_alone() -> int:
    """Bytes that the update of one default network moves."""
    _, state, given = prepared(Population(1))
    return moved(state, given.gradient)


class Products:
    """The matrix products of a step: drives and gradient of each layer, and back-projections from the second one on.

    All networks share the inputs of the first layer, whose products are each a single large one. A bias is no product.
    """

    def __init__(self, members: int, device: str, shape: Shape = PAPER, batch: int = BATCH) -> None:
        normal = partial(torch.randn, device=device)
        sizes = [(post, pre - 1) for post, pre in shape.layers]
        self.weights = [normal(members, post, pre) for post, pre in sizes]
        self.gradients = [torch.empty_like(w) for w in self.weights]
        self.inputs = [normal(batch, shape.inputs), *(normal(members, batch, pre) for _, pre in sizes[1:])]
        self.deltas = [normal(members * sizes[0][0], batch), *(normal(members, batch, post) for post, _ in sizes[1:])]
        self.drives = [normal(batch, members * sizes[0][0]), *(torch.empty_like(d) for d in self.deltas[1:])]
        self.back = [torch.empty_like(x) for x in self.inputs[1:]]

    def __call__(self) -> None:
        """Compute all of them."""
        torch.mm(self.inputs[0], self.weights[0].flatten(0, 1).T, out=self.drives[0])
        for x, w, z in zip(self.inputs[1:], self.weights[1:], self.drives[1:], strict=True):
            torch.bmm(x, w.mT, out=z)
        for d, w, b in zip(self.deltas[1:], self.weights[1:], self.back, strict=True):
            torch.bmm(d, w, out=b)
        for d, x, g in zip(self.deltas[1:], self.inputs[1:], self.gradients[1:], strict=True):
            torch.bmm(d.mT, x, out=g)
        torch.mm(self.deltas[0], self.inputs[0], out=self.gradients[0].flatten(0, 1))


def triad(members: int, device: str) -> Step:
    """a = b + s c, over as many bytes as the updates of these networks move."""
    a, b, c = (torch.ones(members * moved_alone() // 3 // 4, device=device) for _ in range(3))
    return lambda: torch.add(b, c, alpha=0.5, out=a)


def normals(device: str) -> Step:
    """As many normal numbers as a step draws for a cohort."""
    return torch.empty(1, PAPER.synapses, device=device).normal_


def engine_normals(device: str) -> Step:
    """The same, as the engine draws them."""
    cohort = Population(1, device=device).cohort()
    out, number = cohort.noise.empty(cohort.data.x, PAPER.synapses), cohort.data.x.new_ones(1, 1, dtype=torch.float64)
    return lambda: cohort.noise.fill(out, number)


@dataclass(frozen=True)
class Floor:
    """The measured parts of the floor, in ms."""

    products: float  #: per network
    byte: float  #: per byte that an update moves
    draw: float  #: for a whole cohort

    @classmethod
    def of(cls, rows: Sequence[Row], cache: str) -> Floor:
        """From the rows of `variants`, with the cache "warm" or "cold". Raises ValueError if one of them failed."""
        parts = [tagged(rows, f"{part} {cache}") for part in ("products", "triad")]
        drawn = [row.median for row in rows if "normals" in row.tags and row.median is not None]
        medians = [row.median for row in parts if row is not None and row.median is not None]
        if len(medians) < 2 or not drawn:
            raise ValueError("a part of the floor was not measured")
        return cls(medians[0], medians[1] / moved_alone(), min(drawn))

    def under(self, population: Population) -> float:
        """The floor of a network and step of a population."""
        _, state, given = prepared(replace(population, members=1, compile=False))
        drawn = self.draw if state.parameters.noisy else 0.0
        noise = 2 * state.xi.nbytes  # which the cohort shares
        own = moved(state, given.gradient) - noise
        return self.products + self.byte * (own + noise / population.members) + drawn / population.members


def sums(rows: Sequence[Row]) -> list[Row]:
    """The floor of the usual population, in and out of the cache."""
    return [
        Row(f"sum for {MEMBERS} networks, {where}", (Floor.of(rows, cache).under(Population()),), (f"floor {cache}",))
        for where, cache in CACHES
    ]


def floored(variants: Iterable[Variant], rows: Iterable[Row], floor: Floor) -> list[Row]:
    """The rows, those of populations of the paper's architecture with their floor."""
    return [_floored(variant, row, floor) for variant, row in zip(variants, rows, strict=True)]


def _floored(variant: Variant, row: Row, floor: Floor) -> Row:
    start = variant.start
    if not isinstance(start, Population) or start.shape != PAPER or start.network or not row.samples:
        return row
    return replace(row, floor=floor.under(start))


def with_floor(variants: Sequence[Variant], rows: Sequence[Row]) -> list[Row]:
    """The rows, with the floor in the cache if its parts are among them and were measured."""
    try:
        floor = Floor.of(rows, "warm")
    except ValueError:
        return list(rows)
    return floored(variants, rows, floor)
