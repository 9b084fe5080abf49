"""Trying again while a disk is full, read-only or unreachable, or while another program has a file open.

Giving up at once could lose hours of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ebayes_core.errors import DiskError, InUse, told
from ebayes_core.sweeps.signals import Stop

T = TypeVar("T")
#: seconds between two attempts, doubled from the first to the last
PAUSE = (1.0, 60.0)


@dataclass
class Retry:
    """Repeats an action that fails because of a folder's disk, for at most `seconds`; not at all if that is 0."""

    folder: Path
    seconds: float
    stop: Stop
    note: Callable[[str], None]

    def __call__(self, what: Callable[[], T], waiting: Callable[[], object] = lambda: None) -> T:
        """The result of `what`, repeated while it fails on a file of the folder; `waiting` is called between attempts.

        Raises Interrupted after a signal, DiskError when the time is over, and any error that does not concern a file
        of the folder at once.
        """
        pause, waited = PAUSE[0], 0.0
        while True:
            try:
                return what()
            except (OSError, InUse) as error:
                self._give_up(error, waited)
                self.note(f"{told(error)}; trying again in {pause:.0f} s")
            self.stop.wait(pause)
            waiting()
            pause, waited = min(2 * pause, PAUSE[1]), waited + pause

    def _give_up(self, error: OSError | InUse, waited: float) -> None:
        if not concerns(error, self.folder):
            raise error
        self.stop.check(f" while waiting for the disk ({told(error)}); run the same command again to continue")
        if waited >= self.seconds:
            raise DiskError(
                f"{told(error)}; once this is solved, run the same command again to continue from the last checkpoint"
            ) from error


def concerns(error: BaseException, folder: Path) -> bool:
    """Whether an error of the disk, or a file in use by another program, concerns a file in the folder."""
    return isinstance(error, (OSError, InUse)) and Path(str(error.filename)).is_relative_to(folder)
