"""Hypothesis strategies: any plugin within its own bounds, and tensors as in the engine."""

from __future__ import annotations

import itertools
import math
import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types as at
import numpy as np
import torch
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

P = TypeVar("P", bound=BaseModel)
MOST = 40  #: sizes (widths, numbers of examples) stay small, which suffices for a property
SMALLEST = float(np.finfo(np.float32).tiny)  #: stands for an exclusive 0: the smallest number of full precision


def sigmas(low: float = 1e-6, high: float = 1e3) -> st.SearchStrategy[float]:
    """Standard deviations over the decades that training covers, uniform in the logarithm."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


def mus(size: float = 3.0) -> st.SearchStrategy[float]:
    """Mean weights of either sign, including zero."""
    return st.floats(-size, size)


def tensor(elements: st.SearchStrategy[float], *shape: int) -> st.SearchStrategy[torch.Tensor]:
    """A float64 tensor of independent elements."""
    count = math.prod(shape)
    return st.lists(elements, min_size=count, max_size=count).map(
        lambda values: torch.tensor(values, dtype=torch.float64).view(shape)
    )


def plugins(cls: type[P]) -> st.SearchStrategy[P]:
    """Instances of a plugin class, every field within its declared bounds."""
    fields = {name: _field(info) for name, info in drawable(cls).items()}
    drawn: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=fields).map(lambda values: _built(cls, values))
    return drawn.filter(lambda p: p is not None)


def drawable(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a plugin that its formulas may depend on: neither its kind, nor what names files."""
    left_out = ("kind", *getattr(cls, "of_files", ()))
    return {name: info for name, info in cls.model_fields.items() if name not in left_out}


def siblings(cls: type[P], count: int = 2) -> st.SearchStrategy[list[P]]:
    """Instances that differ only in their float fields, and are therefore trained in one cohort."""
    return plugins(cls).flatmap(
        lambda first: st.lists(_sibling(first), min_size=count - 1, max_size=count - 1).map(lambda rest: [first, *rest])
    )


def corners(cls: type[P], most: int | None = None) -> list[P]:
    """Plugins of default values and of one number at one of its bounds, for every choice in the other fields.

    A value next to an exclusive bound stands for it. Numbers in nested tables and in tuples count too. Where a rule
    between fields forbids such a plugin, a second field goes to a bound as well. most: the largest integer.
    """
    ends = {n: _ends(i.annotation, tuple(i.metadata), most) for n, i in drawable(cls).items()}
    needed = {n: ends[n][0] for n, info in cls.model_fields.items() if info.is_required() and ends.get(n)}
    choices = {n: ends.pop(n) for n, info in cls.model_fields.items() if n in ends and _is_choice(info.annotation)}
    bases = [{**needed, **dict(zip(choices, c, strict=True))} for c in itertools.product(*choices.values())][:MOST]
    found = [_at(cls, {**base, n: end}, ends) for base in bases for n in ends for end in ends[n]]
    return [p for p in (*(_built(cls, base) for base in bases), *found) if p is not None]


def _at(cls: type[P], values: dict[str, Any], ends: dict[str, list[Any]]) -> P | None:
    """The plugin with these values, or with a second field at a bound, if there is one."""
    others = ({**values, n: end} for n in ends if n not in values for end in ends[n])
    return next((p for v in (values, *others) if (p := _built(cls, v)) is not None), None)


def _is_choice(annotation: Any) -> bool:
    return annotation is bool or get_origin(annotation) is Literal


def _ends(annotation: Any, limits: tuple[Any, ...], most: int | None) -> list[Any]:
    """The values at, or next to, the bounds of a field; all of its choices."""
    annotation, limits = _bare(annotation, limits)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(arguments)
    if origin in (Union, types.UnionType):
        return [end for a in arguments if a is not type(None) for end in _ends(a, limits, most)]
    if origin is tuple:
        return _tuples(arguments, max(_sizes(limits)[0], 1), most)
    if annotation is bool:
        return [False, True]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(corners(annotation, most))
    return _number_ends(annotation, limits, most) if annotation in (int, float) else []


def _tuples(arguments: tuple[Any, ...], size: int, most: int | None) -> list[Any]:
    """Tuples with one element at a bound, the others at their first."""
    kinds = [arguments[0]] * size if arguments[-1] is Ellipsis else list(arguments)
    ends = [_ends(kind, (), most) for kind in kinds]
    if not all(ends):
        return []
    first = tuple(e[0] for e in ends)
    every = [(*first[:i], end, *first[i + 1 :]) for i, e in enumerate(ends) for end in e]
    return every[: len(ends[0])] if arguments[-1] is Ellipsis else every  # all positions have the same bounds


