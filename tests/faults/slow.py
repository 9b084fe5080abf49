"""`ebayes`, slowed down, for signals that arrive in the middle of training or while a file is being written.

    python -m tests.faults.slow checkpoint.h5 GO run SPEC --out r.h5

Training prints "at work" at its fourth step and waits there for a signal; writing of a file whose name contains the
first argument pauses until the file GO exists. With `r.h5`, training does not wait, because nothing interrupts it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ebayes_core.cli.main import entry


def main() -> None:
    """Run the command that follows."""
    name, go = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    sync = os.fsync

    def fsync(handle: int) -> None:
        written = _path(handle)
        while name in written.name and written.is_file() and not go.exists():
            time.sleep(0.01)
        sync(handle)

    os.fsync, heard = fsync, _signals()
    _announce(3, lambda: name == "r.h5" or go.exists() or heard())
    entry()


def _signals() -> Callable[[], bool]:
    """Whether any signal has arrived."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return lambda: bool(select.select([reading], [], [], 0)[0])


def _path(handle: int) -> Path:
    """The file that is open; macOS has no /proc, and a call of its own."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def _announce(step: int, may_go_on: Callable[[], bool]) -> None:
    from ebayes_core.sweeps import job

    train = job.train

    def announced(cohort, state):  # type: ignore[no-untyped-def]
        for number, stepped in enumerate(train(cohort, state)):
            if number == step:
                print("at work", flush=True)
                while not may_go_on():
                    time.sleep(0.01)
            yield stepped

    job.train = announced


if __name__ == "__main__":
    main()
