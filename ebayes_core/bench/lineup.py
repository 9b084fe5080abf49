"""Who is timed: the rows of the table of training, short for the goals and long for the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ebayes_core.bench import stranger
from ebayes_core.bench.baselines import Alone, Naive, Plain, naive64
from ebayes_core.bench.engines import MEMBERS, OWN, Population, by_formula, entries, table_of
from ebayes_core.bench.rows import Variant
from ebayes_core.bench.setting import DIGITS, PAPER, WIDE, Shape
from ebayes_core.contract.registry import Registered

engine = partial(Variant, section=PAPER.name)


def training(quick: bool) -> list[Variant]:
    """All rows that train; the first of each section is the plain network of its size."""
    rows = [*baselines(), *sizes((MEMBERS,) if quick else (1, 8, 16, MEMBERS, 64), together=quick)]
    for slot in ("noise", "inference", "cost"):
        rows += kinds(slot, together=quick)
    rows.append(engine(f"{MEMBERS} members, no compiler", Population(compile=False), MEMBERS, ("eager",)))
    return rows if quick else [*rows, *other_size(DIGITS, (1, 32, 64)), *other_size(WIDE, (1, 4))]


def baselines() -> list[Variant]:
    """The plain network and the naive loops."""
    return [
        engine("plain MLP, Adam(fused=True)", Alone(Plain), tags=("plain",)),
        engine("naive loop, float64", Alone(naive64, dtype=torch.float64), tags=("naive float64",)),
        engine("naive loop, float32", Alone(Naive)),
    ]


def sizes(members: tuple[int, ...], together: bool) -> list[Variant]:
    """Populations of the default kinds: heterogeneous, under the membrane cost."""
    told = {MEMBERS: ("engine", "heterogeneous")}
    names = "; ".join(_names(_groups(slot, together)[0]) for slot in ("noise", "cost", "inference"))
    return [engine(f"{_members(k)}: {names}", Population(k), k, told.get(k, ())) for k in members]


def kinds(slot: str, together: bool) -> list[Variant]:
    """A population of each registered kind of a slot but the default, or of each formula."""
    return [_kind(slot, group) for group in _groups(slot, together)[1:]]


def _groups(slot: str, together: bool) -> list[list[Registered]]:
    """The kinds of a slot, by formula or each alone; the default kind leads the first group."""
    return by_formula(slot) if together else [[entry] for entry in entries(slot)]


def _names(group: list[Registered]) -> str:
    return ", ".join(entry.kind for entry in group)


def _kind(slot: str, group: list[Registered]) -> Variant:
    table: dict[str, Any] = {slot: table_of(group[0])}
    label = f"{MEMBERS} members, {slot} {_names(group)}"
    return engine(label, Population(**table), MEMBERS, _tags(slot, group[0]))


def _tags(slot: str, entry: Registered) -> tuple[str, ...]:
    """What the goals ask: built-in costs and inferences, homogeneous noise, and the stranger."""
    if entry.kind == stranger.KIND:
        return ("stranger",)
    if entry.distribution != OWN:
        return ()
    return (entry.kind,) if slot == "noise" else ("heterogeneous",)


def other_size(shape: Shape, members: tuple[int, ...]) -> list[Variant]:
    """Another network, with its own plain row."""
    row: Callable[..., Variant] = partial(Variant, section=shape.name)
    plain = row("plain MLP, Adam(fused=True)", Alone(Plain, shape))
    return [plain, *(row(_members(k), Population(k, shape), k) for k in members)]


def beside(rows: list[Variant]) -> list[Variant]:
    """The rows that are timed again as two processes: plain, and what the goals call heterogeneous."""
    told = ("plain", "heterogeneous")
    return [
        Variant(row.name, row.start, row.networks, tuple(f"{t} beside" for t in row.tags if t in told), BESIDE)
        for row in rows
        if set(told) & set(row.tags)
    ]


BESIDE = f"{PAPER.name}, two 1-thread processes side by side"


def _members(k: int) -> str:
    return f"{k} member" if k == 1 else f"{k} members"
