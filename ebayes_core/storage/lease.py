"""Who may work at an item: leases that end when their heartbeat does, on any file system that many hosts share.

A lease is a file that only one process can create, and a heartbeat is its time of change being touched. Nobody
compares clocks: a watcher notes on its own monotonic clock when it last saw that time change, so that hosts whose
clocks disagree or jump do no harm. A lease that has stopped changing is not broken but outnumbered: whoever takes over
creates the next number, and only one process can. The old holder, should it wake, finds the higher number and stops;
what it may have written meanwhile bears its own number and is in nobody's way.

Locks of the operating system would not do: they do not end while their holder is suspended, and not every cluster's
file system has them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Pace:
    """Seconds."""

    beat: float = 10.0  #: between two beats of a lease
    stale: float = 120.0  #: without a beat, until others may take over
    stuck: float = 3600.0  #: without a step of training, until a worker gives up
    save: float = 60.0  #: between two checkpoints


def me() -> dict[str, Any]:
    """What tells this process from every other: a process number may come again, its time of start does not."""
    return {"host": platform.node(), "pid": os.getpid(), "world": _world(), "started": _started(os.getpid())}


def _world() -> str:
    """The space of process numbers that this host, since it was started, and this container have."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where there is none, or no way to know."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    return ""


def dead(owner: dict[str, Any]) -> bool:
    """Whether a holder is known to be gone: only its own host can know, at once and without waiting."""
    here = me()
    alike = all(owner.get(key) == here[key] for key in ("host", "world")) and here["world"]
    return bool(alike) and _started(owner["pid"]) != owner["started"]


def read(path: Path) -> dict[str, Any] | None:
    """Who holds a lease; None where it is gone, or its holder died while creating it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and me().keys() <= found.keys() else None


#: leases of this process, which may hold several in several threads; the lock makes holding and listing one
HELD: set[Path] = set()
LOCK = threading.Lock()


class Watch:
    """Which leases have stopped beating, as seen from here."""

    def __init__(self, stale: float) -> None:
        self.stale = stale
        self._seen: dict[Path, tuple[int, float]] = {}

    def over(self, path: Path) -> bool:
        """Whether a lease no longer holds: its process is dead, or it was not touched for long enough."""
        owner = read(path)  # opening it also makes a network file system ask its server
        if owner is not None and (dead(owner) or _forgotten(owner, path)):
            return True
        try:
            beat = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False  # released; the next look will say so
        now = time.monotonic()
        last, when = self._seen.get(path, (None, now))
        if beat != last:
            self._seen[path] = beat, now
            return False
        return now - when > self.stale


def _forgotten(owner: dict[str, Any], path: Path) -> bool:
    """Whether it is one's own, which the disk refused to remove."""
    with LOCK:
        return owner.items() >= me().items() and path.absolute() not in HELD


class Lease:
    """The right to work at an item from a step on, held while the block lasts.

    Raises FileExistsError where another was quicker, and OSError where the disk refuses.

    A thread touches it every `pace.beat` seconds. Where the work itself reports nothing (`progress`) for
    `pace.stuck` seconds, the thread calls `stuck` once: nothing else can act while a plugin never returns.
    """

    def __init__(self, path: Path, pace: Pace, step: int = 0) -> None:
        self.path, self.pace, self.step = path, pace, step
        self.number, self.lost = int(path.name.split(".")[1]), False
        self.stuck: Callable[[], None] = lambda: None
        with LOCK:
            self._create()
            HELD.add(path.absolute())
        self._end, self._quiet = threading.Event(), 0
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def _create(self) -> None:
        handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({**me(), "step": self.step}, file)
        except OSError as error:  # a full disk has room for a name, and nobody would know whose it is
            with contextlib.suppress(OSError):
                self.path.unlink()
            error.filename = str(self.path)
            raise

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        HELD.discard(self.path.absolute())
        with contextlib.suppress(OSError):
            self.path.unlink()

    def progress(self) -> None:
        """The work goes on. Counted in beats and not by a clock: a suspended process has no beats either."""
        self._quiet = 0

    def held(self) -> bool:
        """Whether nobody has taken over: the file is there, and none of a higher number."""
        following = self.path.name.replace(f".{self.number}.", f".{self.number + 1}.")
        return self.path.exists() and not self.path.with_name(following).exists()

    def _beat(self) -> None:
        while not self._end.wait(self.pace.beat):
            with contextlib.suppress(OSError):  # an unreachable disk: the next beat may get through
                self.lost = not self.held()
                os.utime(self.path)
            self._quiet += 1
            if self._quiet * self.pace.beat > self.pace.stuck:
                self._quiet = 0
                self.stuck()
