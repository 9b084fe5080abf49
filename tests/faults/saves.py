"""All operations that write files: from an initial to a final state of a folder, and checks of those between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.loop import train
from ebayes_core.measure.collect import measure
from ebayes_core.report.verify import verify
from ebayes_core.results.writer import add_analyses, write_run
from ebayes_core.storage import hdf5
from ebayes_core.storage.lease import Pace
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device, member_data
from ebayes_core.sweeps.run import begin, collect, run
from ebayes_core.sweeps.worker import work as work_at
from tests.faults.flips import SPEC
from tests.sweeps.test_run import assert_same

SWEEP = SPEC.replace('name = "small"', 'name = "small"\nseeds = [0, 1]')
ANALYSIS = {"x": {"y": np.arange(100.0)}}
Look = Callable[[Path], bool]


@dataclass
class Save:
    """One kind of save, in a folder."""

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    whole: Look  #: every file is the old or the new one
    ended: Look  #: every file is the new one
    coarse: bool = False  #: not at each write within an HDF5 file, which the others try one by one


def saves(folder: Path) -> list[Save]:
    """All kinds of saves, for a network of three synapses; `folder` keeps what they are compared with."""
    registry = Registry.load()
    return [*_of_one_network(folder, registry), *_of_two(folder, registry)]


def _of_one_network(folder: Path, registry: Registry) -> list[Save]:
    experiment = spec.loads(SPEC, registry)
    points = experiment.members()
    cohort = Cohort(points, member_data(points[0], find_device("cpu")), False)
    state, record = cohort.start(), {"created": "", "duration_s": 0.0, "digest": ""}
    for _ in train(cohort, state):
        pass
    write = partial(
        write_run, spec=spec.resolved(experiment), settings=[p.setting for p in points], results=measure(cohort, state),
        provenance=record, spec_text=SPEC,
    )  # fmt: skip
    tree = checkpoint.pack(state)
    older = {**tree, "xi": tree["xi"] + 1}
    made, added = folder / "made.h5", folder / "added.h5"
    write(made)
    shutil.copyfile(made, added)
    add_analyses(added, ANALYSIS)
    is_made, is_added = (lambda p: _same(made, p / "r.h5", registry)), (lambda p: _same(added, p / "r.h5", registry))
    is_older, is_newer = (lambda p, t=t: _saved(p / "c.h5", t) for t in (older, tree))
    return [
        Save(
            "a new results file", Path.mkdir, lambda p: write(p / "r.h5"),
            lambda p: not (p / "r.h5").exists() or is_made(p), is_made,
        ),
        Save(
            "an analysis added", lambda p: (p.mkdir(), shutil.copyfile(made, p / "r.h5")),
            lambda p: add_analyses(p / "r.h5", ANALYSIS), lambda p: is_made(p) or is_added(p), is_added,
        ),
        Save(
            "a checkpoint replaced", lambda p: hdf5.save(p / "c.h5", older), lambda p: hdf5.save(p / "c.h5", tree),
            lambda p: is_older(p) or is_newer(p), is_newer,
        ),
    ]  # fmt: skip


def _of_two(folder: Path, registry: Registry) -> list[Save]:
    """Gathering, and everything from the plan through leases, checkpoints and items to the gathered file."""
    sweep, whole, work = spec.loads(SWEEP, registry), folder / "whole.h5", folder / "work"
    options = Options(compile=False, cohort=1, pace=Pace(save=0, stale=0.2))  # each step saved, the dead soon outwaited
    act = lambda out: run(sweep, SWEEP, registry, out, options)
    act(whole)
    done = begin(sweep, SWEEP, registry, work, options)
    work_at(done, registry, options)
    is_whole = lambda p: _same(whole, p / "r.h5", registry)
    return [
        Save(
            "two items gathered", Path.mkdir, lambda p: collect(done, sweep, registry, p / "r.h5"),
            lambda p: not (p / "r.h5").exists() or is_whole(p), is_whole,
        ),
        Save(
            "a run from its plan to its gathered file", Path.mkdir, lambda p: act(p / "r.h5"),
            lambda p: _everything(p, registry), is_whole, coarse=True,
        ),
    ]  # fmt: skip


def _same(wanted: Path, found: Path, registry: Registry) -> bool:
    try:
        assert_same(wanted, found)
    except AssertionError:
        return False
    return not verify(found, registry).problems


def _saved(path: Path, wanted: dict[str, np.ndarray]) -> bool:
    return np.array_equal(hdf5.load(path)[0]["xi"], wanted["xi"])


def _everything(place: Path, registry: Registry) -> bool:
    """Whether all results, items and checkpoints, wherever they are, can be read."""
    files = [path for path in place.rglob("*.h5") if path.is_file()]
    checkpoints = [path for path in files if "checkpoint" in path.name]
    for path in checkpoints:
        hdf5.load(path)
    texts = [path.read_text() for path in place.rglob("*") if path.suffix in (".json", ".toml")]
    results = [verify(path, registry) for path in files if path not in checkpoints]
    return all(texts) and not any(report.problems for report in results)
