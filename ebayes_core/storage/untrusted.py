"""Files that cannot be trusted: what is rejected before anything is read, and how damage becomes a message."""

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
from ebayes_core.storage.uninterrupted import deferring_interrupts

#: what h5py raises for damaged files
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)
#: gzip compresses by a factor of at most 1032; a file that claims more was not written by it
MOST_COMPRESSED = 1100
#: deepest nesting of groups; ebayes uses three levels
DEEPEST = 16
#: largest number of texts in an attribute
TEXTS = 64
#: how an array stores its texts: as pointers into heaps
POINTER = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
#: attributes by which HDF5 itself links an array to its scales; only these may refer to other objects
POINTERS = ("DIMENSION_LIST", "REFERENCE_LIST")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Wrap every access to a file: an error there is due to the file, and the message names it.

    Raises StoreError for damage, InUse if the file is being written, and the OSError of a disk that fails.
    """
    try:
        with deferring_interrupts():
            yield
    except DAMAGE as error:
        with _named(path):
            why = damage(error)
        with contextlib.suppress(OSError), path.open("rb") as file:
            refuse_in_use(path, file)
        raise StoreError(
            f"{path}: cannot be read; it is not an HDF5 file of ebayes, or is damaged: {why}; "
            "restore it from a copy, or run its spec again"
        ) from error


def damage(error: BaseException) -> str:
    """Description of the damage. An error of the operating system, which has a number, is not damage: it is raised
    again.
    """
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
    """Open a file for reading; it is rejected, before any of its data is read, if it could reach outside itself.

    HDF5 reads through Python and therefore takes no lock, whatever the environment says: not every file system has
    locks. Raises StoreError, InUse, and OSError if the disk fails.
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
    """Open the file at `path`. Raises StoreError if there is none."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe could block forever
            raise StoreError(f"{path}: is a {'folder' if stat.S_ISDIR(mode) else 'device'}, not a results file")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path}: there is no such file") from None


class _Inspection:
    """Checks that a file contains data only: no links or storage outside the file, and no objects.

    Nothing may claim more memory than the file could fill: neither an array, nor a chunk of it, nor an attribute.
    """

    def __init__(self, path: Path, raw: BinaryIO, held: int) -> None:
        self.path, self.raw, self.held = path, raw, held
        self.seen: set[int] = set()

    def run(self, file: h5py.File) -> None:
        """Inspect every object once, without recursion, since an untrusted file may nest arbitrarily deep. Raises
        StoreError.
        """
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
            self._refuse(place, "is a link, which no ebayes file contains")
        if place.count("/") > DEEPEST:
            self._refuse(place, f"is nested more than {DEEPEST} levels deep, which no ebayes file is")
        return self._once(place, group[name])

    def _once(self, place: str, item: h5py.HLObject) -> h5py.HLObject:
        address = h5py.h5o.get_info(item.id).addr
        if address in self.seen:
            self._refuse(place, "is in the file twice, which occurs in no ebayes file")
        self.seen.add(address)
        return item

    def _data(self, place: str, item: h5py.Dataset | h5py.Datatype) -> None:
        if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or _is_object(item.dtype):
            self._refuse(place, "is stored outside the file or holds objects")
        stored = item.id.get_storage_size()
        # a chunk is decompressed completely, even if the array is only a corner of it
        size = item.size or 0
        claimed = size and max(size, math.prod(item.chunks or ())) * item.dtype.itemsize
        if stored > self.held or claimed > stored * (MOST_COMPRESSED if item.compression else 1):
            self._refuse(place, f"claims {max(claimed, stored)} bytes, more than the file holds")
        if size and (text := h5py.check_string_dtype(item.dtype)) and text.length is None:
            self._texts(place, item)

    def _texts(self, place: str, item: h5py.Dataset) -> None:
        """Check the lengths of texts: thousands may share one place in the file, and HDF5 allocates before it looks."""
        start = item.id.get_offset()
        if start is None or item.file.id.get_create_plist().get_sizes() != (8, 8):
            self._refuse(place, "stores its texts in chunks, which no ebayes file does")
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
    """Whether a type is that of a list of scales, or of the arrays that use one."""
    inner = dtype["dataset"] if dtype.names == ("dataset", "dimension") else h5py.check_vlen_dtype(dtype)
    return inner is not None and h5py.check_ref_dtype(inner) is h5py.Reference
