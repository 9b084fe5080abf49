"""The files of MNIST's format: numbers behind a head, known by their size and by one digest."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = 10
#: the format's code of a type, and numpy's, by the end of a file's name
TYPES = {"ubyte": (8, ">u1"), "int": (12, ">i4")}
SUFFIX = ".gz"


class Damaged(ValueError):
    """Bytes that are not those that were published, and why."""


@dataclass(frozen=True)
class File:
    """One file of a data set, unpacked under its `name`, or packed; one digest of it is known.

    That is SHA-256 of the unpacked bytes, or else MD5 of the archive.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str = ""
    md5: str = ""

    @property
    def archive(self) -> str:
        """Its name as it is downloaded."""
        return self.name + SUFFIX

    def found(self, folder: Path) -> Path | None:
        """Where it lies in a folder, if it does; that first whose digest is known."""
        names = (self.name, self.archive) if self.sha256 else (self.archive, self.name)
        return next((folder / name for name in names if os.path.isfile(folder / name)), None)

    def array(self, content: bytes, packed: bool) -> np.ndarray:
        """The numbers in its bytes. Raises Damaged where these are not as they were published."""
        try:
            plain = self._unpacked(content) if packed else content
        except (OSError, EOFError, zlib.error) as error:
            raise Damaged(f"it is no whole archive: {error}") from error
        return self._numbers(plain)

    def _unpacked(self, content: bytes) -> bytes:
        if self.md5:
            _same("MD5", hashlib.md5(content, usedforsecurity=False).hexdigest(), self.md5)
        return gzip.decompress(content)

    def _numbers(self, content: bytes) -> np.ndarray:
        """Size, head and labels are looked at before the digest: they say more of what is wrong."""
        code, dtype = TYPES[self.name.rsplit("-", 1)[-1]]
        head = np.array([code << 8 | len(self.shape), *self.shape], dtype=">u4").tobytes()
        size = len(head) + int(np.prod(self.shape)) * np.dtype(dtype).itemsize
        if len(content) != size:
            raise Damaged(f"it has {len(content):,} bytes, a whole one {size:,}")
        if not content.startswith(head):
            raise Damaged(f"it begins with {content[: len(head)].hex(' ', 4)}, a whole one with {head.hex(' ', 4)}")
        found = np.frombuffer(content, dtype, offset=len(head)).reshape(self.shape)
        if "labels" in self.name:
            _within(found.reshape(len(found), -1)[:, 0])
        if self.sha256:
            _same("SHA-256", hashlib.sha256(content).hexdigest(), self.sha256)
        return found


def _within(labels: np.ndarray) -> None:
    outside = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(outside):
        at = outside[0]
        raise Damaged(f"example {at}, counted from 0, has the label {labels[at]}; labels are 0 to {CLASSES - 1}")


def _same(name: str, found: str, published: str) -> None:
    if found != published:
        raise Damaged(f"its {name} is {found}, that of the published file {published}")
