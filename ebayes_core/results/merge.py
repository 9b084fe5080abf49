"""Merge the files of finished items into one results file, with the networks of only one item in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from ebayes_core.results import schema
from ebayes_core.results.abridged import uniform
from ebayes_core.results.provenance import merged
from ebayes_core.results.reader import ONE_SIGMA, Run
from ebayes_core.results.record import Setting
from ebayes_core.results.schema import Shapes
from ebayes_core.results.writer import head
from ebayes_core.storage import hdf5, seal

T = TypeVar("T")

#: fields of the provenance that may differ between items, kept for each
KEPT = (
    "created", "duration_s", "ebayes_version", "torch_version", "device", "host", "threads", "git_commit", "compiled",
    "data",
)  # fmt: skip
#: fields that the gathered file takes from the first item
OF_THE_FIRST = ("device", "processor", "threads")


@dataclass(frozen=True)
class Source:
    """Where a finished network is stored: a file, and its row along the `member` axis."""

    path: Path
    row: int


def sources(paths: Iterable[Path]) -> dict[str, Source]:
    """Digest of a network -> where it is stored; the first file, since any other has the same content."""
    found: dict[str, Source] = {}
    for path in paths:
        with Run(path) as run:
            for row in range(run.n_members):
                found.setdefault(Setting(run.member_spec(row), {}).digest, Source(path, row))
    return found


def gather(
    path: Path, spec: dict[str, Any], settings: Sequence[Setting], found: dict[str, Source], record: dict[str, Any],
    spec_text: str,
) -> None:  # fmt: skip
    """Write networks, in the order of their settings, as one results file, or as a record if one of the sources is one.

    found: where each network is stored; record: the provenance of the gathering process, to which that of the items is
    added. Raises StoreError if a source is damaged.
    """
    places = [found[setting.digest] for setting in settings]
    results = _each(places, Run.results)
    with hdf5.writing(path) as file:
        head(file, spec, settings, results, _provenance(record, _origins(places)), spec_text)
        if all(_each(places, lambda run: [run.has_synapses] * run.n_members)):
            _fill(file, places)
        else:
            file["networks"].attrs[ONE_SIGMA] = _each(places, uniform)
        file.raise_refused()
        seal.seal(file)


def _fill(file: Any, places: Sequence[Source]) -> None:
    """Write the synapses."""
    kinds: dict[Shapes, list[int]] = {}
    for i, shape in enumerate(_each(places, Run.shapes)):
        kinds.setdefault(shape, []).append(i)
    where = {i: (k, row) for k, members in enumerate(kinds.values()) for row, i in enumerate(members)}
    room = schema.networks(file["networks"], list(kinds.items()))
    for source, members in _by_file(places):
        _copy(source, [(places[i].row, *where[i]) for i in members], room)
        file.raise_refused()


def _by_file(places: Sequence[Source]) -> Iterator[tuple[Path, list[int]]]:
    """Indices of the networks that each file provides."""
    files: dict[Path, list[int]] = {}
    for i, place in enumerate(places):
        files.setdefault(place.path, []).append(i)
    yield from files.items()


def _each(places: Sequence[Source], of: Callable[[Run], list[T]]) -> list[T]:
    """What a file has for each of its networks, of the networks in their order."""
    found: dict[int, T] = {}
    for path, members in _by_file(places):
        with Run(path) as run:
            values = of(run)
            found |= {i: values[places[i].row] for i in members}
    return [found[i] for i in range(len(places))]


def _origins(places: Sequence[Source]) -> list[dict[str, Any]]:
    """The provenance of each file."""
    origins = []
    for path, members in _by_file(places):
        with Run(path) as run:
            origins.append({"networks": len(members)} | run.provenance)
    return origins


def _provenance(record: dict[str, Any], origins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """That of the gathering process, with the earliest start and the total seconds; and where each item was trained."""
    kept = [{name: origin.get(name) for name in ("networks", *KEPT)} for origin in origins]
    first, seconds = min(o["created"] for o in origins), sum(o["duration_s"] for o in origins)
    own = {"created": first, "duration_s": seconds} | {name: origins[0].get(name) for name in OF_THE_FIRST}
    return record | own | merged(origins) | {"items": kept}


def _copy(path: Path, rows: Sequence[tuple[int, int, int]], room: Sequence[Sequence[dict[str, h5py.Dataset]]]) -> None:
    """Copy the synapses of one file's networks, (row there, architecture, row here) each; one array in memory at a
    time.
    """
    with Run(path) as run:
        blocks: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for member, kind, here in rows:
            group, there = run.network(member)
            blocks.setdefault((group, kind), []).append((there, here))
        for (group, kind), pairs in blocks.items():
            for layer, arrays in enumerate(room[kind], start=1):
                for name, item in arrays.items():
                    _write(item, run.block(group, layer, name), pairs)


def _write(item: h5py.Dataset, block: np.ndarray, pairs: Sequence[tuple[int, int]]) -> None:
    """Copy rows that are consecutive on both sides in one write."""
    start = 0
    for stop in range(1, len(pairs) + 1):
        if stop == len(pairs) or pairs[stop] != (pairs[stop - 1][0] + 1, pairs[stop - 1][1] + 1):
            (there, here), size = pairs[start], stop - start
            item[here : here + size] = block[there : there + size]
            start = stop
