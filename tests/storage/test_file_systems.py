"""File systems without locks, or that cannot sync or read; and files that another program has open."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import DiskError, Interrupted, InUse, StoreError
from ebayes_core.report.verify import verify
from ebayes_core.results.reader import Run
from ebayes_core.results.writer import add_analyses
from ebayes_core.storage import hdf5
from ebayes_core.sweeps import retry
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.pool import alone
from ebayes_core.sweeps.run import run
from ebayes_core.sweeps.signals import Stop
from ebayes_core.sweeps.status import status
from ebayes_core.sweeps.worker import Worker, work
from tests.cli.test_commands import status as exit_status
from tests.faults import shim
from tests.faults.flips import SPEC, small
from tests.sweeps.test_folder import FAST, begun
from tests.sweeps.test_run import StopAt

ROOT = Path(__file__).parents[2]
#: words that would have somebody throw data away
ADVICE = "damaged|restore|not whole|incomplete|run its spec"
needs_cc = pytest.mark.skipif(
    not (shutil.which("cc") and sys.platform.startswith("linux")), reason="the library is in C and for Linux"
)
#: commands one after another in one process, which waits for torch once; each prints its exit status
COMMANDS = """
import json, sys
from ebayes_core.cli.main import entry
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    try:
        entry()
    except SystemExit as end:
        print(command[0], "ended with", end.code, flush=True)
"""


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.built("lacking", tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(whole, tmp_path / "r.h5"))


def commands(lists: list[list[str]], folder: Path, below: Path, library: Path, **lacks: int) -> tuple[list[str], str]:
    """The exit statuses of commands and everything they print, on a file system that fails with these errors."""
    env = {name: str(number) for name, number in lacks.items()} | {"LACKING": str(below), "LD_PRELOAD": str(library)}
    program = [sys.executable, "-c", COMMANDS, json.dumps(lists)]
    done = subprocess.run(
        program, cwd=folder, env=alone() | env | {"PYTHONPATH": str(ROOT)}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return re.findall("^(.* ended with .*)$", done.stdout, re.MULTILINE), done.stdout


# --- what a file system lacks ----------------------------------------------------------------------------------------

EVERYTHING = [
    ["run", "s.toml", "--out", "r.h5", "--compile", "off"], ["show", "r.h5"], ["verify", "r.h5"], ["draw", "r.h5"],
    ["run", "s.toml", "--out", "many/", "--workers", "0"], ["work", "many", "--compile", "off"], ["gather", "many"],
]  # fmt: skip


@pytest.mark.slow
@needs_cc
def test_neither_locks_nor_synced_folders(lacking: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Whatever the environment says about HDF5's locks; a worker does not wait for a disk that cannot sync."""
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    (tmp_path / "s.toml").write_text(SPEC)
    ends, said = commands(EVERYTHING, tmp_path, tmp_path, lacking, LACKING_LOCK=errno.ENOLCK, LACKING_SYNC=errno.EINVAL)
    assert ends == [f"{command[0]} ended with 0" for command in EVERYTHING], said
    (line,) = re.findall(".*cannot sync.*", said)
    assert "cannot sync (Invalid argument)" in line and "may not survive a power loss" in line


@needs_cc
def test_a_folder_that_fails_to_sync_is_an_error(lacking: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SPEC)
    ends, said = commands(EVERYTHING[:1], tmp_path, tmp_path, lacking, LACKING_SYNC=errno.EIO)
    assert ends == ["run ended with 1"] and "r.h5.partial/work: Input/output error" in said


@needs_cc
def test_a_disk_that_fails_to_read_says_nothing_against_the_file(lacking: Path, results: Path) -> None:
    asked = [["show", "r.h5"], ["verify", "r.h5"], ["report", "r.h5"], ["run", "s.toml", "--out", "r.h5"]]
    (results.parent / "s.toml").write_text(SPEC)
    ends, said = commands(asked, results.parent, results, lacking, LACKING_READ=errno.EIO)
    assert ends == [f"{command[0]} ended with 1" for command in asked], said
    assert said.count("Input/output error") == 4 and not re.search(ADVICE, said), said


@pytest.mark.parametrize("act", [Run, hdf5.load, lambda path: add_analyses(path, {})])
def test_what_is_no_fault_of_the_file_is_not_called_damage(results: Path, act: Callable[[Path], Any]) -> None:
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as caught:
        act(results)
    assert caught.value.filename == str(results)
    for path, says in ((results.parent, "is a folder"), (Path("/dev/null"), "is a device"), (results / "x", "no such")):
        with pytest.raises(StoreError, match=says) as refused:
            act(path)
        assert not re.search(ADVICE, str(refused.value))


