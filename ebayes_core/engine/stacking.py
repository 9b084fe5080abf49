"""Stack many networks into one: which of them compute the same formulas, and their numbers along a member axis."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from ebayes_core.contract.slots import Plugin

if TYPE_CHECKING:
    import torch

    from ebayes_core.spec import Point

M = TypeVar("M", bound=BaseModel)


def stack(models: Sequence[M], dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> M:
    """One model whose float fields are (member, 1) tensors, so that its formulas compute all members at once.

    The models must agree in everything that is not a float (see `key`). Nested models are stacked in the same way.
    """
    import torch

    def column(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, float):
            return torch.tensor(values, dtype=torch.float64).to(dtype or torch.get_default_dtype()).to(device)[:, None]
        if isinstance(first, BaseModel):
            return stack(values, dtype, device)
        if isinstance(first, tuple):
            return tuple(column(part) for part in zip(*values, strict=True))
        return first

    fields = {name: column([getattr(m, name) for m in models]) for name in type(models[0]).model_fields}
    return type(models[0]).model_construct(**fields)


def key(model: Any) -> Hashable:
    """What must agree for two models to be stacked: the formulas of their classes, and all values except floats.

    The kind itself does not matter: calcium and trafficking inherit the same `energy`, so they are trained together.
    """
    if isinstance(model, BaseModel):
        fields = [name for name in type(model).model_fields if name != "kind"]
        return _formulas(type(model)), tuple((name, key(getattr(model, name))) for name in fields)
    if isinstance(model, tuple):
        return tuple(map(key, model))
    return float if isinstance(model, float) else model


def _formulas(cls: type) -> type | tuple[tuple[str, int], ...]:
    """Every method, property and class variable that a class adds to Plugin, by identity."""
    if not issubclass(cls, Plugin):
        return cls
    added = sorted(set(dir(cls)) - set(dir(Plugin)))
    return tuple((name, id(inspect.getattr_static(cls, name))) for name in added)


def cohorts(
    points: Sequence[Point], synapses: Callable[[Point], int], most: int | None = None, members: int | None = None
) -> list[list[Point]]:
    """Divide networks into cohorts: one seed, one data set, the same formulas, and a limited size.

    synapses: number of synapses of a network; a cohort of more than `most` synapses, or of more than `members`
    networks, is divided.
    """
    groups: dict[Hashable, list[Point]] = {}
    for point in points:
        groups.setdefault(_cohort_key(point.member), []).append(point)
    fit = lambda group: min(most // synapses(group[0]) if most else len(group), members or len(group))
    return [part for group in groups.values() for part in _cut(group, fit(group))]


def _cohort_key(member: Any) -> Hashable:
    return member.seed, member.measurement, kind_of_step(member)


def kind_of_step(member: Any) -> Hashable:
    """What a network's step computes, apart from its random numbers: equal for cohorts whose steps take equally long,
    if they also have equally many networks.
    """
    together = (member.cost, member.noise, member.optimizer, member.inference, member.training)
    # one object computes the outputs of all networks of a cohort: they may differ in `init` alone
    network = member.network.model_copy(update={"init": 0.0})
    return member.dataset, network, tuple(map(key, together))


def _cut(group: list[Point], most: int) -> list[list[Point]]:
    """Parts of nearly equal size, none larger than `most` (or 1)."""
    parts = -(-len(group) // max(most, 1))
    bounds = [len(group) * i // parts for i in range(parts + 1)]
    return [group[a:b] for a, b in itertools.pairwise(bounds)]
