"""`ebayes`, with a disk that takes its time: for signals that come while a file is being written.

    python -m tests.faults.slow checkpoint.h5 GO run SPEC --out r.h5

Writing a file whose name holds the first argument waits until the file GO is there. The third step says so.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ebayes_core.cli.main import entry


def main() -> None:
    """The command that follows."""
    name, go = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    sync = os.fsync

    def fsync(handle: int) -> None:
        written = Path(os.readlink(f"/proc/self/fd/{handle}"))
        while name in written.name and written.is_file() and not go.exists():
            time.sleep(0.01)
        sync(handle)

    os.fsync = fsync
    _announce(3)
    entry()


def _announce(steps: int) -> None:
    from ebayes_core.sweeps import job

    train = job.train

    def announced(cohort, state):  # type: ignore[no-untyped-def]
        for number, stepped in enumerate(train(cohort, state)):
            if number == steps:
                print("at work", flush=True)
            yield stepped

    job.train = announced


if __name__ == "__main__":
    main()
