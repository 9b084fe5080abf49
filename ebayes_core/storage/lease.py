"""Leases: which process may work on an item. A lease ends when its heartbeat does, on any shared file system.

A lease is a file that only one process can create; its heartbeat is the modification time, which the holder updates.
Clocks are never compared: a watcher notes on its own monotonic clock when it last saw that time change, so clocks that
disagree or jump do no harm. A lease that has stopped beating is not removed but superseded: the process that takes over
creates a lease with the next number, and only one process can. If the old holder resumes, it finds the higher number
and stops; what it may have written meanwhile bears its own number and affects nothing.

Locks of the operating system would not do: they persist while their holder is suspended, and not every cluster's file
system has them.
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
    """Time scales of a worker, in seconds."""

    beat: float = 10.0  #: between two heartbeats of a lease
    stale: float = 120.0  #: without a heartbeat, until others may take over
    stuck: float = 3600.0  #: without a training step, until a network counts as failed
    save: float = 60.0  #: between two checkpoints


def me() -> dict[str, Any]:
    """Identity of this process. A process number may be used again; together with the start time it is unique."""
    return {"host": platform.node(), "pid": os.getpid(), "world": _world(), "started": _started(os.getpid())}


def _world() -> str:
    """The boot and the PID namespace (container) to which this host's process numbers belong."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(pid: int) -> str:
    """When a process started, in kernel ticks; empty if it does not exist or this cannot be known."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    return ""


def dead(owner: dict[str, Any]) -> bool:
    """Whether a holder is known to have ended; only its own host can know that, and then without waiting."""
    here = me()
    alike = all(owner.get(key) == here[key] for key in ("host", "world")) and here["world"]
    return bool(alike) and _started(owner["pid"]) != owner["started"]


def read(path: Path) -> dict[str, Any] | None:
    """The holder of a lease; None if the lease is gone, or its holder ended while creating it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and me().keys() <= found.keys() else None


#: leases that threads of this process hold; the lock makes creating and listing one a single step
HELD: set[Path] = set()
LOCK = threading.Lock()


class Watch:
    """Finds leases whose heartbeat has stopped, as seen from this process."""

    def __init__(self, stale: float) -> None:
        self.stale = stale
        self._seen: dict[Path, tuple[int, float]] = {}

    def over(self, path: Path) -> bool:
        """Whether a lease is no longer valid: its process has ended, or its heartbeat stopped more than `stale` seconds
        ago.
        """
        owner = read(path)  # opening it also makes a network file system refresh its cache
        if owner is not None and (dead(owner) or _forgotten(owner, path)):
            return True
        try:
            beat = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False  # released; the caller finds that out when it lists the leases again
        now = time.monotonic()
        last, when = self._seen.get(path, (None, now))
        if beat != last:
            self._seen[path] = beat, now
            return False
        return now - when > self.stale


def _forgotten(owner: dict[str, Any], path: Path) -> bool:
    """Whether it is this process's own lease, released, but which the disk would not remove."""
    with LOCK:
        return owner.items() >= me().items() and path.absolute() not in HELD


class Lease:
    """The exclusive right to work on an item from a given step on, held while the block lasts.

    Raises FileExistsError if another process was faster, and OSError if the disk rejects the file.

    A thread updates its time every `pace.beat` seconds. If the work does not report `progress` for `pace.stuck`
    seconds, the thread calls `stuck` once: nothing else can act while a plugin does not return.
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
        except OSError as error:  # on a full disk the file is created but empty, and its holder would be unknown
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
        """Report a training step. Counted in heartbeats, not by a clock: a suspended process has none either."""
        self._quiet = 0

    def held(self) -> bool:
        """Whether the lease is still valid: its file exists, and no file of the next number does."""
        following = self.path.name.replace(f".{self.number}.", f".{self.number + 1}.")
        return self.path.exists() and not self.path.with_name(following).exists()

    def _beat(self) -> None:
        while not self._end.wait(self.pace.beat):
            with contextlib.suppress(OSError):  # the disk is unreachable: the next heartbeat may succeed
                self.lost = not self.held()
                os.utime(self.path)
            self._quiet += 1
            if self._quiet * self.pace.beat > self.pace.stuck:
                self._quiet = 0
                self.stuck()
