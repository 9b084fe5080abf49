"""The results file of a run: written once, read by analyses, `show`, `draw`, h5py and xarray."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from ebayes_core import spec, store
from ebayes_core.results import MemberResult, described
from ebayes_core.store import StoreError

SCHEMA_VERSION = 1
FLAT = ("created", "duration_s", "device", "ebayes_version", "torch_version", "n_examples", "digest", "git_commit")


def write_run(
    path: Path,
    experiment: Any,
    points: Sequence[spec.Point],
    results: Sequence[MemberResult],
    provenance: dict[str, Any],
    spec_text: str | None = None,
) -> None:
    """Write a finished run, whole or not at all. spec_text is the spec as the user wrote it."""

    def fill(file: h5py.File) -> None:
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["spec_text"] = spec_text if spec_text is not None else spec.dumps(experiment)
        file.attrs["spec"] = json.dumps(spec.resolved(experiment))
        file.attrs["provenance"] = json.dumps(provenance)
        file.attrs.update({name: provenance[name] for name in FLAT if name in provenance})
        _members(file.create_group("members"), points, results)
        _padded(file.create_group("curves"), [r.curves for r in results], "epoch", 0)
        _padded(file.create_group("layer_metrics"), [r.layer_metrics for r in results], "layer", 1)
        _networks(file.create_group("networks"), results)
        file.create_group("analyses")

    store.write(path, fill)


def _members(group: h5py.Group, points: Sequence[spec.Point], results: Sequence[MemberResult]) -> None:
    """One value per member: its spec, the swept fields, status, numbers."""
    scales = {"member": _scale(group, "member", np.arange(len(points)))}
    names = list(dict.fromkeys(name for r in results for name in r.metrics))
    columns = {name: [r.metrics.get(name, math.nan) for r in results] for name in names}
    columns |= {"seed": [p.member.seed for p in points], "status": [r.status for r in results]}
    columns["spec"] = [json.dumps(spec.resolved(p.member)) for p in points]
    for name, values in columns.items():
        _array(group, name, values, scales)
    for name in dict.fromkeys(name for p in points for name in p.swept):
        values = [p.swept.get(name) for p in points]
        plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        item = _array(group, f"swept.{name}", values if plain else [json.dumps(v) for v in values], scales)
        item.attrs.update({"description": f"value of the swept field {name}", "json": not plain})


def _padded(group: h5py.Group, tables: Sequence[dict[str, np.ndarray]], axis: str, first: int) -> None:
    """Arrays (member, axis) of members that may differ in length: NaN stands where one has ended."""
    length = max((len(v) for table in tables for v in table.values()), default=0)
    scales = {
        "member": _scale(group, "member", np.arange(len(tables))),
        axis: _scale(group, axis, np.arange(first, first + length)),
    }
    for name in dict.fromkeys(name for table in tables for name in table):
        rows = [np.asarray(table.get(name, []), dtype=np.float64) for table in tables]
        padded = [np.pad(row, (0, length - len(row)), constant_values=np.nan) for row in rows]
        _array(group, name, np.stack(padded), scales)


def _networks(group: h5py.Group, results: Sequence[MemberResult]) -> None:
    """Synapses, (member, post, pre + 1); members of one architecture stand together."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for i, result in enumerate(results):
        shape = tuple((name, a.shape) for layer in result.layers for name, a in layer.items())
        kinds.setdefault(shape, []).append(i)
    for number, members in enumerate(kinds.values()):
        network = group.create_group(str(number))
        network.attrs["members"] = members
        for layer in range(len(results[members[0]].layers)):
            _layer(network.create_group(f"layer_{layer + 1}"), [results[i].layers[layer] for i in members], members)


def _layer(group: h5py.Group, layers: Sequence[dict[str, np.ndarray]], members: list[int]) -> None:
    weights = next(iter(layers[0].values())).shape
    names = ["post", "pre"] if len(weights) == 2 else [f"dim_{i}" for i in range(len(weights))]
    scales = {"member": _scale(group, "member", np.array(members))}
    scales |= {name: _scale(group, name, np.arange(size)) for name, size in zip(names, weights, strict=True)}
    for name in layers[0]:
        array = np.stack([layer[name] for layer in layers])
        axes = scales if array.ndim > 2 else {"member": scales["member"], names[-1]: scales[names[-1]]}
        _array(group, name, array, axes)


