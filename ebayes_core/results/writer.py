"""Writing a results file: atomically, and with a seal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ebayes_core.results import schema
from ebayes_core.results.handle import SCHEMA_VERSION
from ebayes_core.results.reader import Run
from ebayes_core.results.record import MemberResult, Setting
from ebayes_core.storage import hdf5, seal

#: fields of the provenance that are also stored as attributes of their own
FLAT = ("created", "duration_s", "device", "ebayes_version", "torch_version", "digest", "git_commit")


def write_run(
    path: Path,
    spec: dict[str, Any],
    settings: Sequence[Setting],
    results: Sequence[MemberResult],
    provenance: dict[str, Any],
    *,
    spec_text: str,
) -> None:
    """Write a finished run atomically: the resolved spec, and in spec_text the spec as written by the user."""
    with hdf5.writing(path) as file:
        head(file, spec, settings, results, provenance, spec_text)
        _fill_networks(file["networks"], results)
        file.raise_refused()
        seal.seal(file)


def head(
    file: h5py.File, spec: dict[str, Any], settings: Sequence[Setting], results: Sequence[MemberResult],
    provenance: dict[str, Any], spec_text: str,
) -> None:  # fmt: skip
    """Write everything in a results file except the synapses, for which an empty group is created."""
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["spec_text"] = spec_text
    file.attrs["spec"] = json.dumps(spec)
    file.attrs["provenance"] = json.dumps(provenance)
    file.attrs.update({name: provenance[name] for name in FLAT if provenance.get(name) is not None})
    schema.members(file.create_group("members"), settings, results)
    schema.padded(file.create_group("curves"), [r.curves for r in results], "epoch", 0)
    schema.padded(file.create_group("layer_metrics"), [r.layer_metrics for r in results], "layer", 1)
    for name in ("networks", "analyses"):
        file.create_group(name)


def _fill_networks(group: h5py.Group, results: Sequence[MemberResult]) -> None:
    kinds: dict[schema.Shapes, list[int]] = {}
    for i, result in enumerate(results):
        kinds.setdefault(schema.shapes(result.layers), []).append(i)
    for members, layers in zip(kinds.values(), schema.networks(group, list(kinds.items())), strict=True):
        for row, i in enumerate(members):
            for room, arrays in zip(layers, results[i].layers, strict=True):
                for name, array in arrays.items():
                    room[name][row] = array


def add_analyses(path: Path, analyses: dict[str, dict[str, np.ndarray]]) -> None:
    """Add or replace analyses of a finished file, in a copy that then replaces it. Raises StoreError."""
    with Run(path) as run:  # checks that it is a results file
        sealed = run.schema > 1
    with hdf5.writing(path, original=path) as file:
        for name, arrays in analyses.items():
            if name in file["analyses"]:
                del file["analyses"][name]
            schema.analysis(file["analyses"].create_group(name), arrays)
        if sealed:
            seal.seal(file, "/analyses")
