"""Checks of the heaps in which HDF5 stores texts: it reads object by object, forever if one has size 0."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

#: the first eight bytes of a heap; elsewhere they occur with a probability of 2**-64
HEAP = re.compile(rb"GCOL\x01\0\0\0")
PIECE = 1 << 24  #: bytes that are searched at a time


def refuse_endless_heaps(file: BinaryIO) -> None:
    """Raise ValueError if the file is empty, or has a heap whose end cannot be reached."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise ValueError("the file is empty")
    for start in _heaps(file):
        if not _ends(file, start, size):
            raise ValueError(f"the heap at byte {start} is damaged")


def _heaps(file: BinaryIO) -> Iterator[int]:
    """Positions of the heaps. Read in pieces, not memory-mapped: a disk that fails would then end the process."""
    at, rest = 0, b""
    file.seek(0)
    while piece := file.read(PIECE):
        content = rest + piece
        yield from (at - len(rest) + found.start() for found in re.finditer(HEAP, content))
        at, rest = at + len(piece), content[-7:]
        file.seek(at)  # checking a heap moved the position


def _ends(file: BinaryIO, start: int, length: int) -> bool:
    """Whether the objects of a heap fill it: each has a head of 16 bytes and a size; the last, number 0, is the free
    space.
    """
    file.seek(start + 8)
    head = file.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8 or size > length - start:
        return False
    file.seek(start)
    heap, at = file.read(size), 16
    while at + 16 <= size:
        number, taken = struct.unpack_from("<H6xQ", heap, at)
        step = 16 + -(-taken // 8) * 8 if number else taken
        if step < 16 or at + step > size:
            return False
        at += step
    return True
