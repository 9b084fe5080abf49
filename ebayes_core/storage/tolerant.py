"""A file for HDF5 to write to, which hides errors of the disk from it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Lenient(io.RawIOBase):
    """A file to which every write succeeds; what the disk rejects is kept in memory, and the first error in `refused`.

    HDF5 does not survive a failed write: it corrupts its own lists and, a file or two later, crashes the process. So
    the error is hidden from it, and the caller checks `refused` now and then, and before the file is used.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.refused: OSError | None = None
        self._file, self._at = open(path, mode, buffering=0), 0  # noqa: SIM115
        self._kept: list[tuple[int, bytes]] = []

    def _attempt(self, what: Callable[[], Any]) -> bool:
        """Whether the disk accepted it. After the first error nothing is tried, since the file will be discarded."""
        if self.refused is None:
            try:
                what()
            except OSError as error:
                self.refused = error
        return self.refused is None

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        """As for other files."""
        end = max([os.fstat(self._file.fileno()).st_size, *(at + len(data) for at, data in self._kept)])
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: end}[whence] + to
        return self._at

    def tell(self) -> int:
        """As for other files."""
        return self._at

    def write(self, data: Any) -> int:
        """Write all of it, to disk or else to memory."""
        content = bytes(data)
        if not self._attempt(lambda: self._write(content)):
            self._kept.append((self._at, content))
        self._at += len(content)
        return len(content)

    def _write(self, content: bytes) -> None:
        done = 0
        while done < len(content):  # a disk that is nearly full accepts a part
            done += os.pwrite(self._file.fileno(), content[done:], self._at + done)

    def readinto(self, buffer: Any) -> int:
        """What was written, whether or not the disk accepted it; zeros elsewhere."""
        room = memoryview(buffer).cast("B")
        got = os.preadv(self._file.fileno(), [room], self._at)
        room[got:] = bytes(len(room) - got)
        for at, data in self._kept:
            first, last = max(at, self._at), min(at + len(data), self._at + len(room))
            if first < last:
                room[first - self._at : last - self._at] = data[first - at : last - at]
        self._at += len(room)
        return len(room)

    def truncate(self, size: int | None = None) -> int:
        """As for other files."""
        length = self._at if size is None else size
        self._attempt(lambda: os.ftruncate(self._file.fileno(), length))
        return length

    def close(self) -> None:
        """Close the file; some disks report an error only now."""
        if not self._file.closed:
            self._attempt(self._file.close)
        super().close()
