"""The variants that are timed: a short list for the goals, and a long one for the documentation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ebayes_core.bench import floor, graphs, population_peers, third_party
from ebayes_core.bench.architectures import architectures
from ebayes_core.bench.baselines import Alone, Naive, Plain, naive64
from ebayes_core.bench.engines import MEMBERS, OWN, Population, by_formula, fitting, table_of
from ebayes_core.bench.goals import TAGS
from ebayes_core.bench.planned import in_one_process
from ebayes_core.bench.rows import Variant
from ebayes_core.bench.setting import DIGITS, PAPER, WIDE, Shape
from ebayes_core.contract.registry import Registered
from ebayes_core.wording import networks

engine = partial(Variant, section=PAPER.name)
PLAIN = "plain MLP, Adam(fused=True)"
SIZES = {"cpu": (1, 2, 4, 8, 16, MEMBERS), "cuda": (1, 8, MEMBERS, 128, 512)}


def training(quick: bool, device: str = "cpu") -> list[Variant]:
    """All variants that train; the first of each section is the plain network of its size.

    quick: only those that the goals need.
    """
    rows = [*baselines(device), *cohort_sizes(SIZES[device])]
    for slot in ("noise", "inference", "cost", "optimizer"):
        rows += kinds(slot, device)
    rows += [
        _swept("default kinds, no compiler", Population(compile=False, device=device), ("eager",)),
        *architectures(),
    ]
    rows += [*other_size(DIGITS, (1, MEMBERS)), *other_size(WIDE, (1, 4)), population_peers.vmapped()]
    rows += population_peers.in_jax(device) if device == "cuda" else []  # on a processor: among the sweeps
    return [on(device, row) for row in rows if not quick or TAGS & set(row.tags)]


def on(device: str, row: Variant) -> Variant:
    """A variant on a device."""
    start: Any = row.start
    return replace(row, start=replace(start, device=device), device=device)


def baselines(device: str) -> list[Variant]:
    """The plain network and the naive loops."""
    captured = [engine(f"{PLAIN}, captured as a graph", graphs.Captured(), tags=("captured",))]
    return [
        engine(PLAIN, Alone(Plain), tags=("plain",), baseline=True),
        *(captured if device == "cuda" else []),
        engine("naive loop, float64", Alone(naive64, dtype=torch.float64)),
        engine("naive loop, float32", Alone(Naive)),
    ]


def cohort_sizes(members: Sequence[int]) -> list[Variant]:
    """Cohorts of the default kinds, from one network to more than a cache holds."""
    tags, notes = {1: ("alone",)}, {MEMBERS: _default_names()}
    row = lambda k: engine(f"one cohort of {networks(k)}", Population(k), k, (*tags.get(k, ()), f"cohort {k}"))
    return [replace(row(k), note=notes.get(k, "")) for k in members]


def kinds(slot: str, device: str = "cpu", planned: bool = True) -> list[Variant]:
    """A population for each formula of a slot except the default one.

    planned: of the size of a cohort, instead of a whole sweep.
    """
    return [_kind(slot, group, device, planned) for group in by_formula(slot)[1:]]


def _kind(slot: str, group: list[Registered], device: str, planned: bool) -> Variant:
    table = fitting(slot, table_of(group[0]))
    label, tags = f"{slot} {_names(group)}", _tags(slot, group[0], table)
    population = Population(**table, device=device)
    return _swept(label, population, tags) if planned else engine(label, population, MEMBERS, tags)


def _swept(label: str, population: Population, tags: tuple[str, ...]) -> Variant:
    """The largest cohort of a sweep that one process trains."""
    with contextlib.suppress(Exception):  # of a kind without a default, whose row says why when it starts
        population = in_one_process(population)
    k = population.members
    return engine(label, population, k, tags, note=f"cohort of {k}")


def sweeps() -> list[Variant]:
    """What is timed as 1-thread processes side by side: the plain network, the floor, and sweeps of 32 networks.

    Sweeps are with every formula of costs and inferences, and with homogeneous noise.
    """
    default = Variant(f"{MEMBERS} networks: default kinds", Population(), MEMBERS, ("heterogeneous", "sweep"))
    rows = [default]
    for slot in ("inference", "cost", "noise"):
        rows += [replace(row, name=f"{MEMBERS} networks: {row.name}") for row in kinds(slot, planned=False)]
    plain = Variant(PLAIN, Alone(Plain), tags=("plain",), baseline=True)
    machine = [replace(plain, tags=("plain sweep",)), *population_peers.in_jax("cpu")]
    alone = [replace(row, baseline=True, alone=True, threads=torch.get_num_threads()) for row in machine]
    warm = [part for part in floor.variants() if not any("cold" in tag for tag in part.tags)]
    return [plain, *alone, *warm, *(row for row in rows if {"heterogeneous", "homogeneous"} & set(row.tags))]


def _default_names() -> str:
    return "; ".join(_names(by_formula(slot)[0]) for slot in ("noise", "cost", "inference", "optimizer"))


def _names(group: list[Registered]) -> str:
    return ", ".join(entry.kind for entry in group)


def _tags(slot: str, entry: Registered, table: dict[str, Any]) -> tuple[str, ...]:
    """The tags by which the goals find the rows; of costs and inferences, those with the default noise."""
    if entry.kind == third_party.KIND:
        return ("third-party",)
    if entry.distribution != OWN:
        return ()
    if slot in ("noise", "optimizer"):
        return (entry.kind,)
    return ("heterogeneous",) if "noise" not in table else ()


def other_size(shape: Shape, members: tuple[int, ...]) -> list[Variant]:
    """Networks of another size, with their own plain network."""
    row = partial(Variant, section=shape.name)
    plain = row(PLAIN, Alone(Plain, shape), baseline=True)
    return [plain, *(row(networks(k), Population(k, shape), k) for k in members)]
