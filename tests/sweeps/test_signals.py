"""Whoever asks to stop, however often and at whatever moment: what goes on is finished and saved, and goes on later."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import Interrupted
from ebayes_core.spec import loads
from ebayes_core.sweeps import job
from ebayes_core.sweeps.options import Options, Watcher
from ebayes_core.sweeps.run import run
from ebayes_core.sweeps.signals import Stop
from tests.cli.test_sweeps import ALONE
from tests.sweeps.test_run import assert_same
from tests.waiting import until

SPEC = """
name = "asked"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [6] }
training = { epochs = 2, batch_size = 100 }
measurement = { samples = 2 }
"""
BURSTS = [(SIGCONT, SIGTERM, SIGTERM), (SIGHUP, SIGHUP), (SIGUSR1, SIGCONT, SIGTERM, SIGTERM), (SIGINT,) * 4]


def command(folder: Path, name: str, *more: str) -> list[str]:
    """A run into `r.h5` whose disk waits, at files of this name, for the file `go`."""
    (folder / "spec.toml").write_text(SPEC)
    arguments = [name, folder / "go", "run", folder / "spec.toml", "--out", folder / "r.h5", *more]
    return [sys.executable, "-m", "tests.faults.slow", *map(str, arguments)]


def started(folder: Path, name: str, *more: str) -> subprocess.Popen[str]:
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command(folder, name, *more), env=ALONE, text=True, **pipe)


def half_written(folder: Path, name: str = "checkpoint.h5") -> list[Path]:
    return list(folder.rglob(f"*{name}.*.unfinished"))


def held(folder: Path) -> list[Path]:
    return list(folder.rglob("*.lease"))


@pytest.fixture(autouse=True, scope="module")
def _heard() -> Iterator[None]:
    """A process that we start hears HUP, though the tests themselves be started with nohup."""
    before = signal.signal(SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(SIGHUP, before)


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nobody asked to stop ends with, on one thread as the others."""
    path, threads = tmp_path_factory.mktemp("whole") / "r.h5", torch.get_num_threads()
    torch.set_num_threads(1)
    run(loads(SPEC, registry), SPEC, registry, path)
    torch.set_num_threads(threads)
    return path


@pytest.mark.slow
def test_many_signals_while_a_checkpoint_is_written_are_one_request(tmp_path: Path, whole: Path) -> None:
    """As scancel sends them, as a terminal that closes, as a warning of Slurm: each time it goes on to the bit."""
    for burst in BURSTS:
        (tmp_path / "go").unlink(missing_ok=True)
        process = started(tmp_path, "checkpoint.h5")
        assert process.stdout and any("at work" in line for line in process.stdout)
        asked = next(s for s in burst if s != SIGCONT)
        process.send_signal(asked)
        until(lambda: half_written(tmp_path))
        for number in burst:
            process.send_signal(number)
        assert half_written(tmp_path) and not process.poll()
        (tmp_path / "go").touch()
        text, _ = process.communicate()
        assert process.returncode == 130, text
        assert f"stopped by {asked.name} after epoch" in text and "\n  ebayes run " in text
        assert list(tmp_path.rglob("*.checkpoint.h5")) and not half_written(tmp_path) and not held(tmp_path)
    assert started(tmp_path, "nothing").wait() == 0
    assert_same(whole, tmp_path / "r.h5")


def test_a_terminal_is_told_what_a_third_one_costs(tmp_path: Path) -> None:
    child, terminal = at_a_terminal(tmp_path)
    until_said(terminal, "at work")
    os.write(terminal, b"\x03")
    until(lambda: half_written(tmp_path))
    os.write(terminal, b"\x03")
    until_said(terminal, "stopping; Ctrl-C once more stops now and loses the last")
    os.write(terminal, b"\x03")
    assert ended(child, terminal) == 130
    assert not half_written(tmp_path) and not held(tmp_path)


def test_a_terminal_that_closes_costs_nothing(tmp_path: Path) -> None:
    """The signal comes when nothing can be printed any more."""
    child, terminal = at_a_terminal(tmp_path)
    until_said(terminal, "at work")
    os.close(terminal)
    until(lambda: half_written(tmp_path))
    (tmp_path / "go").touch()
    assert ended(child) == 130
    assert list(tmp_path.rglob("*.checkpoint.h5")) and not half_written(tmp_path) and not held(tmp_path)


def at_a_terminal(folder: Path) -> tuple[int, int]:
    """A process whose terminal is ours, as a session of ssh gives it one; its number, and our end."""
    arguments = command(folder, "checkpoint.h5")
    child, terminal = pty.fork()
    if not child:
        termios.tcsetwinsize(0, (24, 80))
        os.execve(arguments[0], arguments, ALONE)
    return child, terminal


def until_said(terminal: int, words: str) -> None:
    """Read what it prints until then."""
    said = ""

    def heard() -> bool:
        nonlocal said
        if select.select([terminal], [], [], 0)[0]:
            said += os.read(terminal, 1000).decode(errors="replace")
        return words in " ".join(said.split())

    until(heard)


