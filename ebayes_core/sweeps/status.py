"""The state of a sweep: the numbers of networks done, running, failed and left, and the remaining time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ebayes_core.errors import StoreError
from ebayes_core.results.reader import Run
from ebayes_core.storage import lease
from ebayes_core.sweeps.folder import Folder, ItemState
from ebayes_core.sweeps.item import Item
from ebayes_core.wording import networks

Items = Sequence[tuple[Item, ItemState]]


@dataclass(frozen=True)
class Running:
    """An item that a worker holds."""

    item: str
    networks: int
    host: str
    pid: int
    part: float  #: share of its steps that are done, as of its last checkpoint
    heartbeat_s: float  #: seconds since the last heartbeat, by the clock of this machine


@dataclass(frozen=True)
class Failed:
    """An item that failed and was given up, or will be tried again."""

    item: str
    networks: int
    which: str  #: the swept fields and the seed, if the item is a single network
    times: int
    given_up: bool
    reason: str

    def __str__(self) -> str:
        what = f"network {self.which}" if self.which else networks(self.networks)
        times = "once" if self.times == 1 else f"{self.times} times"
        then = "given up" if self.given_up else "will be tried again"
        return f"{what} (item {self.item}) failed {times}, {then}: {self.reason}"


@dataclass(frozen=True)
class Status:
    """Numbers of networks, and the remaining seconds: None while the speed is not known."""

    done: int
    running: int
    failed: int
    left: int
    seconds_to_go: float | None
    workers: list[Running]
    failures: list[Failed]

    @property
    def networks(self) -> int:
        """The number of all networks."""
        return self.done + self.running + self.failed + self.left

    def plain(self) -> dict[str, Any]:
        """The status as plain data, for JSON."""
        return asdict(self)


def status(folder: Folder) -> Status:
    """The state of a sweep, from one listing of its folder."""
    seen, retries = folder.states(), folder.about()["retries"]
    items = [(item, seen.get(item.name, ItemState())) for item in folder.items(seen)]
    failures = [_failed(folder, item, now, retries) for item, now in items if now.errors and not now.done]
    given_up = {f.item for f in failures if f.given_up}
    todo = [(item, now) for item, now in items if not now.done and item.name not in given_up]
    held = {item: who for item, now in todo if (who := _running(folder, item, now))}
    counts = {
        "done": sum(len(item.members) for item, now in items if now.done),
        "running": sum(who.networks for who in held.values()),
        "failed": sum(f.networks for f in failures if f.given_up),
    }
    left = sum(len(item.members) for item, _ in items) - sum(counts.values())
    return Status(
        **counts,
        left=left,
        seconds_to_go=_to_go(folder, items, todo, held),
        workers=list(held.values()),
        failures=failures,
    )


def _running(folder: Folder, item: Item, now: ItemState) -> Running | None:
    """The worker that holds an item, or None if there is none or it is known to have ended."""
    if not now.leases:
        return None
    path = folder.file(item, "lease", now.leases[-1])
    owner = lease.read(path)
    if owner is None or lease.dead(owner):
        return None
    with contextlib.suppress(FileNotFoundError):
        ago, part = time.time() - path.stat().st_mtime, _spent(folder, item, now)[0] / item.work
        return Running(item.name, len(item.members), owner["host"], owner["pid"], part, ago)
    return None


def _failed(folder: Folder, item: Item, now: ItemState, retries: int) -> Failed:
    text = folder.file(item, "error", now.errors[-1]).read_text(encoding="utf-8")
    reason = json.loads(text)["reason"]
    return Failed(item.name, len(item.members), _which(item), len(now.errors), now.given_up(retries), reason)


def _which(item: Item) -> str:
    if len(item.members) > 1:
        return ""
    (member,) = item.members
    fields = {**member.swept, "seed": member.spec["seed"]}
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())


def _to_go(folder: Folder, items: Items, todo: Items, held: dict[Item, Running]) -> float | None:
    """Remaining seconds: the remaining work divided by the speed of the current workers."""
    done = [_spent(folder, item, now) for item, now in items]
    seconds = sum(spent for _, spent in done)
    left = sum(item.work for item, _ in todo) - sum(who.part * item.work for item, who in held.items())
    if not todo:
        return 0.0
    if not held or not seconds:
        return None
    return left / (sum(work for work, _ in done) / seconds * len(held))


def _spent(folder: Folder, item: Item, now: ItemState) -> tuple[float, float]:
    """Synapse updates done of an item, and the seconds they took; 0 if this cannot be read now."""
    with contextlib.suppress(StoreError, OSError):
        if now.done:
            return item.work, _duration(folder.file(item, "h5"))
        step, seconds = folder.reached(item, now)
        return item.work * step / item.steps, seconds
    return 0.0, 0.0


@cache
def _duration(path: Path) -> float:
    """Seconds of training in a finished file; cached, since such a file never changes."""
    with Run(path) as run:
        return float(run.provenance["duration_s"])
