"""A results file as tables of pandas and as a tree of xarray, with the units of every column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.results.record import described
from ebayes_core.wording import text

if TYPE_CHECKING:
    import pandas as pd

Arrays = Mapping[str, np.ndarray]
PLACES = ("post", "pre")  #: axes of a matrix of weights


def members(swept: Mapping[str, Any], numbers: Mapping[str, Any], by_layer: Arrays) -> pd.DataFrame:
    """One row per network: the swept fields, its numbers, and those of its layers, named as in `balance.1`.

    by_layer: (member, layer) each.
    """
    about = {name: ("1", f"value of the swept field {name}") for name in swept}
    columns = {**{name: _hashable(values) for name, values in swept.items()}, **numbers}
    for name, values in by_layer.items():
        of_layers = {f"{name}.{i + 1}": column for i, column in enumerate(values.T)}
        columns, about = columns | of_layers, about | dict.fromkeys(of_layers, described(name))
    return _frame(columns, "member", **about)


def _hashable(values: Sequence[Any]) -> list[Any]:
    """Values to group by: a swept table as its kind if that tells it, or else in words; a list as a tuple."""
    tables = {json.dumps(value, sort_keys=True) for value in values if isinstance(value, dict)}
    kinds = {value.get("kind") for value in values if isinstance(value, dict)}
    told = len(kinds) == len(tables) and None not in kinds
    return [(v["kind"] if told else text(v)) if isinstance(v, dict) else _tuples(v) for v in values]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def synapses(layers: Mapping[int, Arrays]) -> pd.DataFrame:
    """One row per synapse: its layer, its place in the weights, and every array that is stored for it.

    layers: by number, the arrays of a layer, shaped as its weights, or (pre,) if they belong to its inputs.
    """
    import pandas as pd

    whole = pd.concat([pd.DataFrame(_columns(n, arrays)) for n, arrays in layers.items()], ignore_index=True)
    places = [name for name in ("post", "pre", *whole) if name in PLACES or str(name).startswith("dim_")]
    first = dict.fromkeys(str(name) for name in ("layer", *places, "mu", "sigma", *whole) if name in whole)
    return _frame({name: whole[name] for name in first}, "synapse")


def _columns(layer: int, arrays: Arrays) -> dict[str, Any]:
    """Columns of equal length: the layer's number, a synapse's index along each axis, and its numbers."""
    shape = max((array.shape for array in arrays.values()), key=len)
    axes = PLACES if len(shape) == 2 else tuple(f"dim_{i}" for i in range(len(shape)))
    places = dict(zip(axes, np.indices(shape), strict=True))
    # what belongs to an input belongs to each of its synapses
    whole = {name: np.broadcast_to(array, shape) for name, array in (places | dict(arrays)).items()}
    return {"layer": layer, **{name: array.ravel() for name, array in whole.items()}}


def _frame(columns: Mapping[str, Any], index: str, **about: tuple[str, str]) -> pd.DataFrame:
    """A table whose `attrs` hold the units and the description of each column."""
    import pandas as pd

    found = pd.DataFrame(dict(columns))
    found.index.name = index
    known = {name: about.get(name) or described(name) for name in map(str, found)}
    found.attrs = {"units": {n: u for n, (u, _) in known.items()}, "description": {n: d for n, (_, d) in known.items()}}
    return found
