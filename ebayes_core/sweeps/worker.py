"""A worker: trains the items of a sweep's folder one after another, until none is left."""

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
from ebayes_core.sweeps.folder import Folder, ItemState
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.job import Job, Superseded
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.retry import Retry, concerns
from ebayes_core.sweeps.signals import Stop
from ebayes_core.wording import networks

POLL_SECONDS = 0.5
#: workers that may crash at an item without getting beyond its last checkpoint, before it counts as failed
CRASHES = 5
#: exit status of a worker that ended itself because a plugin did not return
STUCK = 70


def work(folder: Folder, registry: Registry, options: Options) -> None:
    """Train items until all are done or given up; without `options.wait`, until none is free.

    Raises Interrupted after a signal; with `options.strict` also the error that made an item fail.
    """
    with Stop(options.watcher.note) as stop:
        Worker(folder, registry, options, stop).run()


@dataclass
class Worker:
    """One process that trains items of a folder."""

    folder: Folder
    registry: Registry
    options: Options
    stop: Stop
    watch: Watch = field(init=False)
    retry_seconds: float = 0.0  #: for how long to try again if the folder's disk fails

    def __post_init__(self) -> None:
        self.watch = Watch(self.options.pace.stale)
        self.record = provenance.collect(self.registry.versions(), find_device(self.options.device))
        about = self.folder.about()
        self.record["digest"], self.retries = about["digest"], about["retries"]

    def run(self) -> None:
        """See `work`. It is an error if the first lease cannot be written; later ones are tried again."""
        more = True
        while more and not self.stop.asked:
            more = Retry(self.folder.path, self.retry_seconds, self.stop, self.options.watcher.note)(self._one)
        self.folder.clean_up()
        self.stop.check(f"; everything is saved in {self.folder.path}; run the same command again to continue")

    def _one(self) -> bool:
        """Train an item, or wait for one; False if none is left. Raises OSError if the folder cannot be used."""
        left = self.folder.left(self.options.only)
        taken = next((job for item, now in left if (job := self._take(item, now))), None)
        if taken:
            self.retry_seconds = self.options.pace.stuck
            self._attempt(taken)
        elif left and self.options.wait:
            self._wait()
        return bool(left and (taken or self.options.wait))

    def _wait(self) -> None:
        self.stop.wait(POLL_SECONDS)
        self.stop.check(" while waiting for other workers; run the same command again to continue")

    def _take(self, item: Item, now: ItemState) -> Job | None:
        """A job for the item, if no other worker holds it."""
        last = max(now.leases, default=0)
        if last and not self.watch.over(self.folder.file(item, "lease", last)):
            return None
        step, _ = self.folder.reached(item, now)
        crashes = sum((read(self.folder.file(item, "lease", n)) or {}).get("step") == step for n in now.leases)
        try:
            lease = Lease(self.folder.file(item, "lease", last + 1), self.options.pace, step)
        except FileExistsError:
            return None
        lease.stuck = lambda: self._stuck(item, lease)
        return self._checked(item, lease, crashes)

    def _checked(self, item: Item, lease: Lease, crashes: int) -> Job | None:
        """The job, unless the item was done or given up meanwhile, or has crashed too many workers."""
        now = self.folder.states().get(item.name, ItemState())
        if now.done or now.split or now.given_up(self.retries):
            with lease:
                return None
        if crashes >= CRASHES:
            with lease:
                self._put_down(
                    item, f"{crashes} workers crashed, all at step {lease.step}: too little memory, or a fault", True
                )
                self.folder.remove_leases(item, lease.number)
                return None
        return Job(item, lease, self.folder, self.registry, self.options, self.record, self.stop)

    def _attempt(self, job: Job) -> None:
        with job.lease:
            try:
                job.finish()
            except Superseded as error:
                self.options.watcher.note(str(error))
            except (Interrupted, DiskError, DataError):  # problems of this machine, not of the item
                raise
            except Exception as error:  # an error in one item must not stop the others
                if self.options.strict or concerns(error, self.folder.path):
                    raise
                reason, lasting = blamed(error, self.registry), not isinstance(error, (OSError, StoreError))
                self._put_down(job.item, reason, lasting, traceback.format_exception(error))

    def _put_down(self, item: Item, reason: str, lasting: bool, trace: Sequence[str] = ()) -> None:
        """Record a failure; a cohort whose error is permanent is split in halves, to isolate the faulty network."""
        number = max(self.folder.states().get(item.name, ItemState()).errors, default=0) + 1
        table = {"reason": reason, "host": self.record["host"], "pid": os.getpid(), "traceback": "".join(trace)}
        atomic.write_text(self.folder.file(item, "error", number), json.dumps(table, indent=2))
        self.options.watcher.note(f"item {item.name}, {networks(len(item.members))}: {reason}")
        if lasting and len(item.members) > 1:
            self.folder.file(item, "split").touch()

    def _stuck(self, item: Item, lease: Lease) -> None:
        """End this process, the only way to stop a plugin that does not return."""
        reason = f"no training step for {self.options.pace.stuck:.0f} s; the program is in {standing_in(self.registry)}"
        if self.options.strict:
            print(reason, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):  # even if the disk fails, this process has to end
            if not self.options.strict and not lease.lost:
                self._put_down(item, reason, True)
            self.folder.remove_leases(item, lease.number)
        os._exit(STUCK)
