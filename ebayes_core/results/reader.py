"""Reading a results file: for analyses, `ebayes show`, `ebayes draw` and users' own scripts."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.errors import AbsentError, nearest
from ebayes_core.results import frames
from ebayes_core.results.handle import OpenFile
from ebayes_core.results.record import MemberResult
from ebayes_core.results.schema import SWEPT, Shapes, kept
from ebayes_core.storage import hdf5, seal
from ebayes_core.wording import networks

if TYPE_CHECKING:
    import pandas as pd
    import xarray


#: attribute of /networks in a record, which has no synapses: for each network, whether they all had the same sigma
ONE_SIGMA = "one_sigma"


class Run(OpenFile):
    """A results file to read from; arrays are read on access.

    It is open from construction until `with` ends, `close` is called, or the program ends. Raises StoreError for a file
    that is not a results file, and InUse for one that another program is writing to.
    """

    def __repr__(self) -> str:
        what = "closed" if self.closed else f"'{self.name}', {networks(self.n_members)}"
        return f"<Run {self.path}: {what}>"

    @property
    def schema(self) -> int:
        """Version of the layout."""
        return int(self._file.attrs["schema_version"])

    def broken(self) -> list[str]:
        """What differs from what was written; for a file without a seal, what HDF5's checksums find."""
        with self.reading():
            return seal.broken(self._file) if self.schema > 1 else seal.unreadable(self._file)

    def lengths(self) -> dict[str, int]:
        """Number of networks in each array that has one value, or one row, per network."""
        groups = ("members", "curves", "layer_metrics")
        return {f"/{group}/{name}": len(self._file[group][name]) for group in groups for name in self._names(group)}

    @property
    def has_synapses(self) -> bool:
        """Whether the file has the synapses of its networks; a record has not."""
        return ONE_SIGMA not in self._file["networks"].attrs

    @property
    def uniform(self) -> list[bool]:
        """For each network of a record, whether all of its synapses had the same sigma."""
        with self.reading():
            return [bool(same) for same in self._file["networks"].attrs[ONE_SIGMA]]

    def standing(self) -> np.ndarray:
        """The networks whose synapses are stored, each as often as it is stored."""
        found = [group["layer_1/member"][()] for group in self._file["networks"].values()]
        return np.concatenate([np.empty(0, int), *found])

    def _text(self, name: str) -> str:
        with self.reading():
            return str(self._file.attrs[name])

    def _json(self, text: str) -> Any:
        with self.reading():
            return json.loads(text)

    def _table(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = self._json(text)
        return found

    def _names(self, part: str) -> list[str]:
        """Names of the arrays of a group, without scales, which are coordinates."""
        with self.reading():
            return [name for name, item in self._file[part].items() if not item.is_scale]

    def _array(self, part: str, name: str, row: int | tuple[()] = ()) -> np.ndarray:
        """An array, or one row of it, as numpy. Raises AbsentError with the known names, StoreError for damage."""
        if name not in self._file[part]:
            known = self._names(part)
            raise AbsentError(f"no '{name}' in {part}{nearest(name, known) or ';'} there are {', '.join(known)}")
        with self.reading():
            found: np.ndarray = hdf5.value(self._file[part][name], row)
            return found

    @property
    def spec(self) -> dict[str, Any]:
        """The resolved spec."""
        return self._table(self._text("spec"))

    @property
    def spec_text(self) -> str:
        """The spec as written by the user."""
        return self._text("spec_text")

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine, time."""
        return self._table(self._text("provenance"))

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return str(self.spec["name"])

    @property
    def n_members(self) -> int:
        """Number of networks."""
        return len(self._file["members/seed"])

    @property
    def metrics(self) -> list[str]:
        """Names of the numbers that each network has."""
        names = [name for name in self._names("members") if not name.startswith(SWEPT)]
        return [name for name in names if self._file["members"][name].dtype.kind == "f"]

    def metric(self, name: str) -> np.ndarray:
        """One number per network, (member,). Raises AbsentError with the known names."""
        if name not in self._file["members"]:
            known = self.metrics
            raise AbsentError(f"no metric '{name}'{nearest(name, known) or ';'} there are {', '.join(known)}")
        return self._array("members", name)

    @property
    def status(self) -> list[str]:
        """Per network: done, or when and why it diverged."""
        return [str(status) for status in self._array("members", "status")]

    @cached_property
    def seeds(self) -> np.ndarray:
        """Seed of each network, (member,)."""
        return self._array("members", "seed")

    @cached_property
    def swept(self) -> dict[str, list[Any]]:
        """Dotted field -> its value for each network."""
        found = {}
        for name in self._names("members"):
            if name.startswith(SWEPT):
                values = self._array("members", name).tolist()
                coded = self._file["members"][name].attrs.get("json")
                found[name.removeprefix(SWEPT)] = [self._json(v) for v in values] if coded else values
        return found

    def member_spec(self, member: int) -> dict[str, Any]:
        """The resolved spec of one network."""
        return self._table(str(self._array("members", "spec", member)))

    @property
    def curves(self) -> list[str]:
        """Names of the curves. Raises AbsentError for a record without curves."""
        names = self._names("curves")
        if not names and not self.has_synapses:
            raise AbsentError(
                f"{self.path}: is a record, written without curves by `ebayes export --no-curves`; use the results "
                "file that the record was made of"
            )
        return names

    def curve(self, name: str) -> np.ndarray:
        """A curve over training, (member, epoch), initial value first; NaN after a network's training ended. Raises
        AbsentError.
        """
        _ = self.curves  # a record may have none, which is not a wrong name
        return self._array("curves", name)

    @property
    def layer_metrics(self) -> list[str]:
        """Names of the numbers that each layer has."""
        return self._names("layer_metrics")

    def layer_metric(self, name: str) -> np.ndarray:
        """One number per layer, (member, layer); NaN where a network has fewer layers. Raises AbsentError."""
        return self._array("layer_metrics", name)

    @cached_property
    def _networks(self) -> dict[int, tuple[str, int]]:
        """Network -> the group of its architecture, and its row in the arrays there."""
        with self.reading():
            groups = {name: group["layer_1/member"][()] for name, group in self._file["networks"].items()}
        return {int(m): (f"networks/{name}", row) for name, members in groups.items() for row, m in enumerate(members)}

    def network(self, member: int) -> tuple[str, int]:
        """The group in which a network's synapses are stored, and its row there. Raises AbsentError."""
        if not self.has_synapses:
            raise AbsentError(
                f"{self.path}: is a record, written without synapses by `ebayes export`; this needs the synapses: use "
                "the results file that the record was made of, or run its spec again (`ebayes report` shows the spec)"
            )
        if member not in self._networks:
            raise AbsentError(f"no network {member}; there are {self.n_members}, counted from 0")
        return self._networks[member]

    def n_layers(self, member: int) -> int:
        """Number of layers of weights of a network."""
        return len(self._file[self.network(member)[0]])

    def layer_names(self, member: int) -> list[str]:
        """Names of the arrays stored for each synapse."""
        return self._names(f"{self.network(member)[0]}/layer_1")

    def layer(self, member: int, layer: int, name: str) -> np.ndarray:
        """An array of one layer, counted from 1, shaped as its weights (post, pre + 1). Raises AbsentError."""
        group, row = self.network(member)
        if not 1 <= layer <= self.n_layers(member):
            raise AbsentError(f"no layer {layer}; network {member} has {self.n_layers(member)}, counted from 1")
        return self._array(f"{group}/layer_{layer}", name, row)

    def block(self, group: str, layer: int, name: str) -> np.ndarray:
        """An array of one layer for all networks of a group, (member, post, pre + 1)."""
        return self._array(f"{group}/layer_{layer}", name)

    def results(self) -> list[MemberResult]:
        """Status, numbers and curves of every network, without its synapses."""
        metrics = {name: self.metric(name).tolist() for name in self.metrics}
        curves = {name: self._array("curves", name) for name in self._names("curves")}
        layers = {name: self.layer_metric(name) for name in self.layer_metrics}
        return [
            MemberResult(
                status=status,
                metrics={name: values[i] for name, values in metrics.items()},
                curves={name: values[i] for name, values in curves.items()},
                layers=[],
                layer_metrics={name: values[i] for name, values in layers.items()},
            )
            for i, status in enumerate(self.status)
        ]

    def shapes(self) -> list[Shapes]:
        """Names, shapes and types of the arrays of every network's synapses, layer by layer."""
        with self.reading():
            found = {
                name: tuple(kept(self._file[f"{name}/layer_{i + 1}"]) for i in range(len(self._file[name])))
                for name in dict.fromkeys(name for name, _ in self._networks.values())
            }
        return [found[self.network(i)[0]] for i in range(self.n_members)]

    def member_table(self) -> list[dict[str, Any]]:
        """Swept fields, seed, status and numbers of every network as plain values; None if one does not apply."""
        columns = {**self.swept, "seed": self.seeds.tolist(), "status": self.status}
        for name in self.metrics:
            columns[name] = [v if math.isfinite(v) else None for v in self.metric(name).tolist()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def members(self) -> pd.DataFrame:
        """The networks as a table: swept fields, seed, status, and every number measured.

        One row per network, counted from 0. Numbers of a layer are named as in `balance.1`; a swept table stands as its
        kind, if that tells it from the others. `attrs["units"]` and
        `attrs["description"]` say what each column is.
        """
        numbers = {"seed": self.seeds, "status": self.status, **{name: self.metric(name) for name in self.metrics}}
        return frames.members(self.swept, numbers, {name: self.layer_metric(name) for name in self.layer_metrics})

    def synapses(self, member: int, layer: int | None = None) -> pd.DataFrame:
        """The synapses of a network, or of one layer: their means and sigmas (weight), curvatures, learning rates.

        One row per synapse, with its layer, counted from 1, and its place in the layer's weights: the unit `post` and
        the input `pre`, the last of which is the bias in built-in networks; `dim_0`, `dim_1`, ... where the weights are
        not a matrix. What is known of an input, as its mean square, stands in the row of each of its synapses.
        `attrs["units"]` and `attrs["description"]` say what each column is. Raises AbsentError.
        """
        layers = range(1, self.n_layers(member) + 1) if layer is None else [layer]
        arrays = {n: {name: self.layer(member, n, name) for name in self.layer_names(member)} for n in layers}
        return frames.synapses(arrays)

    def tree(self) -> xarray.DataTree:
        """The whole file as a tree of xarray: members, curves, layers, synapses, analyses; read when it is used.

        Every array has `units` and a `description` in its `attrs`. Raises StoreError for a file that is damaged.
        """
        import xarray

        with self.reading():
            return xarray.open_datatree(self.path, engine="h5netcdf", decode_times=False)

    @property
    def analyses(self) -> list[str]:
        """Names of the stored analyses."""
        return list(self._file["analyses"])

    def analysis(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a stored analysis. Raises AbsentError."""
        if name not in self.analyses:
            raise AbsentError(f"no analysis '{name}'; there are {', '.join(self.analyses)}")
        return {key: self._array(f"analyses/{name}", key) for key in self._names(f"analyses/{name}")}