def ended(child: int, terminal: int | None = None) -> int:
    """Its exit status; what it still prints is read, so that it does not wait for us."""
    while terminal is not None:
        try:
            terminal = terminal if os.read(terminal, 1000) else None
        except OSError:  # the other end is closed
            terminal = None
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_a_command_that_is_told_twice_waits_for_its_workers(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "sweep"
    (tmp_path / "spec.toml").write_text(SPEC + 'sweep = { "cost.c" = [0.1, 1.0] }')
    endless = ["--set", "training.epochs=100000", "--compile", "off"]
    arguments = ["run", tmp_path / "spec.toml", "--out", f"{folder}/", "--workers", "2", *endless]
    process = subprocess.Popen(
        [sys.executable, "-m", "ebayes_core", *map(str, arguments)],
        env=ALONE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    until(lambda: len(held(folder)) == 2)
    for number in (SIGCONT, SIGTERM, SIGTERM):
        process.send_signal(number)
    text, _ = process.communicate()
    assert process.returncode == 130 and "stopped by SIGTERM; everything is saved in" in text
    assert not held(folder) and not half_written(folder, "")


@pytest.mark.slow
def test_a_signal_while_results_are_gathered_leaves_nothing_half_written(tmp_path: Path, whole: Path) -> None:
    process = started(tmp_path, "r.h5")
    until(lambda: half_written(tmp_path, "r.h5"))
    for number in (SIGTERM, SIGTERM):
        process.send_signal(number)
    text, _ = process.communicate()
    assert process.returncode == 130 and text.endswith("stopped\n")
    assert not half_written(tmp_path, "") and not (tmp_path / "r.h5").exists()
    (tmp_path / "go").touch()
    again = started(tmp_path, "nothing")
    text, _ = again.communicate()
    assert again.returncode == 0 and "cohort 1 of" not in text, "what was trained is not trained again"
    assert_same(whole, tmp_path / "r.h5")


class Asks(Watcher):
    """Asks to stop when a cohort begins."""

    def begin(self, cohort, index, count, state) -> None:  # type: ignore[no-untyped-def]
        signal.raise_signal(SIGUSR1)


def test_before_the_first_step_there_is_nothing_to_wait_for(registry: Registry, tmp_path: Path) -> None:
    """Loading the data, or compiling: which may take a minute."""
    with pytest.raises(Interrupted, match="stopped by SIGUSR1 before the first step; run the same command again"):
        run(loads(SPEC, registry), SPEC, registry, tmp_path / "r.h5", Options(watcher=Asks()))
    assert not held(tmp_path) and not list(tmp_path.rglob("*.checkpoint.h5"))


def asked_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A signal at the beginning of one part of an item's end."""
    part: Callable[..., object] = getattr(job, name)

    def asked(*args: object, **more: object) -> object:
        signal.raise_signal(SIGHUP)
        return part(*args, **more)

    monkeypatch.setattr(job, name, asked)


def test_measuring_is_begun_again_and_training_is_not(registry: Registry, tmp_path: Path, monkeypatch) -> None:
    experiment, steps = loads(SPEC, registry), []
    run(experiment, SPEC, registry, tmp_path / "whole.h5")
    with monkeypatch.context() as patched:
        asked_in(patched, "measure")
        with pytest.raises(Interrupted, match="stopped by SIGHUP after epoch 2, batch 0; everything is saved"):
            run(experiment, SPEC, registry, tmp_path / "r.h5")
    assert not held(tmp_path)
    monkeypatch.setattr(Watcher, "tick", lambda *_: steps.append(1))
    run(experiment, SPEC, registry, tmp_path / "r.h5")
    assert not steps
    assert_same(tmp_path / "whole.h5", tmp_path / "r.h5")


def test_a_file_that_is_being_written_is_finished_and_nothing_else_begun(
    registry: Registry, tmp_path: Path, monkeypatch
) -> None:
    experiment, begun = loads(SPEC + "seeds = [0, 1]", registry), []
    monkeypatch.setattr(Watcher, "begin", lambda *_: begun.append(1))
    asked_in(monkeypatch, "write_run")
    for count in (1, 2):
        with pytest.raises(Interrupted, match="stopped by SIGHUP; everything is saved in"):
            run(experiment, SPEC, registry, tmp_path / "r.h5")
        assert len(begun) == count and len(list((tmp_path / "r.h5.partial" / "work").glob("*.h5"))) == count
    assert run(experiment, SPEC, registry, tmp_path / "r.h5") and len(begun) == 2


def test_what_was_ignored_stays_ignored_and_what_was_there_comes_back() -> None:
    """nohup ignores HUP for what it starts."""
    before = signal.signal(SIGHUP, signal.SIG_IGN), signal.getsignal(SIGTERM)
    try:
        with Stop() as stop:
            signal.raise_signal(SIGHUP)
            assert not stop.asked
            for _ in range(5):
                signal.raise_signal(SIGTERM)
            signal.raise_signal(SIGUSR1)
            assert stop.asked == SIGTERM
        assert signal.getsignal(SIGHUP) == signal.SIG_IGN and signal.getsignal(SIGTERM) == before[1]
    finally:
        signal.signal(SIGHUP, before[0])
