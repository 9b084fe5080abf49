"""Training one item, from its last checkpoint to the finished file: train, save checkpoints, measure, write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint, preflight
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.loop import train
from ebayes_core.errors import DataError, InUse, StoreError, told
from ebayes_core.measure.collect import measure
from ebayes_core.results import provenance
from ebayes_core.results.record import MemberResult
from ebayes_core.results.writer import write_run
from ebayes_core.spec import Point
from ebayes_core.storage import hdf5
from ebayes_core.storage.lease import Lease
from ebayes_core.sweeps.folder import Folder, ItemState
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device, member_data
from ebayes_core.sweeps.retry import Retry
from ebayes_core.sweeps.signals import Stop


class Superseded(Exception):
    """Another worker has taken over the item, from a state that is at least as recent."""


@dataclass
class Job:
    """An item leased by this process."""

    item: Item
    lease: Lease
    folder: Folder
    registry: Registry
    options: Options
    record: dict[str, Any]  #: provenance
    stop: Stop

    def finish(self) -> None:
        """Train to the end, measure, and write the item's file.

        Raises Interrupted after a signal, Superseded, and DiskError if the file cannot be written for too long.
        """
        points = self.item.points(self.registry)
        self.experiment, self.text = self.folder.experiment(self.registry), self.folder.text()
        with flushed_denormals():  # not earlier: a denormal number in the spec would become 0
            results, clock = self._trained(points)
        self._write(points, results, clock)

    def _trained(self, points: list[Point]) -> tuple[list[MemberResult], _Clock]:
        with self._nothing_new():
            cohort, state, clock, steps = self._begun(points)
        self.stop.consequence = lambda: f"stops now and loses the last {clock.since():.0f} s of training"
        for _ in steps:
            self.lease.progress()
            self.options.watcher.tick(cohort, state)
            if self.lease.lost:
                raise Superseded(f"item {self.item.name} was taken over by another worker")
            if self.stop.asked:
                self._interrupt(state, self._save(state, clock))
            elif clock.due():
                self._save(state, clock)
        return self._measured(cohort, state, clock), clock

    def _begun(self, points: list[Point]) -> tuple[Cohort, State, _Clock, Iterator[State]]:
        """Start or resume training, and take the first step, which may wait for the compiler."""
        cohort = Cohort(points, member_data(points[0], find_device(self.options.device)), self.options.compile)
        state, spent = self._resume(cohort)
        clock = _Clock(spent, self.options.pace.save)
        self.options.watcher.begin(cohort, *self._place(), state)
        steps = train(cohort, state)
        return cohort, state, clock, chain([*islice(steps, 1)], steps)

    @contextlib.contextmanager
    def _nothing_new(self) -> Iterator[None]:
        """A block before the first step: there is nothing to save yet, so a signal stops it at once."""
        try:
            with self.stop.at_once():
                yield
        except KeyboardInterrupt:
            self.stop.check(" before the first step; run the same command again to continue")
            raise

    def _measured(self, cohort: Cohort, state: State, clock: _Clock) -> list[MemberResult]:
        """Measure the networks. A signal stops this at once: training is saved, and measuring starts again later."""
        try:
            with self.stop.at_once():
                return measure(cohort, state)
        except KeyboardInterrupt:
            self._interrupt(state, self._save(state, clock))
            raise

    def _place(self) -> tuple[int, int]:
        """The number of items that are done, and of all items."""
        seen = self.folder.states()
        items = self.folder.items(seen)
        return sum(seen.get(item.name, ItemState()).done for item in items), len(items)

    def _resume(self, cohort: Cohort) -> tuple[State, float]:
        """The latest state that any worker has saved, and the seconds spent on it; or the initial state."""
        self.cohort, self.before = cohort, ""
        found = [saved for item, rows in self.item.ancestry() for saved in self._saved(item, rows)]
        if not found:
            state = cohort.start()
            preflight.check(cohort, state)
            return state, 0.0
        name, tree, attrs = max(found, key=lambda saved: int(saved[1]["clock"][2]))
        state = checkpoint.unpack(tree, cohort)
        self.options.watcher.note(f"continuing from epoch {state.epoch + 1}, batch {state.batch} ({name})")
        self._compare(attrs)
        return state, float(attrs["seconds"])

    def _compare(self, attrs: dict[str, Any]) -> None:
        """Report changes that affect rounding. Raises DataError if the data are not those of the checkpoint."""
        self.before, data = attrs.get("compiled", ""), self.cohort.data.digest
        if attrs.get("data", data) != data:
            raise DataError(
                f"the data set '{self.cohort.member.dataset.kind}' is not the one the run started with (digest "
                f"{attrs['data'][:12]}, now {data[:12]}): restore the old one, or start again with --fresh"
            )
        for change in provenance.changes(attrs, torch.get_num_threads(), self.cohort.compiled):
            self.options.watcher.note(f"{change}: training continues, but rounding differs from an uninterrupted run")

    def _saved(self, item: Item, rows: slice) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """The readable checkpoints of an item, reduced to the networks of this one."""
        for number in self.folder.states().get(item.name, ItemState()).checkpoints:
            path = self.folder.file(item, "checkpoint.h5", number)
            try:
                tree, attrs = hdf5.load(path)
            except InUse:  # by another program; the checkpoint is not damaged
                raise
            except StoreError as error:
                self.options.watcher.note(f"a checkpoint cannot be used: {error}")
            else:
                yield path.name, tree if item is self.item else checkpoint.part(tree, rows), attrs

    def _save(self, state: State, clock: _Clock) -> bool:
        """Save a checkpoint; False if it cannot be written, which does not stop training."""
        path = self.folder.file(self.item, "checkpoint.h5", self.lease.number)
        try:
            hdf5.save(path, checkpoint.pack(state), self._attributes(clock))
        except OSError as error:
            self.options.watcher.note(
                f"no checkpoint was written: {told(error)}; the last one is kept, and training continues"
            )
            return False
        return True

    def _interrupt(self, state: State, saved: bool) -> None:
        kept = f"everything is saved in {self.folder.path}" if saved else "the previous checkpoint is kept"
        self.stop.check(
            f" after epoch {state.epoch}, batch {state.batch}; {kept}; run the same command again to continue"
        )

    def _write(self, points: list[Point], results: list[MemberResult], clock: _Clock) -> None:
        """Write the finished file; if the disk is full, keep trying, since it may hold hours of training."""
        made, dataset = self._attributes(clock), spec.resolved(points[0].member.dataset)
        record = self.record | made | {"duration_s": clock.seconds()}
        data = provenance.Made(made["data"], self.cohort.inputs, self.cohort.outputs)
        record |= provenance.made(made["compiled"], len(points), dataset, data)
        path = self.folder.file(self.item, "h5")
        settings, asked = [p.setting for p in points], spec.resolved(self.experiment)
        write = lambda: write_run(path, asked, settings, results, record, spec_text=self.text)
        retry = Retry(self.folder.path, self.options.pace.stuck, self.stop, self.options.watcher.note)
        retry(write, self.lease.progress)
        self.folder.clean_up()

    def _attributes(self, clock: _Clock) -> dict[str, Any]:
        how = provenance.since(self.before, self.cohort.compiled)
        data = self.cohort.data.digest
        return {"seconds": clock.seconds(), "threads": torch.get_num_threads(), "compiled": how, "data": data}


class _Clock:
    """Seconds of training, including those before interruptions, and whether a checkpoint is due."""

    def __init__(self, spent: float, every: float) -> None:
        self.began, self.saved, self.every = time.monotonic() - spent, time.monotonic(), every

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def since(self) -> float:
        """Seconds since the last checkpoint, or since the start of this process."""
        return time.monotonic() - self.saved

    def due(self) -> bool:
        if self.since() < self.every:
            return False
        self.saved = time.monotonic()
        return True


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as 0 in the block: Adam's second moments of silent synapses get denormal, and so slow."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
