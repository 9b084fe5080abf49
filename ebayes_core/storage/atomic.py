"""Files that appear whole or not at all, on disks that fill up, turn read-only, or lose power.

Written in place, a file is unreadable after a crash at any moment; written beside, flushed, fsynced and renamed, at
none.
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
#: what this process has left lying since the disk refused to remove it
LEFT: set[str] = set()
#: how CIFS, FUSE and others say that they cannot sync, or let nobody open a folder; other errors are a disk's refusal
UNSYNCABLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES}
#: the file systems, by number, of which this process has said that they cannot
SAID: set[int] = set()
log = logging.getLogger("ebayes")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` if the block ends well, and vanishes if not.

    A symbolic link stays, and what it points to is replaced. Raises OSError naming `path` where the disk refuses.
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
    """The file or folder that a name stands for, through all symbolic links, whether or not it is there yet.

    Raises OSError naming `path` for links in a circle.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return real


@contextlib.contextmanager
def _naming(path: Path, passing: str = "") -> Iterator[None]:
    """An error of the disk names what was to be written, and no passing name that begins with `passing`."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename).startswith(passing)):
            error.filename, error.filename2 = str(path), None
        raise


def make(folder: Path) -> None:
    """A folder, with those that it lies in, whose own names survive a loss of power. Raises OSError naming it."""
    if folder.is_dir():
        return
    real = behind(folder)
    missing = [part for part in (real, *real.parents) if not part.exists()]
    with _naming(folder):
        real.mkdir(parents=True, exist_ok=True)
        for part in missing:
            _sync(part.parent)


def clear(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as the disk allows; of a link to one, what it points to."""
    with contextlib.suppress(OSError):
        shutil.rmtree(behind(folder), ignore_errors=True)


def _sync(path: Path) -> None:
    """Have it on the disk for certain, where the file system can; where not, a run goes on, and this is said once."""
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
                "power loss; nothing else changes",
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
