"""Atomic file writes, on disks that fill up, turn read-only, or lose power.

A file written in place is unreadable if the process crashes while writing. Here the new file is written beside the old
one, flushed, fsynced and renamed, so that a reader finds either the old or the new file, never part of one.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".unfinished"
#: unfinished files that this process could not remove
LEFT: set[str] = set()
#: errors of file systems (CIFS, FUSE, ...) that cannot sync, or cannot open a folder; any other error is a failed write
UNSYNCABLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES}
#: file systems, by device number, about which this process has already warned
SAID: set[int] = set()
log = logging.getLogger("ebayes")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it replaces `path` if the block succeeds, and is removed if it fails.

    A symbolic link is kept, and its target is replaced. Raises OSError naming `path` if the disk rejects the write.
    """
    make(path.parent)
    real = behind(path)
    make(real.parent)
    _sweep_up(real)
    with _naming(path, str(real)):
        mine = f"{real.name}.{os.getpid()}@{platform.node()}."
        handle, name = tempfile.mkstemp(prefix=mine, suffix=SUFFIX, dir=real.parent)
        os.close(handle)
        try:
            os.chmod(name, 0o666 & ~_umask())
            yield Path(name)
            _sync(Path(name))
            os.replace(name, real)
        except BaseException:
            _remove(name)
            raise
        _sync(real.parent)


def behind(path: Path) -> Path:
    """The file or folder that a name refers to, after following all symbolic links, whether or not it exists.

    Raises OSError naming `path` if the links form a circle.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return real


@contextlib.contextmanager
def _naming(path: Path, passing: str = "") -> Iterator[None]:
    """Errors of the disk name the file that was to be written, not a temporary one beginning with `passing`."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename).startswith(passing)):
            error.filename, error.filename2 = str(path), None
        raise


def make(folder: Path) -> None:
    """Create a folder and its parents, and sync their names to disk. Raises OSError naming the folder."""
    if folder.is_dir():
        return
    real = behind(folder)
    missing = [part for part in (real, *real.parents) if not part.exists()]
    with _naming(folder):
        real.mkdir(parents=True, exist_ok=True)
        for part in missing:
            _sync(part.parent)


def clear(folder: Path) -> None:
    """Remove a folder and everything in it, as far as the disk allows; for a symbolic link, its target."""
    with contextlib.suppress(OSError):
        shutil.rmtree(behind(folder), ignore_errors=True)


def _sync(path: Path) -> None:
    """Flush a file to disk if the file system can; if it cannot, warn once and continue."""
    try:
        _fsync(path)
    except OSError as error:
        if error.errno not in UNSYNCABLE:
            raise
        number, folder = path.stat().st_dev, path if path.is_dir() else path.parent
        if number not in SAID:
            SAID.add(number)
            log.warning(
                "%s: its file system cannot sync (%s): the last files written there, or their names, may not survive a "
                "power loss; the run is not affected otherwise",
                folder, error.strerror,
            )  # fmt: skip


def _fsync(path: Path) -> None:
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
    """Remove unfinished versions of `path`: those of processes that ended on this host, and those that this one left.

    Whether processes on other hosts still run is not known, so their files are kept.
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
    except PermissionError:  # it belongs to another user, and runs
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
