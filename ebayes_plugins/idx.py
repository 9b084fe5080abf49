"""Files in MNIST's IDX format: arrays after a header, verified by their size and a digest."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = 10
#: ending of a file's name -> code of the type in the format, and in numpy
TYPES = {"ubyte": (8, ">u1"), "int": (12, ">i4")}
SUFFIX = ".gz"


class Damaged(ValueError):
    """The bytes differ from the published ones; the message says how."""


@dataclass(frozen=True)
class File:
    """One file of a data set, uncompressed under its `name`, or compressed; one digest of it is known.

    That is SHA-256 of the uncompressed bytes, or MD5 of the archive.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str = ""
    md5: str = ""

    @property
    def archive(self) -> str:
        """Its name when downloaded."""
        return self.name + SUFFIX

    def found(self, folder: Path) -> Path | None:
        """Its path in a folder, if it exists; the form whose digest is known is preferred."""
        names = (self.name, self.archive) if self.sha256 else (self.archive, self.name)
        return next((folder / name for name in names if os.path.isfile(folder / name)), None)

    def array(self, content: bytes, packed: bool) -> np.ndarray:
        """The array in its bytes. Raises Damaged if they differ from the published ones."""
        try:
            plain = self._unpacked(content) if packed else content
        except (OSError, EOFError, zlib.error) as error:
            raise Damaged(f"it is not a complete archive: {error}") from error
        return self._numbers(plain)

    def _unpacked(self, content: bytes) -> bytes:
        if self.md5:
            _same("MD5", hashlib.md5(content, usedforsecurity=False).hexdigest(), self.md5)
        return gzip.decompress(content)

    def _numbers(self, content: bytes) -> np.ndarray:
        """Size, header and labels are checked before the digest, because they tell more about what is wrong."""
        code, dtype = TYPES[self.name.rsplit("-", 1)[-1]]
        head = np.array([code << 8 | len(self.shape), *self.shape], dtype=">u4").tobytes()
        size = len(head) + int(np.prod(self.shape)) * np.dtype(dtype).itemsize
        if len(content) != size:
            raise Damaged(f"it has {len(content):,} bytes instead of {size:,}")
        if not content.startswith(head):
            raise Damaged(f"it starts with {content[: len(head)].hex(' ', 4)} instead of {head.hex(' ', 4)}")
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
