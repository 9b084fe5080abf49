"""A worker: takes items of a sweep's folder one after another, until none is left."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from ebayes_core.contract.attribution import blamed, standing_in
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import DataError, DiskError, Interrupted, StoreError
from ebayes_core.results import provenance
from ebayes_core.storage import atomic
from ebayes_core.storage.lease import Lease, Watch, read
from ebayes_core.sweeps.folder import Folder, Standing
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.job import Job, Superseded
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.retry import Patience, concerns
from ebayes_core.sweeps.signals import Stop
from ebayes_core.wording import networks

POLL_SECONDS = 1.0
#: workers that may die at an item without getting further than the last checkpoint, before it counts as failed
DEATHS = 5
#: the exit status of a worker that ended itself since a plugin did not return
STUCK = 70


def work(folder: Folder, registry: Registry, options: Options) -> None:
    """Take items until every one is done or given up; without `options.wait`, until none is free.

    Raises Interrupted after a signal; with `options.strict` also whatever made an item fail.
    """
    with Stop(options.watcher.note) as stop:
        Worker(folder, registry, options, stop).run()


@dataclass
class Worker:
    """One process at a folder."""

    folder: Folder
    registry: Registry
    options: Options
    stop: Stop
    watch: Watch = field(init=False)
    patience: float = 0.0  #: seconds, with the folder's disk

    def __post_init__(self) -> None:
        self.watch = Watch(self.options.pace.stale)
        self.record = provenance.collect(self.registry.versions(), find_device(self.options.device))
        about = self.folder.about()
        self.record["digest"], self.retries = about["digest"], about["retries"]

    def run(self) -> None:
        """See `work`. A folder that never took a lease is a mistake; one that took one may take the next later."""
        more = True
        while more and not self.stop.asked:
            more = Patience(self.folder.path, self.patience, self.stop, self.options.watcher.note).insist(self._one)
        self.folder.tidy()
        self.stop.check(f"; everything is saved in {self.folder.path}; the same command goes on from there")

    def _one(self) -> bool:
        """Work at an item, or wait for one; False where none is left. Raises OSError where the folder fails."""
        left = self.folder.left(self.options.only)
        taken = next((job for item, now in left if (job := self._take(item, now))), None)
        if taken:
            self.patience = self.options.pace.stuck
            self._attempt(taken)
        elif left and self.options.wait:
            self._wait()
        return bool(left and (taken or self.options.wait))

    def _wait(self) -> None:
        self.stop.wait(POLL_SECONDS)
        self.stop.check(" while other workers finish; the same command goes on from there")

    def _take(self, item: Item, now: Standing) -> Job | None:
        """A job, if nobody else holds the item."""
        last = max(now.leases, default=0)
        if last and not self.watch.over(self.folder.file(item, "lease", last)):
            return None
        step, _ = self.folder.reached(item, now)
        deaths = sum((read(self.folder.file(item, "lease", n)) or {}).get("step") == step for n in now.leases)
        try:
            lease = Lease(self.folder.file(item, "lease", last + 1), self.options.pace, step)
        except FileExistsError:
            return None
        lease.stuck = lambda: self._stuck(item, lease)
        return self._checked(item, lease, deaths)

    def _checked(self, item: Item, lease: Lease, deaths: int) -> Job | None:
        """The job, unless the item was settled while we took it, or kills whoever works at it."""
        now = self.folder.look().get(item.name, Standing())
        if now.done or now.split or now.given_up(self.retries):
            with lease:
                return None
        if deaths >= DEATHS:
            with lease:
                self._put_down(
                    item, f"{deaths} workers died at it, all at step {lease.step}: too little memory, or a crash", True
                )
                self.folder.bury(item, lease.number)
                return None
        return Job(item, lease, self.folder, self.registry, self.options, self.record, self.stop)

    def _attempt(self, job: Job) -> None:
        with job.lease:
            try:
                job.finish()
            except Superseded as error:
                self.options.watcher.note(str(error))
            except (Interrupted, DiskError, DataError):  # of this machine, and no fault of the item
                raise
            except Exception as error:  # whatever a plugin or the machine does costs this item alone
                if self.options.strict or concerns(error, self.folder.path):
                    raise
                reason, lasting = blamed(error, self.registry), not isinstance(error, (OSError, StoreError))
                self._put_down(job.item, reason, lasting, traceback.format_exception(error))

    def _put_down(self, item: Item, reason: str, lasting: bool, trace: Sequence[str] = ()) -> None:
        """Record a failure; a cohort that fails for good is halved, until it is known which network it is."""
        number = max(self.folder.look().get(item.name, Standing()).errors, default=0) + 1
        table = {"reason": reason, "host": self.record["host"], "pid": os.getpid(), "traceback": "".join(trace)}
        atomic.write_text(self.folder.file(item, "error", number), json.dumps(table, indent=2))
        self.options.watcher.note(f"item {item.name}, {networks(len(item.members))}: {reason}")
        if lasting and len(item.members) > 1:
            self.folder.file(item, "split").touch()

    def _stuck(self, item: Item, lease: Lease) -> None:
        """Nothing but the end of the process ends a plugin that never returns."""
        reason = f"no step in {self.options.pace.stuck:.0f} s; it is in {standing_in(self.registry)}"
        if self.options.strict:
            print(reason, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):  # whatever the disk says, this process has to end
            if not self.options.strict and not lease.lost:
                self._put_down(item, reason, True)
            self.folder.bury(item, lease.number)
        os._exit(STUCK)
