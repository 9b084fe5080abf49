"""Waiting for a disk that is full, read-only or out of reach for a while, or for a file that somebody has open.

A night's work may stand behind it.
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
class Patience:
    """With a folder's disk, for so many seconds in a row in which nothing succeeds; none by 0."""

    folder: Path
    seconds: float
    stop: Stop
    note: Callable[[str], None]

    def insist(self, what: Callable[[], T], waiting: Callable[[], object] = lambda: None) -> T:
        """What `what` returns, tried again while the folder's disk refuses; `waiting` is called between two attempts.

        Raises Interrupted once a signal asks, DiskError once the patience is at its end, and what concerns no file of
        the folder at once.
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
        self.stop.check(f" while waiting for a disk ({told(error)}); the same command goes on from the last checkpoint")
        if waited >= self.seconds:
            raise DiskError(
                f"{told(error)}; when that is mended, the same command goes on from the last checkpoint"
            ) from error


def concerns(error: BaseException, folder: Path) -> bool:
    """Whether the disk, or another program, refused something in a folder."""
    return isinstance(error, (OSError, InUse)) and Path(str(error.filename)).is_relative_to(folder)
