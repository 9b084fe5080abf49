"""Hypothesis strategies: any plugin within its own bounds, and tensors as in the engine."""

from __future__ import annotations

import math
import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types as at
import torch
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

P = TypeVar("P", bound=BaseModel)
MOST = 40  #: sizes (widths, numbers of examples) stay small, which suffices for a property


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
    fields = {name: _field(info) for name, info in cls.model_fields.items() if name != "kind"}
    drawn: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=fields).map(lambda values: _built(cls, values))
    return drawn.filter(lambda p: p is not None)


def siblings(cls: type[P], count: int = 2) -> st.SearchStrategy[list[P]]:
    """Instances that differ only in their float fields, and are therefore trained in one cohort."""
    return plugins(cls).flatmap(
        lambda first: st.lists(_sibling(first), min_size=count - 1, max_size=count - 1).map(lambda rest: [first, *rest])
    )


def corners(cls: type[P]) -> list[P]:
    """Plugins with one numerical field at one of its bounds, and default values in the others."""
    fields = [(n, end) for n, info in cls.model_fields.items() if n != "kind" for end in _ends(info)]
    found = [_built(cls, {name: end}) for name, end in fields]
    return [plugin for plugin in found if plugin is not None]


def _ends(info: FieldInfo) -> list[float]:
    """The inclusive bounds of a number."""
    return [
        float(end) for m in info.metadata for end in (getattr(m, "ge", None), getattr(m, "le", None)) if end is not None
    ]


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
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [m for extra in arguments[1:] for m in (extra.metadata if isinstance(extra, FieldInfo) else [extra])]
        return _values(arguments[0], (*limits, *inner), absent)
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
