"""HDF5 files that appear whole or not at all, and trees of arrays in them.

Written in place, a file is unreadable after a crash at any moment; written beside, flushed, fsynced and renamed, at
none.
"""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ebayes_core.errors import EbayesError

Tree = dict[str, Any]
SUFFIX = ".unfinished"
#: bytes from which an array is worth compressing; smaller ones would only grow
WORTH_COMPRESSING = 4096
#: bytes of a chunk, at least and at most
CHUNK = (1 << 16, 1 << 24)
#: HDF5's format of 2016: its metadata carry checksums, which the earliest does not
FORMAT = ("v110", "v110")
#: gzip shrinks by 1032 at most: what claims more than this was never written by it
MOST_COMPRESSED = 1100


class StoreError(EbayesError):
    """A file that cannot be read as what it should be."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` if the block ends well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_up(path)
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.{os.getpid()}.", suffix=SUFFIX, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        os.chmod(beside, 0o666 & ~_umask())
        yield beside
        _sync(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sweep_up(path: Path) -> None:
    """Remove what processes that died while writing `path` have left."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{SUFFIX}"):
        pid = left.name.removeprefix(f"{path.name}.").split(".")[0]
        if pid.isdigit() and not _lives(int(pid)):
            left.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, and alive
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """A text file that appears whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """A new file at `path`, filled by `fill`."""
    with replacing(path) as beside, h5py.File(beside, "w", libver=FORMAT) as file:
        fill(file)
        file.flush()


def save(path: Path, tree: Tree, attrs: dict[str, Any] | None = None) -> None:
    """Write a nested dict of arrays, scalars and strings."""

    def fill(file: h5py.File) -> None:
        file.attrs.update(attrs or {})
        put(file, tree)

    write(path, fill)


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
    """A dataset, or one row of it, as numpy; text as str."""
    if h5py.check_string_dtype(item.dtype):
        text = item.asstr()[row]
        return text if isinstance(text, str) else np.asarray(text, dtype=str)
    return item[row]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to read, refused before anything of it is read if it could reach outside itself. Raises StoreError."""
    if not Path(path).is_file():
        raise StoreError(f"{path}: there is no such file")
    with reading(path):
        file = h5py.File(path, "r")
    with file:
        with reading(path):
            _refuse_strange_parts(file, path, set())
        yield file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around every access to a file: what goes wrong is the file's fault, and the message names it."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read; it is no HDF5 file of ebayes, or is damaged: {error}; "
            "restore it from a copy, or run its spec again"
        ) from error


def _refuse_strange_parts(group: h5py.Group, path: Path, seen: set[int]) -> None:
    """No links out of the file, no storage outside it, no objects: a stranger's file is data and nothing else."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise StoreError(f"{path}: {group.name}/{name} is a link, which no ebayes file has; it is not followed")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise StoreError(f"{path}: {item.name} stands in the file twice, as in no ebayes file; it is not read")
        seen.add(address)
        if isinstance(item, h5py.Group):
            _refuse_strange_parts(item, path, seen)
        else:
            _refuse_strange_data(item, path)


def _refuse_strange_data(item: h5py.Dataset | h5py.Datatype, path: Path) -> None:
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or _is_object(item):
        raise StoreError(f"{path}: {item.name} is stored outside the file or holds objects; it is not read")
    if item.nbytes > item.id.get_storage_size() * (MOST_COMPRESSED if item.compression else 1):
        raise StoreError(f"{path}: {item.name} claims {item.nbytes} bytes, more than the file holds; it is not read")


def _is_object(item: h5py.Dataset) -> bool:
    return item.dtype.hasobject and not h5py.check_string_dtype(item.dtype)
