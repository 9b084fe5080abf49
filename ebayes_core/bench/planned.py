"""Cohorts as `ebayes run` plans them, and the time that a whole sweep takes on all cores of the machine."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from ebayes_core.bench.engines import Population
from ebayes_core.bench.rows import Row, Variant
from ebayes_core.sweeps.planning import plan
from ebayes_core.wording import span


def cores() -> int:
    """Number of cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def sizes(population: Population, workers: int = 1) -> list[int]:
    """The numbers of networks in the cohorts that a sweep over this population is divided into."""
    return [len(group) for group in plan(population.points(), torch.device(population.device), workers)]


def in_one_process(population: Population) -> Population:
    """The largest cohort of the sweep if one process trains it."""
    return replace(population, members=max(sizes(population)))


def in_processes(rows: Sequence[Variant], workers: int) -> list[list[Variant]]:
    """The variants of each process: of a sweep, one of its cohorts; anything else as it is."""
    plans = [_plan(row, workers) for row in rows]
    return [[_of_rank(part, rank) for part in plans] for rank in range(workers)]


def _of_rank(part: Sequence[Variant], rank: int) -> Variant:
    variant = part[rank % len(part)]
    return replace(variant, waits=True) if variant.alone and rank else variant


def _plan(row: Variant, workers: int) -> list[Variant]:
    """A row for each cohort of the sweep that it trains."""
    start = row.start
    if not isinstance(start, Population):
        return [row]
    found = sizes(start, workers)
    note = f"cohorts of {span(found)}"
    return [replace(row, start=replace(start, members=k), networks=k, note=note) for k in found]


def busiest(sizes: Sequence[int], workers: int) -> int:
    """The networks of the worker that ends last, if each takes the next cohort as soon as it is free."""
    loads = [0] * workers
    for size in sizes:
        heapq.heapreplace(loads, loads[0] + size)
    return max(loads)


def whole(row: Row, population: Population, workers: int, tags: tuple[str, ...]) -> Row:
    """The wall time of the whole sweep per network and step, from that of a network in each of its processes."""
    found = sizes(population, workers)
    share = busiest(found, workers) / sum(found)
    floor = None if row.floor is None else row.floor * share
    return Row(row.name, tuple(share * ms for ms in row.samples), tags, row.problem, floor=floor, note=row.note)
