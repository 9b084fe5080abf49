"""HDF5 files that are written atomically, and trees of arrays in them."""

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
from ebayes_core.storage.uninterrupted import deferring_interrupts
from ebayes_core.storage.untrusted import opened, reading

Tree = dict[str, Any]
#: size in bytes from which an array is compressed; smaller ones would only grow
WORTH_COMPRESSING = 4096
PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
#: smallest and largest size of a chunk, in bytes
CHUNK = (1 << 16, 1 << 24)
#: HDF5's format of 2016, whose metadata have checksums; those of the oldest format have none
FORMAT = ("v110", "v110")


class File(h5py.File):  # type: ignore[misc]  # h5py brings no types
    """A file to write to, which keeps an error of the disk until `raise_refused` raises it."""

    def __init__(self, lenient: Lenient, mode: str) -> None:
        super().__init__(lenient, mode, libver=FORMAT)
        self._disk = lenient

    def raise_refused(self) -> None:
        """Raise the OSError of a failed write, if there was one; called between parts of a file, to stop early."""
        if self._disk.refused:
            raise self._disk.refused


@contextlib.contextmanager
def writing(path: Path, original: Path | None = None) -> Iterator[File]:
    """A file that replaces `path` if the block succeeds: empty, or a copy of `original` to change.

    Raises OSError naming `path` if the disk rejects a write.
    """
    with atomic.replacing(path) as beside:
        if original:
            shutil.copyfile(original, beside)
        mode = "r+" if original else "w"
        with (
            deferring_interrupts(),
            Lenient(beside, "r+b" if original else "w+b") as lenient,
            File(lenient, mode) as file,
        ):
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


def dataset(group: h5py.Group, name: str, value: Any, packed: bool = False) -> h5py.Dataset:
    """Write one array with a checksum; strings as UTF-8. Scalars have no checksum, since HDF5 provides none.

    packed: compress it if it is large.
    """
    array, name = np.asarray(value), _plain(name)
    if array.dtype.kind in "UO":
        array = np.array(array, dtype=h5py.string_dtype())
        return group.create_dataset(name, data=array)
    options: dict[str, Any] = {"fletcher32": True} if array.size else {}
    options |= PACKED if packed and array.nbytes >= WORTH_COMPRESSING else {}
    return group.create_dataset(name, data=array, **(options if array.ndim else {}))


def rows(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    """An empty array to be filled row by row, with a checksum for each chunk of one or a few rows.

    Large arrays are compressed: gzip saves a third of the arrays of a trained network.
    """
    row = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    options: dict[str, Any] = {"fletcher32": True, "chunks": _chunk(shape, row)} if row and shape[0] else {}
    if options and shape[0] * row >= WORTH_COMPRESSING:
        options |= PACKED
    return group.create_dataset(_plain(name), shape, dtype, **options)


def _chunk(shape: tuple[int, ...], row: int) -> tuple[int, ...]:
    """As many rows as make a chunk worth its overhead, or part of one row if a row is large."""
    if row <= CHUNK[1]:
        return (min(shape[0], max(1, CHUNK[0] // row)), *shape[1:])
    return (1, max(1, shape[1] * CHUNK[1] // row), *shape[2:])


def _plain(name: str) -> str:
    """The name, if valid: in HDF5 a slash separates a path, and a single dot is the group itself."""
    if "/" in name or name in ("", "."):
        raise StoreError(f"'{name}' is not a valid name of an array: it must not be empty, '.' or contain '/'")
    return name


def load(path: Path) -> tuple[Tree, dict[str, Any]]:
    """The tree and the attributes that `save` wrote. Raises StoreError."""
    with opened(path) as file, reading(path):
        return _take(file), dict(file.attrs)


def _take(group: h5py.Group) -> Tree:
    return {name: _take(item) if isinstance(item, h5py.Group) else value(item) for name, item in group.items()}


def value(item: h5py.Dataset, row: Any = ()) -> Any:
    """A dataset, or one row of it, as a numpy array; text as str or as an array of str."""
    return item.asstr()[row] if h5py.check_string_dtype(item.dtype) else item[row]
