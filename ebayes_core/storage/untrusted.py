"""Files that cannot be trusted: what is refused before any of it is read, and how damage becomes a message."""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ebayes_core.errors import StoreError
from ebayes_core.storage.in_use import refuse_in_use
from ebayes_core.storage.text_heaps import refuse_endless_heaps
from ebayes_core.storage.uninterrupted import undisturbed

#: what h5py raises where bytes are not what they were
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)
#: gzip shrinks by 1032 at most: what claims more than this was never written by it
MOST_COMPRESSED = 1100
#: groups in groups; ours are three deep
DEEPEST = 16
#: texts that an attribute may have
TEXTS = 64
#: how an array has its texts: as pointers into heaps
POINTER = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
#: attributes by which HDF5 itself ties an array to its scales; they alone may point at other objects
POINTERS = ("DIMENSION_LIST", "REFERENCE_LIST")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around every access to a file: what goes wrong there is the file's fault, and the message names it.

    Raises StoreError for damage, InUse where the file is being written, and the OSError of a disk that refuses.
    """
    try:
        with undisturbed():
            yield
    except DAMAGE as error:
        with _named(path):
            why = damage(error)
        with contextlib.suppress(OSError), path.open("rb") as file:
            refuse_in_use(path, file)
        raise StoreError(
            f"{path}: cannot be read; it is no HDF5 file of ebayes, or is damaged: {why}; "
            "restore it from a copy, or run its spec again"
        ) from error


def damage(error: BaseException) -> str:
    """What is damaged, in words. An error of the system, which has a number, says nothing of the file: raises it."""
    if isinstance(error, OSError) and error.errno:
        raise error
    return str(error)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to read, refused before anything of it is read if it could reach outside itself.

    HDF5 reads it through Python, and so asks for no lock, whatever the environment says: not every file system has
    them. Raises StoreError, InUse, and OSError where the disk refuses.
    """
    with contextlib.ExitStack() as held:
        with reading(path):
            raw = held.enter_context(_file(path))
            refuse_in_use(path, raw)
            refuse_endless_heaps(raw)
            file = held.enter_context(h5py.File(raw, "r"))
            _Inspection(path, raw, file.id.get_filesize()).run(file)
        yield file


def _file(path: Path) -> BinaryIO:
    """The file behind a name. Raises StoreError where there is none."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to open a pipe could take forever
            raise StoreError(f"{path}: is a {'folder' if stat.S_ISDIR(mode) else 'device'}, and no results file")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path}: there is no such file") from None


class _Inspection:
    """No links out of the file, no storage outside it, no objects: a stranger's file is data and nothing else.

    Nothing claims more memory than the file could fill: neither an array, a chunk of it, nor an attribute.
    """

    def __init__(self, path: Path, raw: BinaryIO, held: int) -> None:
        self.path, self.raw, self.held = path, raw, held
        self.seen: set[int] = set()

    def run(self, file: h5py.File) -> None:
        """Every object once, without recursion: a stranger nests as deep as he likes. Raises StoreError."""
        waiting = [("", self._once("/", file))]
        while waiting:
            place, item = waiting.pop()
            self._attributes(place or "/", item)
            if isinstance(item, h5py.Group):
                waiting += [(f"{place}/{name}", self._linked(f"{place}/{name}", item, name)) for name in item]
            else:
                self._data(place, item)

    def _refuse(self, place: str, why: str) -> None:
        raise StoreError(f"{self.path}: {place} {why}; it is not read")

    def _linked(self, place: str, group: h5py.Group, name: str) -> h5py.HLObject:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            self._refuse(place, "is a link, as no ebayes file has")
        if place.count("/") > DEEPEST:
            self._refuse(place, f"is nested more than {DEEPEST} deep, as in no ebayes file")
        return self._once(place, group[name])

    def _once(self, place: str, item: h5py.HLObject) -> h5py.HLObject:
        address = h5py.h5o.get_info(item.id).addr
        if address in self.seen:
            self._refuse(place, "stands in the file twice, as in no ebayes file")
        self.seen.add(address)
        return item

    def _data(self, place: str, item: h5py.Dataset | h5py.Datatype) -> None:
        if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or _is_object(item.dtype):
            self._refuse(place, "is stored outside the file or holds objects")
        stored = item.id.get_storage_size()
        # a chunk is unpacked whole, also where the array is a corner of it
        size = item.size or 0
        claimed = size and max(size, math.prod(item.chunks or ())) * item.dtype.itemsize
        if stored > self.held or claimed > stored * (MOST_COMPRESSED if item.compression else 1):
            self._refuse(place, f"claims {max(claimed, stored)} bytes, more than the file holds")
        if size and (text := h5py.check_string_dtype(item.dtype)) and text.length is None:
            self._texts(place, item)

    def _texts(self, place: str, item: h5py.Dataset) -> None:
        """Thousands can be one and the same in the file, and HDF5 makes room for a text before it looks for it."""
        start = item.id.get_offset()
        if start is None or item.file.id.get_create_plist().get_sizes() != (8, 8):
            self._refuse(place, "has its texts in pieces, as in no ebayes file")
        self.raw.seek(start)
        longest = np.frombuffer(self.raw.read(item.size * POINTER.itemsize), POINTER)["length"]
        if longest.sum(dtype=np.uint64) > self.held:
            self._refuse(place, "claims longer texts than the file holds")

    def _attributes(self, place: str, item: h5py.HLObject) -> None:
        for name in item.attrs:
            attribute = item.attrs.get_id(name)
            if _is_object(attribute.dtype) and not (name in POINTERS and _points(attribute.dtype)):
                self._refuse(f"{place}, attribute {name},", "holds objects")
            few = math.prod(attribute.shape) <= TEXTS or not h5py.check_string_dtype(attribute.dtype)
            if attribute.get_storage_size() > self.held or not few:
                self._refuse(f"{place}, attribute {name},", "claims more than the file holds")


def _is_object(dtype: h5py.Datatype) -> bool:
    return dtype.hasobject and not h5py.check_string_dtype(dtype)


def _points(dtype: h5py.Datatype) -> bool:
    """Whether a type is that of a list of scales, or of their users."""
    inner = dtype["dataset"] if dtype.names == ("dataset", "dimension") else h5py.check_vlen_dtype(dtype)
    return inner is not None and h5py.check_ref_dtype(inner) is h5py.Reference
