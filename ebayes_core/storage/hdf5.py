"""HDF5 files that appear whole or not at all, and trees of arrays in them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ebayes_core.errors import StoreError
from ebayes_core.storage import atomic
from ebayes_core.storage.tolerant import Lenient
from ebayes_core.storage.uninterrupted import undisturbed
from ebayes_core.storage.untrusted import opened, reading

Tree = dict[str, Any]
#: bytes from which an array is worth compressing; smaller ones would only grow
WORTH_COMPRESSING = 4096
#: bytes of a chunk, at least and at most
CHUNK = (1 << 16, 1 << 24)
#: HDF5's format of 2016: its metadata carry checksums, which the earliest does not
FORMAT = ("v110", "v110")


class File(h5py.File):  # type: ignore[misc]  # h5py brings no types
    """A file to write to, for which the disk's refusals are kept until somebody asks."""

    def __init__(self, lenient: Lenient, mode: str) -> None:
        super().__init__(lenient, mode, libver=FORMAT)
        self._disk = lenient

    def insist(self) -> None:
        """Raise the OSError, if the disk has refused anything: between parts of a large file, so that it ends there."""
        if self._disk.refused:
            raise self._disk.refused


@contextlib.contextmanager
def writing(path: Path, original: Path | None = None) -> Iterator[File]:
    """A file that takes the place of `path` if the block ends well; empty, or a copy of `original` to change.

    Raises OSError naming `path` where the disk refuses.
    """
    with atomic.replacing(path) as beside:
        if original:
            shutil.copyfile(original, beside)
        mode = "r+" if original else "w"
        with undisturbed(), Lenient(beside, "r+b" if original else "w+b") as lenient, File(lenient, mode) as file:
            yield file
        if lenient.refused:
            raise lenient.refused


def save(path: Path, tree: Tree, attrs: dict[str, Any] | None = None) -> None:
    """Write a nested dict of arrays, scalars and strings."""
    with writing(path) as file:
        file.attrs.update(attrs or {})
        put(file, tree)


def put(group: h5py.Group, tree: Tree) -> None:
    """Write a tree into an open group."""
    for name, value in tree.items():
        if isinstance(value, dict):
            put(group.create_group(_plain(name)), value)
        else:
            dataset(group, name, value)


def dataset(group: h5py.Group, name: str, value: Any) -> h5py.Dataset:
    """One array with a checksum; strings as UTF-8. A scalar has no checksum, as HDF5 has none for them."""
    array, name = np.asarray(value), _plain(name)
    if array.dtype.kind in "UO":
        array = np.array(array, dtype=h5py.string_dtype())
        return group.create_dataset(name, data=array)
    options: dict[str, Any] = {"fletcher32": True} if array.size else {}
    return group.create_dataset(name, data=array, **(options if array.ndim else {}))


def rows(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    """Room for an array that is filled row by row, with a checksum for each chunk of one or a few rows.

    Compressed where that is worth it: gzip takes a third off the arrays of a trained network.
    """
    row = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    options: dict[str, Any] = {"fletcher32": True, "chunks": _chunk(shape, row)} if row and shape[0] else {}
    if options and shape[0] * row >= WORTH_COMPRESSING:
        options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    return group.create_dataset(_plain(name), shape, dtype, **options)


def _chunk(shape: tuple[int, ...], row: int) -> tuple[int, ...]:
    """Rows enough for a chunk to be worth its overhead, or a part of one row where that is large."""
    if row <= CHUNK[1]:
        return (min(shape[0], max(1, CHUNK[0] // row)), *shape[1:])
    return (1, max(1, shape[1] * CHUNK[1] // row), *shape[2:])


def _plain(name: str) -> str:
    """The name, if it is one: to HDF5 a slash is a path, and a dot alone the group itself."""
    if "/" in name or name in ("", "."):
        raise StoreError(f"'{name}' names no array: a name has no '/' and is not empty")
    return name


def load(path: Path) -> tuple[Tree, dict[str, Any]]:
    """The tree and the attributes that `save` was given. Raises StoreError."""
    with opened(path) as file, reading(path):
        return _take(file), dict(file.attrs)


def _take(group: h5py.Group) -> Tree:
    return {name: _take(item) if isinstance(item, h5py.Group) else value(item) for name, item in group.items()}


def value(item: h5py.Dataset, row: Any = ()) -> Any:
    """A dataset, or one row of it, as numpy; text as str, or an array of them."""
    return item.asstr()[row] if h5py.check_string_dtype(item.dtype) else item[row]
