"""Stop the process at every single write, fsync and rename of a save, and look at what is left.

    python -m tests.faults.crash_points

A preloaded shim ends the process before a call, after it, or with half of it done. Every file found afterwards under
a name of its own is the old one or the new one, whole; and what is started again ends as if nothing had happened.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ebayes_core import checkpoint, spec, store
from ebayes_core.engine import Cohort
from ebayes_core.finish import Options
from ebayes_core.lease import Pace
from ebayes_core.measure import measure
from ebayes_core.planning import find_device, member_data
from ebayes_core.registry import Registry
from ebayes_core.run import run
from ebayes_core.verify import verify
from ebayes_core.writing import add_analyses, write_run
from tests.core.test_run import assert_same
from tests.faults.flips import SPEC

BEFORE, AFTER, HALF = range(3)
SWEEP = SPEC.replace("[[analysis]]", '[sweep]\nnoise = [{ kind = "heterogeneous" }, { kind = "none" }]\n[[analysis]]')
EAGER = Options(compile=False, pace=Pace(save=0))  #: a checkpoint after every step


@dataclass
class Save:
    """Something that writes: from a folder as it was to one as it shall be, with a look at all states between."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    whole: Callable[[Path], bool]  #: whatever there is, is the old or the new
    ended: Callable[[Path], bool]  #: the new


def main() -> int:
    """Print what was tried and lost for each kind of save; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth call")
    given = parser.parse_args()
    if "shim" not in os.environ.get("LD_PRELOAD", ""):
        return under_shim(sys.argv)
    with tempfile.TemporaryDirectory() as name:
        lost = sum(tried(save, Path(name), given.every) for save in saves(Path(name)))
    return int(lost > 0)


def under_shim(arguments: list[str]) -> int:
    """The same command with the shim compiled and preloaded, on one thread."""
    with tempfile.TemporaryDirectory() as name:
        shim = Path(name) / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        env = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "tests.faults.crash_points", *arguments[1:]], env=env, check=False
        ).returncode


def tried(save: Save, folder: Path, every: int) -> int:
    """Stop at every call in every way; how many states were lost."""
    calls, lost, tries = count(save, folder / "count"), 0, 0
    for number in range(1, calls + 1, every):
        for how in (BEFORE, AFTER, HALF):
            place = folder / "place"
            save.prepare(place)
            status = child(lambda place=place, n=number, h=how: (arm(place, n, h), save.act(place)))
            good = status == 99 and holds(save.whole, place)
            good = good and child(lambda p=place: save.act(p)) == 0 and holds(save.ended, place)
            good = good and not list(place.rglob("*.unfinished"))
            lost, tries = lost + (not good), tries + 1
            if not good:
                print(f"{save.name}: lost at call {number}, {('before', 'after', 'half')[how]} (status {status})")
            shutil.rmtree(place)
    print(f"{save.name}: {calls} calls, stopped {tries} times, lost {lost}", flush=True)
    return lost


def holds(look: Callable[[Path], bool], place: Path) -> bool:
    """Whether a look is content; a file that cannot even be opened is not."""
    try:
        return look(place)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return False


def count(save: Save, place: Path) -> int:
    """Calls that a save makes."""
    save.prepare(place)
    read, write = os.pipe()

    def counted() -> None:
        arm(place, 0, BEFORE)
        save.act(place)
        os.write(write, str(ctypes.CDLL(None).shim_calls()).encode())

    assert child(counted) == 0
    shutil.rmtree(place)
    return int(os.read(read, 20))


def arm(place: Path, number: int, how: int) -> None:
    """From now on calls below a folder count."""
    ctypes.CDLL(None).shim_arm(str(place).encode(), ctypes.c_long(number), how)


def child(what: Callable[[], object]) -> int:
    """The exit status of a process of its own."""
    process = os.fork()
    if not process:
        try:
            what()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def saves(folder: Path) -> list[Save]:
    """Each kind of save, on a network of three synapses."""
    registry = Registry.load()
    experiment = spec.loads(SPEC, registry)
    points = experiment.members()
    cohort = Cohort(points, member_data(points[0], find_device("cpu")), False)
    state, record = cohort.start(), {"created": "", "duration_s": 0.0, "digest": ""}
    from ebayes_core.engine import train

    for _ in train(cohort, state):
        pass
    results = measure(cohort, state)
    tree = checkpoint.pack(state)
    older = {**tree, "xi": tree["xi"] + 1}
    made = folder / "made.h5"
    write_run(made, experiment, points, results, record)
    added = folder / "added.h5"
    shutil.copyfile(made, added)
    add_analyses(added, {"x": {"y": np.arange(100.0)}})
    whole = folder / "whole.h5"
    sweep = spec.loads(SWEEP, registry)
    run(sweep, SWEEP, registry, whole, EAGER)

    def fresh(place: Path) -> None:
        place.mkdir()

    def same(a: Path, b: Path) -> bool:
        try:
            assert_same(a, b)
        except AssertionError:
            return False
        return not verify(b, registry).problems

    def saved(path: Path, wanted: dict[str, object]) -> bool:
        return bool(torch.equal(torch.as_tensor(store.load(path)[0]["xi"]), torch.as_tensor(wanted["xi"])))

    def everything(place: Path) -> bool:
        """Results, items and checkpoints, wherever they stand."""
        files = [path for path in place.rglob("*.h5") if path.is_file()]
        for path in files:
            if "checkpoint" in path.name:
                store.load(path)
            elif verify(path, registry).problems:
                return False
        texts = [path for path in place.rglob("*") if path.suffix in (".json", ".toml")]
        return all(path.read_text() for path in texts)

    return [
        Save(
            "a new results file", fresh,
            lambda p: write_run(p / "r.h5", experiment, points, results, record),
            lambda p: not (p / "r.h5").exists() or same(made, p / "r.h5"), lambda p: same(made, p / "r.h5"),
        ),
        Save(
            "an analysis added", lambda p: (fresh(p), shutil.copyfile(made, p / "r.h5")),
            lambda p: add_analyses(p / "r.h5", {"x": {"y": np.arange(100.0)}}),
            lambda p: same(made, p / "r.h5") or same(added, p / "r.h5"), lambda p: same(added, p / "r.h5"),
        ),
        Save(
            "a checkpoint replaced", lambda p: (fresh(p), store.save(p / "c.h5", older)),
            lambda p: store.save(p / "c.h5", tree),
            lambda p: saved(p / "c.h5", older) or saved(p / "c.h5", tree), lambda p: saved(p / "c.h5", tree),
        ),
        Save(
            "a run from its plan to its gathered file", fresh,
            lambda p: run(sweep, SWEEP, registry, p / "r.h5", EAGER),
            everything, lambda p: same(whole, p / "r.h5") and [q.name for q in p.iterdir()] == ["r.h5"],
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
