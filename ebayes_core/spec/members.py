"""The networks of an experiment: each point of the sweep is validated on its own, before anything trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ebayes_core.contract.files import FOLDER
from ebayes_core.results.record import Setting
from ebayes_core.spec import sweep
from ebayes_core.spec.messages import Mistake, describe, listed

M = TypeVar("M", bound=BaseModel)
Values = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One network of a population: its index, its complete spec, and the fields that the sweep set."""

    index: int
    member: Any
    swept: Values

    @cached_property
    def setting(self) -> Setting:
        """The same as plain data, as stored in files."""
        return Setting(resolved(self.member), self.swept)


def resolved(model: BaseModel) -> dict[str, Any]:
    """Every field with its value, defaults included, as plain data."""
    return model.model_dump(mode="json", exclude_none=True)


def strictly(model: type[M], table: dict[str, Any], folder: Path | None = None, key: str = FOLDER) -> M:
    """Validate as JSON: arrays become tuples, and 1 and 1e2 are floats and integers, but not "1" or true.

    folder: the folder of the spec, where a plugin finds the files that its fields name; in the validation context,
    under this key.
    """
    context = None if folder is None else {key: folder}
    return model.model_validate_json(json.dumps(_whole(table), default=str), strict=True, context=context)


def _whole(value: Any) -> Any:
    """Write integral floats as integers, since a field of floats accepts those too.

    Minus zero is kept: as an integer it would lose its sign, and the spec its digest.
    """
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(inner) for inner in value]
    whole = isinstance(value, float) and value.is_integer() and repr(value) != "-0.0"
    return int(value) if whole else value


def points(
    base: dict[str, Any],
    rows: dict[str, sweep.Row],
    seeds: Sequence[int],
    model: type[BaseModel],
    source: str,
    folder: Path,
) -> tuple[tuple[Point, ...], list[str]]:
    """Every network, seeds varying fastest, and the mistakes of the sweep and of its points.

    A row of the sweep may set `seed` itself; then some points have more seeds than others. folder: that of the spec.
    """
    problems = sweep.problems(rows, seeds)
    if problems:
        return (), [f"{source}: [sweep] {text}" for text in problems]
    combinations = sweep.expand(rows)
    found: list[tuple[BaseModel, Values]] = []
    wrong: dict[tuple[str, str], list[tuple[Mistake, Values]]] = {}
    for values in combinations:
        try:
            member = strictly(model, sweep.apply(base, values), folder)
            found.append((member, _held(member, values)))
        except ValidationError as error:
            for mistake in describe(error, source, model):
                wrong.setdefault((mistake.where, mistake.what), []).append((mistake, values))
    mistakes = [_together(same, combinations) for same in wrong.values()] + _twins(found, source)
    pairs = (pair for member, values in found for pair in _seeded(member, values, seeds))
    return tuple(Point(i, member, values) for i, (member, values) in enumerate(pairs)), mistakes


def _held(member: BaseModel, values: Values) -> Values:
    """The swept numbers as the validated network has them: whether a number is an integer depends on its field."""
    table = member.model_dump(mode="json")
    return {k: sweep.get(table, k.split(".")) if isinstance(v, (int, float)) else v for k, v in values.items()}


def _seeded(member: M, values: Values, seeds: Sequence[int]) -> list[tuple[M, Values]]:
    """A point once per seed, or with its own seed; the seed does not count as a field that the sweep set."""
    if "seed" in values:
        return [(member, {name: value for name, value in values.items() if name != "seed"})]
    return [(member.model_copy(update={"seed": seed}), values) for seed in seeds]


def _together(same: list[tuple[Mistake, Values]], every: list[Values]) -> str:
    """One line for the same mistake at many points: its values, and at which points."""
    mistakes, at = zip(*same, strict=True)
    shown = list(dict.fromkeys(m.value for m in mistakes))
    text = str(mistakes[0]._replace(value=listed(shown)))
    return text if every == [{}] else f"{text} (at {_where(list(at), every)})"


def _where(at: list[Values], every: list[Values]) -> str:
    """Which points of a sweep, briefly: the fields that distinguish them from the others, with their values there."""
    if len(at) == len(every):
        return f"every one of the {len(every)} sweep points" if len(every) > 1 else _named(at[0])
    telling = {name: _distinct(at, name) for name in at[0]}
    telling = {name: values for name, values in telling.items() if len(values) < len(_distinct(every, name))}
    if sum(all(str(p[name]) in values for name, values in telling.items()) for p in every) == len(at):
        return ", ".join(f"{name} = {listed(list(values))}" for name, values in telling.items())
    return f"{_named(at[0])} and {len(at) - 1} more sweep points"


def _distinct(at: list[Values], name: str) -> dict[str, None]:
    return dict.fromkeys(str(values[name]) for values in at)


def _named(values: Values) -> str:
    return ", ".join(f"{name} = {listed([str(value)])}" for name, value in values.items())


def _twins(found: list[tuple[BaseModel, Values]], source: str) -> list[str]:
    """A mistake if two points have the same spec, since one network would be trained twice."""
    seen: dict[str, Values] = {}
    for member, values in found:
        other = seen.setdefault(member.model_dump_json(), values)
        if other is not values:
            same = f"two points are the same network: {_named(other)} and {_named(values)}"
            return [f"{source}: [sweep] {same}"]
    return []