def _number_ends(kind: type, limits: tuple[Any, ...], most: int | None) -> list[Any]:
    found = [_end(kind, name, getattr(m, name)) for m in limits for name in ("ge", "gt", "le", "lt") if _has(m, name)]
    return [min(end, most) for end in found] if most is not None and kind is int else found


def _has(limit: Any, name: str) -> bool:
    return getattr(limit, name, None) is not None


def _end(kind: type, name: str, bound: Any) -> Any:
    """A bound, or what is next to it if it is exclusive: in single precision, in which networks are trained."""
    inward = {"gt": 1, "lt": -1}.get(name, 0)
    if kind is int or not inward:
        return kind(bound + inward)
    if bound == 0:
        return inward * SMALLEST
    return float(np.nextafter(np.float32(bound), np.float32(inward * math.inf)))


def _bare(annotation: Any, limits: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """A type without its Annotated, and all of its limits."""
    if get_origin(annotation) is not Annotated:
        return annotation, limits
    inner, *extras = get_args(annotation)
    found = [m for extra in extras for m in (extra.metadata if isinstance(extra, FieldInfo) else [extra])]
    return _bare(inner, (*limits, *found))


def _sibling(first: P) -> st.SearchStrategy[P]:
    floats = [name for name in type(first).model_fields if isinstance(getattr(first, name), float)]
    fields = {name: _field(type(first).model_fields[name], absent=False) for name in floats}
    return st.fixed_dictionaries(fields).map(lambda values: _built(type(first), {**_given(first), **values}) or first)


def _given(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _built(cls: type[P], values: dict[str, Any]) -> P | None:
    try:
        return cls(**{name: value for name, value in values.items() if value is not None})
    except ValidationError:  # fields that exclude each other
        return None


def _field(info: FieldInfo, absent: bool = True) -> st.SearchStrategy[Any]:
    return _values(info.annotation, tuple(info.metadata), absent)


def _values(annotation: Any, limits: tuple[Any, ...], absent: bool = True) -> st.SearchStrategy[Any]:
    """Values of a field's type within its limits."""
    annotation, limits = _bare(annotation, limits)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        options = [a for a in arguments if absent or a is not type(None)]
        return st.one_of(*(_values(a, limits) for a in options))
    if origin is tuple:
        low, high = _sizes(limits)
        if arguments[-1] is Ellipsis:
            return st.lists(_values(arguments[0], ()), min_size=low, max_size=min(high, 3)).map(tuple)
        return st.tuples(*(_values(a, ()) for a in arguments))
    return _simple(annotation, limits)


def _simple(annotation: Any, limits: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if annotation is float:
        return _floats(limits)
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        low, high = _bounds(limits, 0, 2**31)
        return st.integers(math.ceil(low), int(min(high, max(low, 0) + MOST)))
    if annotation is type(None):
        return st.none()
    if annotation is str:
        return st.text("abc", min_size=1, max_size=5)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return plugins(annotation)
    raise TypeError(f"no strategy for a field of type {annotation}; give the strategy of this plugin by hand")


def _floats(limits: tuple[Any, ...]) -> st.SearchStrategy[float]:
    """Uniform over the bounds, in the logarithm if they are positive and wide; an exclusive zero becomes tiny."""
    low, high = _bounds(limits, -1e3, 1e3)
    if low == 0 and any(isinstance(m, at.Gt) for m in limits):
        low = min(1e-6, high / 10)
    if low > 0 and high / low > 100:
        return st.floats(math.log(low), math.log(high)).map(lambda v: min(max(math.exp(v), low), high))
    return st.floats(low, high, exclude_max=any(isinstance(m, at.Lt) for m in limits))


def _bounds(limits: tuple[Any, ...], low: float, high: float) -> tuple[float, float]:
    for limit in limits:
        low = getattr(limit, "ge", getattr(limit, "gt", low))
        high = getattr(limit, "le", getattr(limit, "lt", high))
    return low, high


def _sizes(limits: tuple[Any, ...]) -> tuple[int, int]:
    low, high = 0, 3
    for limit in limits:
        low, high = getattr(limit, "min_length", low), getattr(limit, "max_length", high)
    return low, max(low, high)