@contextmanager
def no_more_files() -> Iterator[None]:
    """Allow no more open files than there are."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_verify_tells_what_could_not_be_read_from_what_is_damaged(
    results: Path, registry: Registry, monkeypatch: Any, capsys: Any
) -> None:
    def short(*_: Any) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    with no_more_files():
        report = verify(results, registry)
    assert (report.problems, report.unread) == ([], ["Too many open files"])
    monkeypatch.setattr("ebayes_core.storage.seal.digest", short)
    assert not verify(results, registry).problems
    (results.parent / "x.h5").write_text("no HDF5")
    assert exit_status("verify", results, results.parent / "x.h5") == 1
    shown = capsys.readouterr()
    assert f"{results}: could not be read\n  not enough memory" in shown.out
    assert (
        "1 of 2 files are damaged or incomplete; restore" in shown.err and "1 of 2 files could not be read" in shown.err
    )


# --- files that another program has open -----------------------------------------------------------------------------

NOTEBOOK = """
import os, sys, h5py
file = h5py.File(sys.argv[1], sys.argv[2])
print("open", flush=True)
if sys.stdin.readline() == "die":
    os._exit(1)
"""
HELD = "is in use by another program (open for writing); close it there and try again"
MARKED = "is marked as open for writing, by a program that has it open or that crashed"
READERS: list[Callable[[Path], Any]] = [Run, hdf5.load, lambda path: add_analyses(path, {"x": {"y": np.ones(1)}})]


@contextmanager
def notebook(path: Path, mode: str, locks: str = "TRUE", last: str = "") -> Iterator[None]:
    """Another program that has a file open."""
    command, env = [sys.executable, "-c", NOTEBOOK, str(path), mode], os.environ | {"HDF5_USE_FILE_LOCKING": locks}
    with subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout and program.stdout.readline() == "open\n"
        yield
        program.communicate(last)


@pytest.mark.parametrize(("locks", "says"), [("TRUE", HELD), ("FALSE", MARKED)])
def test_a_file_open_for_writing_elsewhere_is_in_use(
    results: Path, registry: Registry, capsys: Any, locks: str, says: str
) -> None:
    (results.parent / "s.toml").write_text(SPEC)
    with notebook(results, "r+", locks):
        before = results.read_bytes()
        for act in READERS:
            with pytest.raises(InUse) as caught:
                act(results)
            assert str(caught.value).startswith(f"{results}: {says}") and not re.search(ADVICE, str(caught.value))
        assert verify(results, registry).problems == [] and says in verify(results, registry).unread[0]
        for command in ("show", results), ("draw", results), ("run", results.parent / "s.toml", "--out", results):
            assert exit_status(*command) == 1
            assert says in capsys.readouterr().err
        assert results.read_bytes() == before
    for act in READERS:
        act(results)


def test_a_file_whose_writer_died_is_told_what_takes_the_mark_away(results: Path) -> None:
    with notebook(results, "r+", last="die"):
        pass
    with pytest.raises(InUse, match=rf"{MARKED}.*h5clear -s {results}.*ebayes verify"):
        Run(results)


def test_a_file_of_an_older_format_has_no_mark_and_may_have_a_lock(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w", locking=True) as file:
        file["x"] = [1.0]
        file.flush()
        with pytest.raises(InUse, match=re.escape(HELD)):
            hdf5.load(tmp_path / "t.h5")
    assert hdf5.load(tmp_path / "t.h5")[0]["x"] == [1.0]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_what_is_open_elsewhere_can_be_replaced_and_if_for_reading_read_and_added_to(
    results: Path, registry: Registry, mode: str
) -> None:
    """With --fresh, nothing of the old file is needed."""
    with notebook(results, mode):
        for act in READERS if mode == "r" else ():
            act(results)
        run(spec.loads(SPEC, registry), SPEC, registry, results, Options(compile=False, fresh=True))
    assert Run(results).analyses == []


def test_a_file_that_changes_while_it_is_read_is_not_damaged(results: Path) -> None:
    run = Run(results)
    at = results.read_bytes().index(run.metric("mu_rms").tobytes())
    os.utime(results, (1, 1))
    run = Run(results)
    with results.open("r+b") as file:
        file.seek(at)
        file.write(b"x")
    with pytest.raises(StoreError, match="was changed while it was open here; open it again"):
        run.metric("mu_rms")
    with h5py.File(results, "r+"), pytest.raises(InUse, match=re.escape(HELD)):
        run.metric("mu_rms")
    with pytest.raises(StoreError, match="damaged"):
        Run(results).metric("mu_rms")


def test_a_checkpoint_in_use_is_waited_for_and_not_left_out(
    registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    """Once it is closed, the worker continues from it."""
    monkeypatch.setattr(retry, "PAUSE", (0.01, 0.02))
    folder = begun(registry, tmp_path / "many")
    with pytest.raises(Interrupted):
        work(folder, registry, replace(FAST, watcher=StopAt(3)))
    (path,) = folder.work.glob("*.checkpoint.h5")
    held, notes, steps = h5py.File(path, "r+"), [], []

    class Closing(StopAt):
        def note(self, text: str) -> None:
            notes.append(text)
            held.close()

        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            steps.append(state.step)

    assert status(folder).left == 12  # and does not fail
    with pytest.raises(DiskError, match=re.escape(HELD)):
        work(folder, registry, FAST)
    with pytest.raises(Interrupted), Stop() as stop:
        Worker(folder, registry, replace(FAST, watcher=Closing(1)), stop, retry_seconds=60.0).run()
    assert notes[0] == f"{path}: {HELD}; trying again in 0 s" and steps == [3]
    assert not list(folder.work.glob("*.error"))
