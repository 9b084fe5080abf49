"""Whether another program has a file open for writing: it is then in use, and not damaged, whatever stands in it.

HDF5 marks a file of its format of 2016, as ours are, for as long as it is open for writing, and longer where the writer
died. It also locks the file, where there are locks. The mark decides; the lock is asked, and never relied upon.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ebayes_core.errors import InUse

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: the version of the first block of a file from which on HDF5 marks it, and the bits of the mark
MARKS, WRITING = 3, 0b101


def refuse_in_use(path: Path, file: BinaryIO) -> None:
    """Raise InUse where a program has the file open for writing, or died with it open, as far as anybody can tell."""
    marked = _mark(file)
    if marked == 0:
        return
    if _locked(file):
        raise InUse(path, "is in use by another program (open for writing); close it there and try again")
    if marked:
        raise InUse(
            path,
            "is marked as open for writing, by a program that has it open or that died; close it there and try again; "
            f"if none has it open, `h5clear -s {path}` (of HDF5's tools) takes the mark away, and "
            f"`ebayes verify {path}` says whether all is whole",
        )


def _mark(file: BinaryIO) -> int | None:
    """The bits of the mark; None for a file that cannot have one."""
    file.seek(0)
    head = file.read(12)
    known = head.startswith(SIGNATURE) and len(head) == 12 and head[8] >= MARKS
    return head[11] & WRITING if known else None


def _locked(file: BinaryIO) -> bool:
    """Whether a writer holds a lock on it; no where the file system has none."""
    import fcntl  # here: Windows has none, and a run there should end with a message, not with an ImportError

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
