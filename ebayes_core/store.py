"""HDF5 files that appear whole or not at all, and trees of arrays in them.

Written in place, a file is unreadable after a crash at any moment; written beside, flushed, fsynced and renamed, at none.
"""

from __future__ import annotations

import contextlib
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
#: arrays from this size on are compressed; smaller ones would only grow
WORTH_COMPRESSING = 4096


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
    for left in path.parent.glob(f"{path.name}.*{SUFFIX}"):
        pid = left.name.removeprefix(f"{path.name}.").split(".")[0]
        if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            left.unlink(missing_ok=True)


def write(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """A new file at `path`, filled by `fill`."""
    with replacing(path) as beside, h5py.File(beside, "w") as file:
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
            put(group.create_group(name), value)
        else:
            dataset(group, name, value)


def dataset(group: h5py.Group, name: str, value: Any) -> h5py.Dataset:
    """One array with a checksum; strings as UTF-8. A scalar has no checksum, as HDF5 has none for them."""
    array = np.asarray(value)
    if array.dtype.kind in "UO":
        array = np.array(array, dtype=h5py.string_dtype())
        return group.create_dataset(name, data=array)
    options: dict[str, Any] = {"fletcher32": True} if array.size else {}
    if array.nbytes >= WORTH_COMPRESSING and array.dtype.kind == "f":
        options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    return group.create_dataset(name, data=array, **(options if array.ndim else {}))


def load(path: Path) -> tuple[Tree, dict[str, Any]]:
    """The tree and the attributes that `save` was given. Raises StoreError."""
    with opened(path) as file:
        return _take(file), dict(file.attrs)


def _take(group: h5py.Group) -> Tree:
    return {name: _take(item) if isinstance(item, h5py.Group) else value(item) for name, item in group.items()}


def value(item: h5py.Dataset) -> Any:
    """A dataset as numpy, text as str."""
    if h5py.check_string_dtype(item.dtype):
        text = item.asstr()[()]
        return text if isinstance(text, str) else np.asarray(text, dtype=str)
    return item[()]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to read, refused before anything of it is read if it could reach outside itself. Raises StoreError."""
    if not Path(path).is_file():
        raise StoreError(f"{path}: there is no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise StoreError(f"{path}: is no HDF5 file, or is broken off: {error}; restore it from a copy, or run again") from error
    with file:
        _refuse_strange_parts(file, path)
        try:
            yield file
        except (OSError, KeyError, RuntimeError) as error:
            raise StoreError(f"{path}: cannot be read: {error}; restore it from a copy, or run again") from error


def _refuse_strange_parts(group: h5py.Group, path: Path) -> None:
    """No links out of the file, no storage outside it, no objects: a stranger's file is data and nothing else."""
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise StoreError(f"{path}: {group.name}/{name} is a link, which no ebayes file has; it is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            _refuse_strange_parts(item, path)
        elif item.external or item.is_virtual or _is_object(item):
            raise StoreError(f"{path}: {item.name} is stored outside the file or holds objects; it is not read")


def _is_object(item: h5py.Dataset) -> bool:
    return item.dtype.kind == "O" and not h5py.check_string_dtype(item.dtype)


SCALES = ("member", "epoch", "layer", "pre", "post")