def _scale(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
    item = store.dataset(group, name, values)
    item.make_scale(name)
    item.attrs["description"] = f"coordinate: {name}, by number" + (", the bias last" if name == "pre" else "")
    item.attrs["units"] = "1"
    return item


def _array(group: h5py.Group, name: str, values: Any, scales: dict[str, h5py.Dataset]) -> h5py.Dataset:
    item = store.dataset(group, name, np.asarray(values))
    for dimension, scale in zip(item.dims, scales.values(), strict=False):
        dimension.attach_scale(scale)
    item.attrs["units"], item.attrs["description"] = described(name)
    return item


def add_analyses(path: Path, analyses: dict[str, dict[str, np.ndarray]]) -> None:
    """Add, or replace, analyses of a finished file: in a copy that then takes its place."""
    with store.replacing(path) as beside:
        shutil.copyfile(path, beside)
        with h5py.File(beside, "r+") as file:
            for name, arrays in analyses.items():
                if name in file["analyses"]:
                    del file["analyses"][name]
                store.put(file["analyses"].create_group(name), arrays)
            file.flush()


class Run:
    """A results file to read from. Use it as a context manager; raises StoreError for a file that is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._context = store.opened(self.path)

    def __enter__(self) -> Run:
        self._file = self._context.__enter__()
        found = self._file.attrs.get("schema_version")
        missing = {"members", "curves", "networks", "layer_metrics", "analyses"} - set(self._file)
        if found is None or missing:
            self._context.__exit__(None, None, None)
            raise StoreError(f"{self.path}: is an HDF5 file but no results file of ebayes")
        if found > SCHEMA_VERSION:
            self._context.__exit__(None, None, None)
            raise StoreError(f"{self.path}: was written by a newer ebayes (schema {found}); update ebayes to read it")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._context.__exit__(kind, error, tb)

    @property
    def spec(self) -> dict[str, Any]:
        """The resolved spec."""
        return json.loads(self._file.attrs["spec"])

    @property
    def spec_text(self) -> str:
        """The spec as the user wrote it."""
        return str(self._file.attrs["spec_text"])

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine, time."""
        return json.loads(self._file.attrs["provenance"])

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.spec["name"]

    @property
    def n_members(self) -> int:
        """How many networks."""
        return len(self._file["members/member"])

    @property
    def metrics(self) -> list[str]:
        """Names of the numbers that each member has."""
        return [n for n, d in self._file["members"].items() if d.dtype.kind == "f" and not n.startswith("swept.")]

    def metric(self, name: str) -> np.ndarray:
        """One number per member, (member,). Raises KeyError with the known names."""
        if name not in self._file["members"]:
            raise KeyError(f"no metric '{name}'; there are {', '.join(self.metrics)}")
        return self._file["members"][name][()]

    @property
    def status(self) -> list[str]:
        """Per member: done, or when it diverged."""
        return list(store.value(self._file["members/status"]))

    @property
    def seeds(self) -> np.ndarray:
        """Per member its seed."""
        return self._file["members/seed"][()]

    @property
    def swept(self) -> dict[str, list[Any]]:
        """Dotted field -> its value for each member."""
        found = {}
        for name, item in self._file["members"].items():
            if name.startswith("swept."):
                values = store.value(item).tolist()
                found[name.removeprefix("swept.")] = [json.loads(v) for v in values] if item.attrs["json"] else values
        return found

    def member_spec(self, member: int) -> dict[str, Any]:
        """The resolved spec of one member."""
        return json.loads(self._file["members/spec"].asstr()[member])

    @property
    def curves(self) -> list[str]:
        """Names of the curves."""
        return [name for name in self._file["curves"] if name not in store.SCALES]

    def curve(self, name: str) -> np.ndarray:
        """A curve over training, (member, epoch), the start first; NaN where a member has ended."""
        return self._file["curves"][name][()]

    def layer_metric(self, name: str) -> np.ndarray:
        """A number per layer, (member, layer); NaN where a member has fewer layers."""
        return self._file["layer_metrics"][name][()]

    def _network(self, member: int) -> tuple[h5py.Group, int]:
        for group in self._file["networks"].values():
            members = group.attrs["members"].tolist()
            if member in members:
                return group, members.index(member)
        raise KeyError(f"no member {member}; there are {self.n_members}")

    def n_layers(self, member: int) -> int:
        """How many layers of weights a member has."""
        return len(self._network(member)[0])

    def layer_names(self, member: int) -> list[str]:
        """Names of what is known of each synapse."""
        return [n for n in self._network(member)[0]["layer_1"] if n not in store.SCALES and not n.startswith("dim_")]

    def layer(self, member: int, layer: int, name: str) -> np.ndarray:
        """An array of one layer, counted from 1, shaped as its weights (post, pre + 1). Raises KeyError."""
        group, row = self._network(member)
        return group[f"layer_{layer}"][name][row]

    def member_table(self) -> list[dict[str, Any]]:
        """Swept fields, seed, status and numbers of every member as plain values; None where a number does not apply."""
        columns = {name: self.metric(name).tolist() for name in self.metrics}
        rows = []
        for i in range(self.n_members):
            fields = {name: values[i] for name, values in self.swept.items()}
            numbers = {name: v[i] if math.isfinite(v[i]) else None for name, v in columns.items()}
            rows.append({**fields, "seed": int(self.seeds[i]), "status": self.status[i], **numbers})
        return rows

    @property
    def analyses(self) -> list[str]:
        """Names of the analyses that are stored."""
        return list(self._file["analyses"])

    def analysis(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a stored analysis."""
        return {key: store.value(item) for key, item in self._file["analyses"][name].items()}
