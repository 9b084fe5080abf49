"""Specs: one TOML file says everything about an experiment; frozen, closed models, whole or refused.

The models are composed from whatever plugins are registered, so a stranger's cost stands in validation errors and
in the JSON Schema like a built-in one.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, create_model, field_validator

from ebayes_core import sweep as sweeps
from ebayes_core.errors import SpecError, nearest
from ebayes_core.mistakes import describe

if TYPE_CHECKING:
    from ebayes_core.registry import Registry

CLOSED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
SLOTS = {
    "dataset": "mnist5k", "network": "mlp", "cost": "membrane", "noise": "heterogeneous", "inference": "energy_efficient",
}  # fmt: skip
M = TypeVar("M", bound=BaseModel)
#: What does not change a network: it may be edited without training again.
PRESENTATION = ("name", "description", "analysis")
MOST_SEEDS = 1000


class Training(BaseModel):
    """How the parameters are trained: Adam on minibatches (Methods)."""

    model_config = CLOSED
    epochs: int = Field(50, ge=1, le=1_000_000, description="passes over the training set")
    batch_size: int = Field(20, ge=1, le=100_000, description="examples per step; all share one weight sample")
    learning_rate: float = Field(5e-4, gt=0, le=100, description="Adam's step for the means")
    learning_rate_phi: float | None = Field(
        None, gt=0, le=100, description="Adam's step for phi, hence for log sigma while it is small; learning_rate if left out"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    epsilon: float = Field(1e-8, gt=0, le=1, description="Adam's guard against division by zero")
    dtype: Literal["float32", "float64"] = Field("float32", description="floating type of everything that is trained")


class Measurement(BaseModel):
    """How a trained network is measured."""

    model_config = CLOSED
    samples: int = Field(20, ge=1, le=10_000, description="sampled networks whose predictions are averaged")
    sample_batch: int = Field(20, ge=1, le=100_000, description="test examples that share one sampled network")
    probe_batch: int = Field(100, ge=1, le=100_000, description="training examples per weight sample in the probes")
    probe_examples: int | None = Field(
        None, ge=1, description="at most so many training examples in the probes; all of them if left out"
    )


@dataclass(frozen=True)
class Point:
    """One member of a population: its place, its whole spec, and the fields that the sweep set."""

    index: int
    member: Any
    swept: dict[str, Any]


class Parts(BaseModel):
    """What every experiment has besides its slots."""

    model_config = CLOSED
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="names the results file")
    description: str = Field("", max_length=10_000, description="for the reader")
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, max_length=MOST_SEEDS, description="every point of the sweep is trained once per seed"
    )
    training: Training = Field(Training(), description="how to train")
    measurement: Measurement = Field(Measurement(), description="how to measure")
    sweep: dict[str, sweeps.Row] = Field(
        {}, description="dotted field, whole table, or several fields separated by commas -> its values; rows multiply"
    )

    @field_validator("sweep", mode="before")
    @classmethod
    def _one_form_per_row(cls, rows: Any) -> Any:
        return {name: _row(name, row) for name, row in rows.items()} if isinstance(rows, dict) else rows

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= seed < 2**31 for seed in seeds):
            raise ValueError("a seed is an integer from 0 to 2147483647")
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands in the list twice")
        return seeds

    _members: tuple[Point, ...] = PrivateAttr(())

    def members(self) -> list[Point]:
        """Every member, validated alone when the spec was loaded; seeds vary fastest."""
        return list(self._members)


def _row(name: str, row: Any) -> Any:
    """The form of a sweep's row, chosen by its key, so that a mistake in it gets one message and not four."""
    if isinstance(row, dict):
        known = [key for key in sweeps.RANGES if key in row]
        if len(known) != 1 or len(row) != 1:
            raise ValueError(f"'{name}': a range is a table with one key of {', '.join(sweeps.RANGES)}")
        form = sweeps.RANGES[known[0]]
    elif isinstance(row, (list, tuple)):
        form = sweeps.Values
    else:
        raise ValueError(f"'{name}' = {row!r}: a row is a list of values, or a range such as {{ logspace = [-2, 1, 7] }}")
    try:
        return form.model_validate(row)
    except ValidationError as error:
        raise ValueError(f"'{name}': {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


@dataclass(frozen=True)
class Models:
    """The two models of a registry: Experiment is a spec, Member is one network of it."""

    Experiment: type[Parts]
    Member: type[BaseModel]


@lru_cache(maxsize=8)
def compose(registry: Registry) -> Models:
    """The models whose slots take any registered kind, told apart by `kind`."""
    slots = {name: _slot(registry, name, default) for name, default in SLOTS.items()}
    member = create_model(
        "Member", __config__=CLOSED, **slots, training=(Training, Training()), measurement=(Measurement, Measurement()),
        seed=(int, 0),
    )  # fmt: skip
    analyses = tuple[registry.unions["analysis"], ...]
    described = Field((), max_length=100, description="figures and their numbers, drawn when the run is done")
    experiment = create_model("Experiment", __base__=Parts, **slots, analysis=(analyses, described))
    experiment.__doc__ = "One experiment: a population of networks over a sweep, and its figures."
    return Models(experiment, member)


def _slot(registry: Registry, slot: str, default: str) -> tuple[Any, Any]:
    """A field of a slot, with its default kind where that is registered."""
    kinds = registry.kinds(slot)
    text = f"one of the registered kinds: {', '.join(kinds)}"
    if default in kinds:
        return registry.unions[slot], Field(registry.composed(kinds[default])(), description=text)
    return registry.unions[slot], Field(description=text)


def load(path: str | Path, registry: Registry, overrides: Iterable[str] = ()) -> Parts:
    """The experiment of a TOML file. Raises SpecError with every mistake at once."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.toml")]) if path.parent.is_dir() else ""
        raise SpecError([f"{path}: there is no such file{near}"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: cannot be read as UTF-8 text: {error}"]) from error
    return loads(text, registry, overrides, source=str(path))


def loads(text: str, registry: Registry, overrides: Iterable[str] = (), source: str = "spec") -> Parts:
    """The experiment of a TOML text; overrides are `dotted.field=value`. Raises SpecError with every mistake at once."""
    models = compose(registry)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError([f"{source}: this is no TOML: {error}"]) from error
    for slot, kind in SLOTS.items():  # so that one field of a table left out can be swept or set
        if kind in registry.kinds(slot):
            table.setdefault(slot, {"kind": kind})
    for override in overrides:
        _override(table, override)
    return _validate(table, models, source)


def _override(table: dict[str, Any], text: str) -> None:
    """Apply `--set network.hidden=[50]`: TOML on both sides, and a bare word on the right is a string."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise SpecError([f"--set {text}: write it as field=value, for example cost.c=0.1"])
    try:
        path = _path(tomllib.loads(f"{name} = 0"))
    except tomllib.TOMLDecodeError as error:
        raise SpecError([f"--set {text}: '{name}' is no dotted field: {error}"]) from error
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        parsed = value.strip()
    sweeps.put(table, path, parsed)


def _path(nested: Any) -> list[str]:
    (name, inner), *_ = nested.items()
    return [name, *_path(inner)] if isinstance(inner, dict) else [name]


def _validate(table: dict[str, Any], models: Models, source: str) -> Parts:
    """The experiment with its members, or every mistake: the spec's own, and those that only a sweep's point has."""
    mistakes: list[str] = []
    experiment = None
    try:
        experiment = _strictly(models.Experiment, table)
    except ValidationError as error:
        mistakes += describe(error, source, models.Experiment)
    except (ValueError, RecursionError) as error:
        raise SpecError([f"{source}: cannot be read: {error}"]) from error
    points, more = _points(table, models, source, mistakes)
    if mistakes + more or experiment is None:
        raise SpecError(dict.fromkeys(mistakes + more))
    experiment._members = points
    return experiment


def _strictly(model: type[M], table: dict[str, Any]) -> M:
    """Validate as JSON: arrays are tuples and 1 is a float there, but "1" and true are no numbers."""
    return model.model_validate_json(json.dumps(table, default=str), strict=True)


def _points(
    table: dict[str, Any], models: Models, source: str, known: list[str]
) -> tuple[tuple[Point, ...], list[str]]:
    """The members, each validated alone, and the mistakes that are not `known` from the spec itself."""
    base = {k: v for k, v in table.items() if k in models.Member.model_fields and k != "seed"}
    try:
        given = {name: table[name] for name in ("sweep", "seeds") if name in table}
        parts = _strictly(Parts, {"name": "x", **given})
        rows, seeds = parts.sweep, parts.seeds
        combinations = sweeps.expand(rows)
        if len(combinations) * len(seeds) > sweeps.MOST_MEMBERS:
            raise ValueError(f"the sweep has more than {sweeps.MOST_MEMBERS} members")
    except ValidationError:
        return (), []
    except ValueError as error:
        return (), [f"{source}: [sweep] {error}"]
    found: list[tuple[BaseModel, dict[str, Any]]] = []
    wrong: dict[str, list[dict[str, Any]]] = {}
    for values in combinations:
        try:
            found.append((_strictly(models.Member, sweeps.apply(base, values)), values))
        except ValidationError as error:
            for text in describe(error, source, models.Member):
                if text not in known:
                    wrong.setdefault(text, []).append(values)
    mistakes = [f"{text} (at {_where(at, len(combinations))})" for text, at in wrong.items()]
    mistakes += _twins(found, source)
    members = (
        Point(i, member.model_copy(update={"seed": seed}), values)
        for i, ((member, values), seed) in enumerate((pair, seed) for pair in found for seed in seeds)
    )
    return tuple(members), mistakes


def _where(points: list[dict[str, Any]], count: int) -> str:
    """Which points of a sweep a mistake concerns, in few words."""
    if len(points) == count and count > 1:
        return f"every one of the {count} sweep points"
    first = ", ".join(f"{name} = {str(value)[:60]}" for name, value in points[0].items()) or "the spec itself"
    return first if len(points) == 1 else f"{first} and {len(points) - 1} more sweep points"


def _twins(found: list[tuple[BaseModel, dict[str, Any]]], source: str) -> list[str]:
    """Two points with the same spec: one would be trained for nothing."""
    seen: dict[str, dict[str, Any]] = {}
    for member, values in found:
        other = seen.setdefault(member.model_dump_json(), values)
        if other is not values:
            return [f"{source}: [sweep] two points are the same network: {_where([other], 0)} and {_where([values], 0)}"]
    return []


def dumps(experiment: Parts) -> str:
    """The experiment as TOML; `loads` of it is equal. What TOML cannot say, an absent value, is left out."""
    import tomli_w

    return tomli_w.dumps(resolved(experiment))


def resolved(model: BaseModel) -> dict[str, Any]:
    """Every field with its value, defaults included, as plain data."""
    return model.model_dump(mode="json", exclude_none=True)


def digest(experiment: Parts) -> str:
    """A fingerprint of what is trained and measured: equal for specs that give the same networks."""
    table = {k: v for k, v in resolved(experiment).items() if k not in PRESENTATION}
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def json_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of a spec, from which editors complete and check."""
    schema = compose(registry).Experiment.model_json_schema()
    text = json.dumps(schema)
    for name, table in schema["$defs"].items():
        if table.get("title", name) not in schema["$defs"]:  # a generic spells out its arguments; its title is enough
            text = text.replace(name, table["title"])
    schema = json.loads(text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ebayes experiment", **schema}


def schema_text(registry: Registry) -> str:
    """The JSON Schema as a file holds it."""
    return json.dumps(json_schema(registry), indent=2, sort_keys=True) + "\n"
