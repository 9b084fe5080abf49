"""Sweeps: rows of a spec's [sweep] table, and their product over seeds."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

MOST_MEMBERS = 100_000
Table = dict[str, Any]


class _Range(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LogSpace(_Range):
    """Values evenly spaced in the logarithm: 10**low to 10**high."""

    logspace: tuple[float, float, int] = Field(description="[lowest exponent of ten, highest exponent, how many]")

    @model_validator(mode="after")
    def _countable(self) -> LogSpace:
        _count(self.logspace[2])
        if max(map(abs, self.logspace[:2])) > 300:
            raise ValueError("the exponents of ten must lie between -300 and 300")
        return self

    def values(self) -> list[Any]:
        """The numbers, free of the last digits' noise."""
        return [float(f"{v:.12g}") for v in np.logspace(*self.logspace)]


class LinSpace(_Range):
    """Values evenly spaced."""

    linspace: tuple[float, float, int] = Field(description="[first, last, how many]")

    @model_validator(mode="after")
    def _countable(self) -> LinSpace:
        _count(self.linspace[2])
        return self

    def values(self) -> list[Any]:
        """The numbers."""
        return [float(f"{v:.12g}") for v in np.linspace(*self.linspace)]


class IntRange(_Range):
    """Integers from start up to, and without, stop."""

    range: tuple[int, int, int] = Field(description="[start, stop, step], stop not included")

    @model_validator(mode="after")
    def _countable(self) -> IntRange:
        if self.range[2] == 0:
            raise ValueError("the step must not be 0")
        _count(len(range(*self.range)))
        return self

    def values(self) -> list[Any]:
        """The integers."""
        return list(range(*self.range))


def _count(n: int) -> None:
    if not 1 <= n <= MOST_MEMBERS:
        raise ValueError(f"a row needs 1 to {MOST_MEMBERS} values, not {n}")


class Values(RootModel[tuple[Any, ...]]):
    """Values spelt out, one by one; for several fields zipped, a list of values for each point."""

    model_config = ConfigDict(frozen=True)
    root: tuple[Any, ...] = Field(min_length=1, max_length=MOST_MEMBERS)

    def values(self) -> list[Any]:
        """The values as they stand."""
        return list(self.root)


Row = LogSpace | LinSpace | IntRange | Values
RANGES: dict[str, type[_Range]] = {"logspace": LogSpace, "linspace": LinSpace, "range": IntRange}
Kind = Literal["logspace", "linspace", "range"]


def fields_of(name: str) -> list[str]:
    """The dotted fields that a row of the sweep sets: several, separated by commas, are zipped."""
    return [part.strip() for part in name.split(",")]


def expand(rows: dict[str, Row]) -> list[dict[str, Any]]:
    """Every point of the sweep as dotted field -> value: the product of the rows, the last one fastest.

    Raises ValueError where zipped fields and their values do not match, or for too many points.
    """
    axes = [_axis(fields_of(name), row.values(), name) for name, row in rows.items()]
    size = int(np.prod([len(axis) for axis in axes], dtype=float)) if axes else 1
    if size > MOST_MEMBERS:
        raise ValueError(f"the sweep has {size} points; at most {MOST_MEMBERS} are possible")
    return [{k: v for part in point for k, v in part.items()} for point in product(*axes)]


def _axis(fields: list[str], values: list[Any], name: str) -> list[dict[str, Any]]:
    if len(fields) == 1:
        return [{fields[0]: value} for value in values]
    for value in values:
        if not isinstance(value, (list, tuple)) or len(value) != len(fields):
            raise ValueError(f"'{name}' sets {len(fields)} fields, so each of its values is a list of {len(fields)}")
    return [dict(zip(fields, value, strict=True)) for value in values]


def apply(table: Table, values: dict[str, Any]) -> Table:
    """A copy of a spec's tables with dotted fields replaced; whole tables first, so that their fields can be swept too."""
    changed = copy.deepcopy(table)
    for name in sorted(values, key=lambda name: name.count(".")):
        put(changed, name.split("."), copy.deepcopy(values[name]))
    return changed


def put(table: Table, path: list[str], value: Any) -> None:
    """Set one field of nested tables, making tables on the way."""
    for part in path[:-1]:
        inner = table.get(part)
        table[part] = inner = inner if isinstance(inner, dict) else {}
        table = inner
    table[path[-1]] = value
