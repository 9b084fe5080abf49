"""The layout of a results file: members, curves, networks and analyses, with netCDF-4 dimension scales.

No scale is at the root: xarray aligns a group's dimensions with those of its ancestors, and architectures differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from ebayes_core.results.record import MemberResult, Setting, described
from ebayes_core.storage import hdf5

#: prefix of swept fields, which are stored among the networks' numbers and may have the same names
SWEPT = "swept."


def members(group: h5py.Group, settings: Sequence[Setting], results: Sequence[MemberResult]) -> None:
    """One value per network: its spec, the swept fields, status, numbers."""
    scales = {"member": _scale(group, "member", np.arange(len(settings)))}
    names = list(dict.fromkeys(name for r in results for name in r.metrics))
    columns: dict[str, list[Any]] = {name: [r.metrics.get(name, math.nan) for r in results] for name in names}
    columns |= {"seed": [s.spec["seed"] for s in settings], "status": [r.status for r in results]}
    columns["spec"] = [json.dumps(s.spec) for s in settings]
    for name, values in columns.items():
        _array(group, name, values, scales)
    for name in dict.fromkeys(name for s in settings for name in s.swept):
        values = [s.swept.get(name) for s in settings]
        plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        item = _array(group, SWEPT + name, values if plain else [json.dumps(v) for v in values], scales)
        item.attrs.update({"description": f"value of the swept field {name}", "json": not plain})


def padded(group: h5py.Group, tables: Sequence[dict[str, np.ndarray]], axis: str, first: int) -> None:
    """Arrays (member, axis) of networks that may differ in length, padded with NaN."""
    length = max((len(v) for table in tables for v in table.values()), default=0)
    scales = {
        "member": _scale(group, "member", np.arange(len(tables))),
        axis: _scale(group, axis, np.arange(first, first + length)),
    }
    for name in dict.fromkeys(name for table in tables for name in table):
        rows = [np.asarray(table.get(name, []), dtype=np.float64) for table in tables]
        filled = [np.pad(row, (0, length - len(row)), constant_values=np.nan) for row in rows]
        item = _array(group, name, np.stack(filled), scales)
        if axis == "layer":
            item.attrs["description"] = f"{item.attrs['description']}; of each layer alone"


Layer = tuple[tuple[str, tuple[int, ...], str], ...]  #: (name, shape, dtype) of the arrays of one member's layer
Shapes = tuple[Layer, ...]


def shapes(layers: Sequence[dict[str, np.ndarray]]) -> Shapes:
    """Names, shapes and types of a network's arrays; networks that agree in them are stored together."""
    return tuple(tuple((n, a.shape, a.dtype.str) for n, a in sorted(layer.items())) for layer in layers)


def kept(group: h5py.Group) -> Layer:
    """The same for a layer stored in a file."""
    return tuple((n, item.shape[1:], item.dtype.str) for n, item in sorted(group.items()) if not item.is_scale)


def networks(group: h5py.Group, kinds: Sequence[tuple[Shapes, Sequence[int]]]) -> list[list[dict[str, h5py.Dataset]]]:
    """Empty arrays for synapses, (member, post, pre + 1), shared by the networks of one architecture and filled in
    later.

    kinds: the shapes of each architecture and the indices of its networks. A row of an array is a chunk of its own, so
    that rows can be written in any order, a few at a time.
    """
    return [
        [_layer(group.create_group(f"{i}/layer_{n + 1}"), layer, members) for n, layer in enumerate(layers)]
        for i, (layers, members) in enumerate(kinds)
    ]


def _layer(group: h5py.Group, arrays: Layer, members: Sequence[int]) -> dict[str, h5py.Dataset]:
    """One layer of the networks of one architecture; weights that are not matrices have unnamed axes."""
    weights = max((shape for _, shape, _ in arrays), key=len)
    names = ["post", "pre"] if len(weights) == 2 else [f"dim_{i}" for i in range(len(weights))]
    scales = {"member": _scale(group, "member", np.array(members))}
    scales |= {name: _scale(group, name, np.arange(size)) for name, size in zip(names, weights, strict=True)}
    found = {}
    for name, shape, dtype in arrays:
        axes = scales if len(shape) > 1 else {"member": scales["member"], names[-1]: scales[names[-1]]}
        found[name] = _described(hdf5.rows(group, name, (len(members), *shape), dtype), name, axes)
    return found


def _scale(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
    item = hdf5.dataset(group, name, values, packed=True)
    item.make_scale(name)
    item.attrs["description"] = f"coordinate: {name}, by number"
    item.attrs["units"] = "1"
    return item


def _array(group: h5py.Group, name: str, values: Any, scales: dict[str, h5py.Dataset]) -> h5py.Dataset:
    return _described(hdf5.dataset(group, name, np.asarray(values), packed=True), name, scales)


def _described(item: h5py.Dataset, name: str, scales: dict[str, h5py.Dataset]) -> h5py.Dataset:
    for dimension, scale in zip(item.dims, scales.values(), strict=False):
        dimension.attach_scale(scale)
    item.attrs["units"], item.attrs["description"] = described(name)
    return item


def analysis(group: h5py.Group, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of an analysis, whose axes have no names: arrays whose axes agree in position and length share a
    scale, so that xarray can open them.
    """
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    sizes = dict.fromkeys((axis, size) for shape in shapes.values() for axis, size in enumerate(shape))
    scales = {(axis, size): _scale(group, f"_axis{axis}_{size}", np.arange(size)) for axis, size in sizes}
    for name, array in arrays.items():
        _array(group, name, array, {str(axis): scales[axis, size] for axis, size in enumerate(shapes[name])})
