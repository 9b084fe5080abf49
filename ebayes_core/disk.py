"""Files that appear whole or not at all, on disks that fill up, turn read-only, or lose power.

Written in place, a file is unreadable after a crash at any moment; written beside, flushed, fsynced and renamed, at
none.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SUFFIX = ".unfinished"
#: what this process has left lying since the disk refused to remove it
LEFT: set[str] = set()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` if the block ends well, and vanishes if not.

    Raises OSError naming `path` where the disk refuses.
    """
    make(path.parent)
    _sweep_up(path)
    with _naming(path):
        mine = f"{path.name}.{os.getpid()}@{platform.node()}."
        handle, name = tempfile.mkstemp(prefix=mine, suffix=SUFFIX, dir=path.parent)
        os.close(handle)
        try:
            os.chmod(name, 0o666 & ~_umask())
            yield Path(name)
            _sync(Path(name))
            os.replace(name, path)
        except BaseException:
            _remove(name)
            raise
        _sync(path.parent)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of the disk names the file that was to be written, and no passing name of it."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename).startswith(str(path))):
            error.filename, error.filename2 = str(path), None
        raise


def make(folder: Path) -> None:
    """A folder, with those that it lies in, whose own names survive a loss of power. Raises OSError naming a folder."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part in missing:
            _sync(part.parent)


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


def _remove(name: str) -> None:
    LEFT.add(name)
    with contextlib.suppress(OSError):
        Path(name).unlink(missing_ok=True)
        LEFT.discard(name)


def _sweep_up(path: Path) -> None:
    """Remove what processes that died here while writing `path` have left, and what this one could not remove.

    Of those on other hosts nothing is known: that they live, or died.
    """
    for name in [name for name in LEFT if name.startswith(f"{path}.")]:
        _remove(name)
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{SUFFIX}"):
        pid, _, host = left.name.removeprefix(f"{path.name}.").removesuffix(SUFFIX).rpartition(".")[0].partition("@")
        if pid.isdigit() and host == platform.node() and not _lives(int(pid)):
            _remove(str(left))


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


class Lenient(io.RawIOBase):
    """A file that takes whatever it is given; what the disk refuses is kept in memory, and the refusal in `refused`.

    HDF5 does not survive a write that fails: it corrupts its own lists and, a file or two later, the process. So it
    is not told, and whoever writes asks for `refused` now and then, and before the file counts.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.refused: OSError | None = None
        self._file, self._at = open(path, mode, buffering=0), 0  # noqa: SIM115
        self._kept: list[tuple[int, bytes]] = []

    def _attempt(self, what: Callable[[], Any]) -> bool:
        """Whether the disk took it. After a refusal it is asked no more: the file does not count anyway."""
        if self.refused is None:
            try:
                what()
            except OSError as error:
                self.refused = error
        return self.refused is None

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        """As files have it."""
        end = max([os.fstat(self._file.fileno()).st_size, *(at + len(data) for at, data in self._kept)])
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: end}[whence] + to
        return self._at

    def tell(self) -> int:
        """As files have it."""
        return self._at

    def write(self, data: Any) -> int:
        """All of it, whatever the disk says."""
        content = bytes(data)
        if not self._attempt(lambda: self._write(content)):
            self._kept.append((self._at, content))
        self._at += len(content)
        return len(content)

    def _write(self, content: bytes) -> None:
        done = 0
        while done < len(content):  # a disk that is nearly full takes a part
            done += os.pwrite(self._file.fileno(), content[done:], self._at + done)

    def readinto(self, buffer: Any) -> int:
        """What was written, whether or not the disk took it; zeros where nothing was."""
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
        """As files have it."""
        length = self._at if size is None else size
        self._attempt(lambda: os.ftruncate(self._file.fileno(), length))
        return length

    def close(self) -> None:
        """Some disks refuse only now."""
        if not self._file.closed:
            self._attempt(self._file.close)
        super().close()
