"""From a spec to a results file: cohorts one after another, checkpointed, measured, gathered."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from ebayes_core import checkpoint, provenance, spec, store
from ebayes_core.engine import Cohort, Data, State, train
from ebayes_core.errors import Interrupted, UserError
from ebayes_core.measure import measure
from ebayes_core.population import cohorts
from ebayes_core.registry import Registry
from ebayes_core.results import MemberResult
from ebayes_core.runfile import Run, write_run
from ebayes_core.signals import Stop
from ebayes_core.slots import Dataset

CHECKPOINT_SECONDS = 60.0


class Watcher:
    """What a run tells whoever watches, who is opened and closed around it; this one is silent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to close."""

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Cohort `index` of `count` (from 0) starts, or goes on, from `state`."""

    def tick(self, cohort: Cohort, state: State) -> None:
        """A step is done; called hundreds of times a second."""

    def note(self, text: str) -> None:
        """One line worth reading."""


@dataclass
class Options:
    """How to run; none of this changes what is computed but for rounding."""

    device: str = "auto"
    compile: bool | None = None  #: None decides by the amount of work
    fresh: bool = False
    watcher: Watcher = field(default_factory=Watcher)


def run(experiment: Any, text: str, registry: Registry, out: Path, options: Options | None = None) -> bool:
    """Train and measure every member into one file at `out`; False where this spec's result was there already.

    text is the spec verbatim. A run that was stopped goes on from the folder `<out>.partial`. Raises UserError where
    the file, or what is left of a stopped run, belongs to another spec, and Interrupted after a signal.
    """
    options = options or Options()
    mine = spec.digest(experiment)
    if options.fresh:
        shutil.rmtree(_parts(out), ignore_errors=True)
    elif _finished(out, mine):
        return False
    _claim(_parts(out), mine)
    points, device = experiment.members(), find_device(options.device)
    record = provenance.collect(registry, device)
    with Stop() as stop, flushed_denormals():
        results, seconds = _all_results(points, device, _parts(out), options, stop)
    record |= {"duration_s": seconds, "digest": mine, "threads": torch.get_num_threads()}
    write_run(out, experiment, points, results, record, spec_text=text)
    shutil.rmtree(_parts(out))
    return True


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Adam's second moments go denormal, and slow, at silent synapses; afterwards the processor is as it was."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _parts(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _finished(out: Path, mine: str) -> bool:
    """Whether `out` holds this spec's result."""
    if not out.exists():
        return False
    with Run(out) as found:
        theirs = found.provenance.get("digest")
    if theirs != mine:
        raise UserError(
            f"{out} holds the result of another spec; keep it and give --out another file, or replace it with --fresh"
        )
    return True


def _claim(parts: Path, mine: str) -> None:
    """Make the folder of a run in progress, or take over the one that the same spec left."""
    parts.mkdir(parents=True, exist_ok=True)
    name = parts / "spec.sha256"
    theirs = name.read_text().strip() if name.exists() else None
    if theirs not in (None, mine):
        raise UserError(
            f"{parts} holds an unfinished run of another spec; finish that one, give --out another file, "
            "or throw its work away with --fresh"
        )
    name.write_text(mine + "\n")


def find_device(name: str) -> torch.device:
    """The device that was asked for; auto takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; use --device cpu, or auto")
    return torch.device(name)


@lru_cache(maxsize=2)
def load_data(dataset: Dataset, dtype: str, device: torch.device) -> Data:
    """A data set in the run's floating type, resident on the device."""
    kind = getattr(torch, dtype)
    x, y, x_test, y_test = (t for split in ("train", "test") for t in dataset.load(split))
    x, x_test = (t.to(device, kind) for t in (x, x_test))
    y, y_test = (t.to(device, kind if t.is_floating_point() else t.dtype) for t in (y, y_test))
    return Data(x, y, x_test, y_test, dataset.task())


def member_data(point: spec.Point, device: torch.device) -> Data:
    """The data of one member."""
    return load_data(point.member.dataset, point.member.training.dtype, device)


def plan(points: Sequence[spec.Point], device: torch.device) -> list[list[spec.Point]]:
    """The cohorts in which the members will train."""

    def synapses(point: spec.Point) -> int:
        data = member_data(point, device)
        shapes = point.member.network.shapes(data.x.shape[1], data.task.outputs)
        return sum(int(torch.Size(shape).numel()) for shape in shapes)

    return cohorts(points, synapses)


def _all_results(
    points: Sequence[spec.Point], device: torch.device, parts: Path, options: Options, stop: Stop
) -> tuple[list[MemberResult], float]:
    """Results in the order of the points, and the seconds that they took, over all interruptions."""
    groups, found, seconds = plan(points, device), {}, 0.0
    for index, group in enumerate(groups):
        part = parts / f"cohort-{index:04d}.h5"
        if not part.exists():
            _finish(group, index, len(groups), device, part, options, stop)
        tree, attrs = store.load(part)
        seconds += float(attrs["seconds"])
        found |= zip((point.index for point in group), checkpoint.unpack_results(tree), strict=True)
    return [found[point.index] for point in points], seconds


def _finish(
    group: list[spec.Point], index: int, count: int, device: torch.device, part: Path, options: Options, stop: Stop
) -> None:
    """Train one cohort to its end, from its checkpoint where there is one, measure it, and save the results."""
    cohort = Cohort(group, member_data(group[0], device), options.compile)
    saved = part.with_suffix(".checkpoint.h5")
    state, spent = _resume(cohort, saved, options.watcher)
    options.watcher.begin(cohort, index, count, state)
    clock = _Clock(spent)
    for _ in train(cohort, state):
        options.watcher.tick(cohort, state)
        if stop.asked or clock.due():
            store.save(saved, checkpoint.pack(state), _attributes(clock))
        if stop.asked:
            raise Interrupted(
                f"stopped by {stop.asked.name} after epoch {state.epoch}, batch {state.batch}; everything is saved in "
                f"{part.parent}; the same command goes on from there"
            )
    results = checkpoint.pack_results(measure(cohort, state))
    store.save(part, results, _attributes(clock))
    saved.unlink(missing_ok=True)


def _resume(cohort: Cohort, saved: Path, watcher: Watcher) -> tuple[State, float]:
    """The state to start from and the seconds spent on it."""
    if not saved.exists():
        return cohort.start(), 0.0
    tree, attrs = store.load(saved)
    state = checkpoint.unpack(tree, cohort)
    watcher.note(f"going on from epoch {state.epoch + 1}, batch {state.batch} ({saved.name})")
    if attrs["threads"] != torch.get_num_threads():
        watcher.note(
            f"the run had {attrs['threads']} threads and now has {torch.get_num_threads()}: it goes on, but rounds "
            "differently from an uninterrupted run"
        )
    return state, float(attrs["seconds"])


def _attributes(clock: _Clock) -> dict[str, Any]:
    return {"seconds": clock.seconds(), "threads": torch.get_num_threads()}


class _Clock:
    """Seconds spent, over interruptions, and when the next checkpoint is due."""

    def __init__(self, spent: float) -> None:
        self.began, self.saved = time.monotonic() - spent, time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def due(self) -> bool:
        if time.monotonic() - self.saved < CHECKPOINT_SECONDS:
            return False
        self.saved = time.monotonic()
        return True
