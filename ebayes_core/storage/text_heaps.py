"""Heaps of texts in an HDF5 file, which HDF5 reads object by object, and forever where one is said to take no room."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

#: how a heap of texts begins; elsewhere these eight bytes are a chance of 2**-64
HEAP = re.compile(rb"GCOL\x01\0\0\0")
PIECE = 1 << 24  #: bytes that are searched at once


def refuse_endless_heaps(file: BinaryIO) -> None:
    """Raise ValueError for a file that is empty, or has a heap that does not end."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise ValueError("the file is empty")
    for start in _heaps(file):
        if not _ends(file, start, size):
            raise ValueError(f"the heap at byte {start} is damaged")


def _heaps(file: BinaryIO) -> Iterator[int]:
    """Where heaps begin. Read in pieces, and not mapped into memory: a disk that then fails would end the process."""
    at, rest = 0, b""
    file.seek(0)
    while piece := file.read(PIECE):
        content = rest + piece
        yield from (at - len(rest) + found.start() for found in re.finditer(HEAP, content))
        at, rest = at + len(piece), content[-7:]
        file.seek(at)  # whoever looks at a heap has moved


def _ends(file: BinaryIO, start: int, length: int) -> bool:
    """Whether the objects of a heap fill it: each has 16 bytes of head, and a size; the last, 0, is what is free."""
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
