"""Sweeps: the rows of the table [sweep] of a spec, and all combinations of their values with the seeds."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

MOST_MEMBERS = 100_000
Table = dict[str, Any]
Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]  # the integers that a double represents exactly


class _Range(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LogSpace(_Range):
    """Values evenly spaced in the logarithm: 10**low to 10**high."""

    logspace: tuple[float, float, int] = Field(description="[first exponent of ten, last exponent, number of values]")

    @model_validator(mode="after")
    def _countable(self) -> LogSpace:
        _count(self.logspace[2])
        if max(map(abs, self.logspace[:2])) > 300:
            raise ValueError("the exponents of ten must be between -300 and 300")
        return self

    def values(self) -> list[Any]:
        """The numbers, rounded to 12 digits to remove rounding errors."""
        return [float(f"{v:.12g}") for v in np.logspace(*self.logspace)]


class LinSpace(_Range):
    """Values evenly spaced."""

    linspace: tuple[float, float, int] = Field(description="[first, last, number of values]")

    @model_validator(mode="after")
    def _countable(self) -> LinSpace:
        _count(self.linspace[2])
        return self

    def values(self) -> list[Any]:
        """The numbers."""
        return [float(f"{v:.12g}") for v in np.linspace(*self.linspace)]


class IntRange(_Range):
    """Integers from start up to, but not including, stop."""

    range: tuple[Integer, Integer, Integer] = Field(description="[start, stop, step], stop not included")

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
        raise ValueError(f"a row must have 1 to {MOST_MEMBERS} values, not {n}")


class Values(RootModel[tuple[Any, ...]]):
    """A list of values; for several zipped fields, a list of lists with a value for each field."""

    model_config = ConfigDict(frozen=True)
    root: tuple[Any, ...] = Field(min_length=1, max_length=MOST_MEMBERS)

    def values(self) -> list[Any]:
        """The values in their order."""
        return list(self.root)


Row = LogSpace | LinSpace | IntRange | Values
RANGES: dict[str, type[_Range]] = {"logspace": LogSpace, "linspace": LinSpace, "range": IntRange}


def fields_of(name: str) -> list[str]:
    """The dotted fields set by a row of the sweep; several fields, separated by commas, are zipped."""
    return [part.strip() for part in name.split(",")]


def problems(rows: dict[str, Row], seeds: Sequence[int] = (0,)) -> list[str]:
    """Mistakes in the combination of valid rows: fields set twice, mismatched zips, too many networks."""
    fields = [field for name in rows for field in fields_of(name)]
    found = [f"'{field}' is set twice" for field in dict.fromkeys(fields) if fields.count(field) > 1]
    if "seed" in fields and tuple(seeds) != (0,):
        found.append("seed is set by the sweep and by the field seeds of the spec; remove one of them")
    found += [text for name, row in rows.items() for text in _mismatch(name, row.values())]
    size = math.prod(len(row.values()) for row in rows.values()) * len(seeds)
    if size > MOST_MEMBERS:
        found.append(f"the sweep and the seeds make {size:.6g} networks; at most {MOST_MEMBERS} are possible")
    return found


def _mismatch(name: str, values: list[Any]) -> list[str]:
    n = len(fields_of(name))
    if n == 1 or all(isinstance(value, (list, tuple)) and len(value) == n for value in values):
        return []
    return [f"'{name}' sets {n} fields, so each of its values must be a list of {n}"]


def expand(rows: dict[str, Row]) -> list[dict[str, Any]]:
    """All combinations of the rows, as tables of dotted field -> value; the last row varies fastest."""
    axes = [_axis(fields_of(name), row.values()) for name, row in rows.items()]
    return [{k: v for part in point for k, v in part.items()} for point in product(*axes)]


def _axis(fields: list[str], values: list[Any]) -> list[dict[str, Any]]:
    if len(fields) == 1:
        return [{fields[0]: value} for value in values]
    return [dict(zip(fields, value, strict=True)) for value in values]


def apply(table: Table, values: dict[str, Any]) -> Table:
    """A copy of a spec's tables with fields replaced; whole tables first, since their fields may be swept too."""
    changed = copy.deepcopy(table)
    for name in sorted(values, key=lambda name: name.count(".")):
        put(changed, name.split("."), copy.deepcopy(values[name]))
    return changed


def put(table: Table, path: list[str], value: Any) -> None:
    """Set a field of nested tables, creating missing ones; a number is an index into a list, as in `cost.costs.0.c`."""
    place: Any = table
    for part, following in pairwise(path):
        key = _key(place, part)
        inner = place[key] if isinstance(place, list) else place.get(key)
        if not (isinstance(inner, dict) or _has(inner, following)):
            inner = place[key] = {}
        place = inner
    place[_key(place, path[-1])] = value


def get(table: Any, path: list[str]) -> Any:
    """The value of a field of nested tables, named as in `put`."""
    return reduce(lambda place, part: place[_key(place, part)], path, table)


def _has(inner: Any, index: str) -> bool:
    return isinstance(inner, list) and index.isdecimal() and int(index) < len(inner)


def _key(place: Any, part: str) -> Any:
    return int(part) if isinstance(place, list) else part
