"""One item from where it stands to its finished file: trained with checkpoints, measured, written."""

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
from ebayes_core.sweeps.folder import Folder, Standing
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device, member_data
from ebayes_core.sweeps.retry import Patience
from ebayes_core.sweeps.signals import Stop


class Superseded(Exception):
    """Another worker has taken over; what it has is at least as good."""


@dataclass
class Job:
    """An item that this process holds."""

    item: Item
    lease: Lease
    folder: Folder
    registry: Registry
    options: Options
    record: dict[str, Any]  #: provenance
    stop: Stop

    def finish(self) -> None:
        """Train to the end, measure, and write the item's file.

        Raises Interrupted after a signal, Superseded, and DiskError where the file cannot be written for too long.
        """
        points = self.item.points(self.registry)
        self.experiment, self.text = self.folder.experiment(self.registry), self.folder.text()
        with flushed_denormals():  # no earlier: a spec may hold one, which would be read as 0
            results, clock = self._trained(points)
        self._write(points, results, clock)

    def _trained(self, points: list[Point]) -> tuple[list[MemberResult], _Clock]:
        with self._nothing_new():
            cohort, state, clock, steps = self._begun(points)
        self.stop.price = lambda: f"loses the training of the last {clock.since():.0f} s"
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
        """Ready, and the first step taken: it waits for the compiler."""
        cohort = Cohort(points, member_data(points[0], find_device(self.options.device)), self.options.compile)
        state, spent = self._resume(cohort)
        clock = _Clock(spent, self.options.pace.save)
        self.options.watcher.begin(cohort, *self._place(), state)
        steps = train(cohort, state)
        return cohort, state, clock, chain([*islice(steps, 1)], steps)

    @contextlib.contextmanager
    def _nothing_new(self) -> Iterator[None]:
        """Until the first step is taken there is nothing to save, and whoever stops it need not wait."""
        try:
            with self.stop.at_once():
                yield
        except KeyboardInterrupt:
            self.stop.check(" before the first step; the same command goes on")
            raise

    def _measured(self, cohort: Cohort, state: State, clock: _Clock) -> list[MemberResult]:
        """Whoever stops it keeps the training; measuring, which changes nothing, begins again."""
        try:
            with self.stop.at_once():
                return measure(cohort, state)
        except KeyboardInterrupt:
            self._interrupt(state, self._save(state, clock))
            raise

    def _place(self) -> tuple[int, int]:
        """How many items are done, and how many there are."""
        seen = self.folder.look()
        items = self.folder.items(seen)
        return sum(seen.get(item.name, Standing()).done for item in items), len(items)

    def _resume(self, cohort: Cohort) -> tuple[State, float]:
        """The furthest state that any worker has left, and the seconds spent on it."""
        self.cohort, self.before = cohort, ""
        found = [saved for item, rows in self.item.ancestry() for saved in self._saved(item, rows)]
        if not found:
            state = cohort.start()
            preflight.check(cohort, state)
            return state, 0.0
        name, tree, attrs = max(found, key=lambda saved: int(saved[1]["clock"][2]))
        state = checkpoint.unpack(tree, cohort)
        self.options.watcher.note(f"going on from epoch {state.epoch + 1}, batch {state.batch} ({name})")
        self._compare(attrs)
        return state, float(attrs["seconds"])

    def _compare(self, attrs: dict[str, Any]) -> None:
        """Say what rounds otherwise than before. Raises DataError for data that are not those of the checkpoint."""
        self.before, data = attrs.get("compiled", ""), self.cohort.data.digest
        if attrs.get("data", data) != data:
            raise DataError(
                f"the data set '{self.cohort.member.dataset.kind}' is not what the run began with (digest "
                f"{attrs['data'][:12]}, now {data[:12]}): put back what it was, or begin again with --fresh"
            )
        for change in provenance.changes(attrs, torch.get_num_threads(), self.cohort.compiled):
            self.options.watcher.note(f"{change}: it goes on, but rounds differently from an uninterrupted run")

    def _saved(self, item: Item, rows: slice) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """The checkpoints of an item that can be read, cut to our members."""
        for number in self.folder.look().get(item.name, Standing()).checkpoints:
            path = self.folder.file(item, "checkpoint.h5", number)
            try:
                tree, attrs = hdf5.load(path)
            except InUse:  # it is as good as ever
                raise
            except StoreError as error:
                self.options.watcher.note(f"a checkpoint is left out: {error}")
            else:
                yield path.name, tree if item is self.item else checkpoint.part(tree, rows), attrs

    def _save(self, state: State, clock: _Clock) -> bool:
        """Whether there is a checkpoint; where the disk refuses, training goes on, and so does whoever stops it."""
        path = self.folder.file(self.item, "checkpoint.h5", self.lease.number)
        try:
            hdf5.save(path, checkpoint.pack(state), self._attributes(clock))
        except OSError as error:
            self.options.watcher.note(f"no checkpoint: {told(error)}; the last one stays, and training goes on")
            return False
        return True

    def _interrupt(self, state: State, saved: bool) -> None:
        kept = f"everything is saved in {self.folder.path}" if saved else "the checkpoint before this is kept"
        self.stop.check(f" after epoch {state.epoch}, batch {state.batch}; {kept}; the same command goes on from there")

    def _write(self, points: list[Point], results: list[MemberResult], clock: _Clock) -> None:
        """The finished file, however long the disk is full: hours of work stand behind it."""
        made, dataset = self._attributes(clock), spec.resolved(points[0].member.dataset)
        record = self.record | made | {"duration_s": clock.seconds()}
        record |= provenance.made(made["compiled"], len(points), dataset, made["data"])
        path = self.folder.file(self.item, "h5")
        settings, asked = [p.setting for p in points], spec.resolved(self.experiment)
        write = lambda: write_run(path, asked, settings, results, record, spec_text=self.text)
        patience = Patience(self.folder.path, self.options.pace.stuck, self.stop, self.options.watcher.note)
        patience.insist(write, self.lease.progress)
        self.folder.tidy()

    def _attributes(self, clock: _Clock) -> dict[str, Any]:
        how = provenance.since(self.before, self.cohort.compiled)
        data = self.cohort.data.digest
        return {"seconds": clock.seconds(), "threads": torch.get_num_threads(), "compiled": how, "data": data}


class _Clock:
    """Seconds spent, over interruptions, and when the next checkpoint is due."""

    def __init__(self, spent: float, every: float) -> None:
        self.began, self.saved, self.every = time.monotonic() - spent, time.monotonic(), every

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def since(self) -> float:
        """The last checkpoint, or the beginning here."""
        return time.monotonic() - self.saved

    def due(self) -> bool:
        if self.since() < self.every:
            return False
        self.saved = time.monotonic()
        return True


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Adam's second moments go denormal, and slow, at silent synapses; afterwards the processor is as it was."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
