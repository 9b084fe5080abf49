"""The variants that are timed: a short list for the goals, and a long one for the documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ebayes_core.bench import third_party
from ebayes_core.bench.architectures import architectures
from ebayes_core.bench.baselines import Alone, Naive, Plain, naive64
from ebayes_core.bench.engines import MEMBERS, OWN, Population, by_formula, entries, fitting, table_of
from ebayes_core.bench.rows import Variant
from ebayes_core.bench.setting import DIGITS, PAPER, WIDE, Shape
from ebayes_core.contract.registry import Registered
from ebayes_core.wording import networks

engine = partial(Variant, section=PAPER.name)


def training(quick: bool) -> list[Variant]:
    """All variants that train; the first of each section is the plain network of its size."""
    rows = [*baselines(), *sizes((MEMBERS,) if quick else (1, 8, 16, MEMBERS, 64), together=quick)]
    for slot in ("noise", "inference", "cost", "optimizer"):
        rows += kinds(slot, together=quick)
    rows.append(engine(f"{MEMBERS} networks, no compiler", Population(compile=False), MEMBERS, ("eager",)))
    rows += architectures()
    return rows if quick else [*rows, *other_size(DIGITS, (1, 32, 64)), *other_size(WIDE, (1, 4))]


def baselines() -> list[Variant]:
    """The plain network and the naive loops."""
    return [
        engine("plain MLP, Adam(fused=True)", Alone(Plain), tags=("plain",)),
        engine("naive loop, float64", Alone(naive64, dtype=torch.float64), tags=("naive float64",)),
        engine("naive loop, float32", Alone(Naive)),
    ]


def sizes(members: tuple[int, ...], together: bool) -> list[Variant]:
    """Populations of the default kinds: heterogeneous noise and the membrane cost."""
    tags = {MEMBERS: ("engine", "heterogeneous")}
    names = "; ".join(_names(_groups(slot, together)[0]) for slot in ("noise", "cost", "inference"))
    return [engine(f"{_members(k)}: {names}", Population(k), k, tags.get(k, ())) for k in members]


def kinds(slot: str, together: bool) -> list[Variant]:
    """A population of each registered kind of a slot except the default; with `together`, one for each formula."""
    return [_kind(slot, group) for group in _groups(slot, together)[1:]]


def _groups(slot: str, together: bool) -> list[list[Registered]]:
    """The kinds of a slot, grouped by formula or each alone; the first group starts with the default kind."""
    return by_formula(slot) if together else [[entry] for entry in entries(slot)]


def _names(group: list[Registered]) -> str:
    return ", ".join(entry.kind for entry in group)


def _kind(slot: str, group: list[Registered]) -> Variant:
    table = fitting(slot, table_of(group[0]))
    label = f"{MEMBERS} networks, {slot} {_names(group)}"
    return engine(label, Population(**table), MEMBERS, _tags(slot, group[0], table))


def _tags(slot: str, entry: Registered, table: dict[str, Any]) -> tuple[str, ...]:
    """The tags by which the goals find the rows; of costs and inferences, those with the default noise."""
    if entry.kind == third_party.KIND:
        return ("third-party",)
    if entry.distribution != OWN:
        return ()
    if slot in ("noise", "optimizer"):
        return ("optimizer",) if slot == "optimizer" else (entry.kind,)
    return ("heterogeneous",) if "noise" not in table else ()


def other_size(shape: Shape, members: tuple[int, ...]) -> list[Variant]:
    """Networks of another size, with their own plain network."""
    row: Callable[..., Variant] = partial(Variant, section=shape.name)
    plain = row("plain MLP, Adam(fused=True)", Alone(Plain, shape))
    return [plain, *(row(_members(k), Population(k, shape), k) for k in members)]


def beside(rows: list[Variant]) -> list[Variant]:
    """The variants that are also timed as two processes: plain, and those tagged heterogeneous."""
    tags = ("plain", "heterogeneous")
    return [
        Variant(row.name, row.start, row.networks, tuple(f"{t} beside" for t in row.tags if t in tags), BESIDE)
        for row in rows
        if set(tags) & set(row.tags)
    ]


BESIDE = f"{PAPER.name}, two 1-thread processes side by side"


def _members(k: int) -> str:
    return networks(k)
