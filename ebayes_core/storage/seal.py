"""The seal: digests of everything in a file, stored in it, to detect changes that HDF5's own checksums do not cover.

Those cover arrays, chunk by chunk, but neither scalars nor text nor attributes; without a seal, one in four flipped
bits went unnoticed. The seal has one digest for each group and array, so that it tells which is damaged, and one of
itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from ebayes_core.storage.untrusted import DAMAGE, POINTERS, damage

SEAL = "seal"
SLAB = 1 << 24  #: bytes that are hashed at a time


def seal(file: h5py.File, under: str = "/") -> None:
    """Write the digests of everything under a group; other digests are kept, so that older damage is still found."""
    known = _known(file) if under != "/" else {}
    kept = {name: value for name, value in known.items() if not _within(name, under)}
    found = {name: digest(item) for name, item in _items(file[under])}
    if SEAL in file.attrs:
        del file.attrs[SEAL]  # deleted first, so that its space is reused; that of variable-length text would not be
    file.attrs[SEAL] = np.bytes_(json.dumps({"digests": kept | found, "own": _own(kept | found)}))


def broken(file: h5py.File) -> list[str]:
    """What differs from the seal, by name; empty if nothing does. Exceptions of HDF5 pass through."""
    try:
        known = _known(file)
    except (KeyError, ValueError, TypeError) as error:
        return [f"the seal cannot be read: {error}"]
    if json.loads(file.attrs[SEAL])["own"] != _own(known):
        return ["the seal itself is damaged"]
    found: dict[str, str] = {}
    problems = _unvisited(file)
    for name, item in _items(file):
        try:
            found[name] = digest(item)
        except DAMAGE as error:
            problems.append(f"{name} cannot be read: {damage(error)}")
            found[name] = ""
    problems += [f"{name} is not what was written" for name in found if found[name] and found[name] != known.get(name)]
    return problems + [f"{name} is missing" for name in known if name not in found]


def unreadable(file: h5py.File) -> list[str]:
    """What cannot be read in a file without a seal, for which only HDF5's checksums of the arrays exist."""
    problems = _unvisited(file)
    for name, item in _items(file):
        try:
            digest(item)
        except DAMAGE as error:
            problems.append(f"{name} cannot be read: {damage(error)}")
    return problems


def _unvisited(file: h5py.File) -> list[str]:
    """Problems found by HDF5's own traversal, which reads and checks metadata that access by name does not."""
    try:
        file.visit(lambda name: None)
    except DAMAGE as error:
        return [f"the names in it cannot be read: {damage(error)}"]
    return []


def _known(file: h5py.File) -> dict[str, str]:
    return dict(json.loads(file.attrs[SEAL])["digests"])


def _own(digests: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _within(name: str, under: str) -> bool:
    return under in ("/", name) or name.startswith(f"{under}/")


def _items(group: h5py.Group) -> Iterator[tuple[str, h5py.HLObject]]:
    """Every group and array by its full name, starting with the root."""
    yield group.name, group
    for name in sorted(group):
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _items(item)
        else:
            yield item.name, item


def digest(item: h5py.HLObject) -> str:
    """SHA-256 of an array's type, shape, content, scales and attributes, or of a group's names and attributes."""
    found = hashlib.sha256()
    for name in sorted(set(item.attrs) - {SEAL, *POINTERS}):  # pointers are addresses: a copy has others
        _add(found, name, item.attrs[name])
    if isinstance(item, h5py.Group):
        _add(found, "names", json.dumps(sorted(item)))
        return found.hexdigest()
    scales = [[scale.name for scale in dimension.values()] for dimension in item.dims]
    _add(found, "form", json.dumps([item.dtype.str, item.shape, scales]))
    for part in _slabs(item):  # the digest must not depend on how the content is divided
        found.update(_content(np.asarray(part)))
    return found.hexdigest()


def _slabs(item: h5py.Dataset) -> Iterator[Any]:
    """The content in C order, in parts."""
    text = h5py.check_string_dtype(item.dtype)
    if text or not item.ndim:
        yield item.asstr()[()] if text else item[()]
        return
    row = max(1, int(np.prod(item.shape[1:])) * max(item.dtype.itemsize, 1))
    step = max(1, SLAB // row)
    for start in range(0, len(item), step):
        yield item[start : start + step]


def _add(found: Any, name: str, value: Any) -> None:
    """Add a named value with its type and shape, so that different values have different digests."""
    array = np.asarray(value)
    kind = "text" if array.dtype.kind in "OSU" else array.dtype.str
    content = _content(array)
    found.update(json.dumps([name, kind, array.shape, len(content)]).encode())
    found.update(content)


def _content(array: np.ndarray) -> bytes:
    """Bytes in C order; each text in quotes."""
    if array.dtype.kind in "OSU":
        return "".join(json.dumps(str(text)) for text in array.ravel()).encode()
    return np.ascontiguousarray(array).tobytes()
