"""Inputs and targets in files of one's own: CSV, npz, npy and HDF5, without ever running what a file contains."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ebayes_core.errors import DataError, nearest
from ebayes_plugins.datasets.tables import Table, Unfit, table

Pair = tuple[np.ndarray, np.ndarray]


class Wanted(NamedTuple):
    """What to make of files: the names of arrays or columns, what targets are, how to standardise and to split."""

    inputs: str | None
    targets: str | None
    likelihood: str
    standardise: str
    test_fraction: float
    split_seed: int
    classes: int | None = None


def read(path: Path, wanted: Wanted) -> Pair:
    """Inputs and targets as they are in a file. Raises DataError naming the file, and the line or the array."""
    try:
        return FORMATS[path.suffix.lower()](path, wanted)
    except Unfit as error:
        raise DataError(f"{path}: {error}") from error


def columns(path: Path, wanted: Wanted) -> tuple[str, ...]:
    """Names of the inputs: the columns of a CSV file, or the array `columns` of an npz file; empty if they have none.

    Raises DataError naming the file.
    """
    try:
        if path.suffix.lower() == ".csv":
            found = table(path.read_bytes())
            return tuple(found.names[i] for i in _chosen(found, wanted)[0])
        arrays = _opened(path) if path.suffix.lower() == ".npz" else {}
        return tuple(map(str, arrays["columns"])) if "columns" in arrays else ()
    except Unfit as error:
        raise DataError(f"{path}: {error}") from error


def _chosen(found: Table, wanted: Wanted) -> tuple[list[int], list[int]]:
    """The numbers of the columns of the inputs, and of those of the targets."""
    names = _split(wanted.targets) or found.names[-1:]
    return found.columns(_split(wanted.inputs) or [n for n in found.names if n not in names]), found.columns(names)


def _csv(path: Path, wanted: Wanted) -> Pair:
    found = table(path.read_bytes())
    inputs, targets = _chosen(found, wanted)
    if not inputs or set(inputs) & set(targets):
        raise Unfit("a column is an input or a target, and there must be one of each")
    guessed = wanted.likelihood == "auto" and len(targets) == 1 and not found.continuous(targets[0])
    classes = wanted.likelihood == "classification" or guessed
    if classes and len(targets) > 1:
        raise Unfit("a classification has one column of labels; name it in targets")
    return found.numbers(inputs), found.labels(targets[0]) if classes else found.numbers(targets)


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in names.split(",")] if names else []


def _npz(path: Path, wanted: Wanted) -> Pair:
    with _opened(path) as found:
        if isinstance(found, np.ndarray):
            raise Unfit("it holds a single array: give it the ending .npy")
        return _by_name(dict.fromkeys(found.files), found.__getitem__, wanted)


def _npy(path: Path, wanted: Wanted) -> Pair:
    if wanted.inputs or wanted.targets:
        raise Unfit("columns of an npy file have no names: leave out inputs and targets; the last is the target")
    found = _opened(path)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.shape[1] < 2:
        raise Unfit("an npy file has to hold one array (examples, inputs + 1), whose last column is the target")
    y = found[:, -1]
    classes = wanted.likelihood == "classification" or (wanted.likelihood == "auto" and _whole(y))
    return found[:, :-1], y.astype(np.int64) if classes and _whole(y) else y


def _opened(path: Path) -> Any:
    """What numpy reads; pickled objects, which could run code, are refused."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise Unfit(f"numpy cannot read it: {error}") from error


def _hdf5(path: Path, wanted: Wanted) -> Pair:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            return _by_name(names, lambda name: _stored(file[name]), wanted)
    except (OSError, RuntimeError) as error:
        raise Unfit(f"it cannot be read as HDF5: {error}") from error


def _stored(item: Any) -> np.ndarray:
    return np.asarray(item.asstr()[()] if item.dtype.kind == "O" else item[()])


def _by_name(names: Iterable[str], get: Callable[[str], np.ndarray], wanted: Wanted) -> Pair:
    """The two arrays; `x` and `y` unless the spec names others."""
    known, pair = list(names), []
    for field, name in (("inputs", wanted.inputs or "x"), ("targets", wanted.targets or "y")):
        if name not in known:
            raise Unfit(
                f"there is no array '{name}'{nearest(name, known) or ';'} arrays are {', '.join(known) or 'none'}; set "
                f"{field} to one of them"
            )
        try:
            pair.append(get(name))
        except (ValueError, TypeError, zipfile.BadZipFile, KeyError) as error:
            raise Unfit(f"the array '{name}' cannot be read: {error}") from error
    return pair[0], pair[1]


def _whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


FORMATS: Mapping[str, Callable[[Path, Wanted], Pair]] = {
    ".csv": _csv, ".npz": _npz, ".npy": _npy, ".h5": _hdf5, ".hdf5": _hdf5,
}  # fmt: skip
