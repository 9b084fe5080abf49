"""Do something once that many processes need, on one host or on many that share a folder; the others wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ebayes_core.storage.lease import Lease, Pace, Watch

PACE = Pace(beat=2.0, stale=60.0)
POLL_SECONDS = 0.2


def once(folder: Path, done: Callable[[], bool], make: Callable[[], object], pace: Pace = PACE) -> None:
    """Call `make` in one of the processes that call this concurrently, unless `done()`; return when it is done.

    If that process ends or fails, the next one tries. Raises whatever `make` raises, and OSError if no lease can be
    created in the folder.
    """
    watch = Watch(pace.stale)
    while not done():
        leases = {int(path.name.split(".")[1]): path for path in folder.glob("making.*.lease")}
        last = max(leases, default=0)
        if last and not watch.over(leases[last]):
            time.sleep(POLL_SECONDS)
        elif lease := _taken(folder / f"making.{last + 1}.lease", pace):
            with lease:
                if not done():
                    make()
                for dead in leases.values():
                    dead.unlink(missing_ok=True)


def _taken(path: Path, pace: Pace) -> Lease | None:
    """The lease, or None if another process was faster."""
    try:
        return Lease(path, pace)
    except FileExistsError:
        return None
