"""`ebayes`, with a disk that takes its time: for signals that come while a file is being written.

    python -m tests.faults.slow checkpoint.h5 GO run SPEC --out r.h5

Writing a file whose name holds the first argument waits until the file GO is there. The third step says so.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from ebayes_core.cli import entry


def main() -> None:
    """The command that follows."""
    name, go = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    sync = os.fsync

    def fsync(handle: int) -> None:
        written = _path(handle)
        while name in written.name and written.is_file() and not go.exists():
            time.sleep(0.01)
        sync(handle)

    os.fsync = fsync
    _announce(3)
    entry()


def _path(handle: int) -> Path:
    """The file that is open; macOS has no /proc, and a call of its own."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def _announce(steps: int) -> None:
    from ebayes_core import finish

    train = finish.train

    def announced(cohort, state):  # type: ignore[no-untyped-def]
        for number, stepped in enumerate(train(cohort, state)):
            if number == steps:
                print("at work", flush=True)
            yield stepped

    finish.train = announced


if __name__ == "__main__":
    main()
