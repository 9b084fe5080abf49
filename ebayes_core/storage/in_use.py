"""Detect whether another program has a file open for writing: it is then in use, not damaged, whatever it contains.

HDF5 marks files of its 2016 format, which ebayes writes, while they are open for writing; the mark remains if the
writer crashes. It also locks the file if the file system has locks. The mark decides; the lock only makes the message
more precise.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ebayes_core.errors import InUse

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: the superblock version from which HDF5 marks open files, and the bits of the mark
MARKS, WRITING = 3, 0b101


def refuse_in_use(path: Path, file: BinaryIO) -> None:
    """Raise InUse if a program has the file open for writing, or crashed while it had, as far as that can be known."""
    marked = _mark(file)
    if marked == 0:
        return
    if _locked(file):
        raise InUse(path, "is in use by another program (open for writing); close it there and try again")
    if marked:
        raise InUse(
            path,
            "is marked as open for writing, by a program that has it open or that crashed; close it there and try "
            f"again; if no program has it open, `h5clear -s {path}` (of HDF5's tools) removes the mark, and "
            f"`ebayes verify {path}` checks that it is complete and unchanged",
        )


def _mark(file: BinaryIO) -> int | None:
    """The bits of the mark; None for a file whose format has none."""
    file.seek(0)
    head = file.read(12)
    known = head.startswith(SIGNATURE) and len(head) == 12 and head[8] >= MARKS
    return head[11] & WRITING if known else None


def _locked(file: BinaryIO) -> bool:
    """Whether a writer holds a lock on it; False if the file system has no locks."""
    import fcntl  # imported here: Windows lacks it, and a run there should end with a message, not with an ImportError

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
