"""Outputs that end early, or lack a character: real pipes, real locales, and what a command does all the same."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ebayes_core.console import output
from ebayes_core.results.reader import Run
from tests.cli.test_commands import SPEC, status

EBAYES = [sys.executable, "-m", "ebayes_core"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


ONE = SPEC[: SPEC.index("[sweep]")].replace("epochs = 2", "epochs = 1") + SPEC[SPEC.index("[[analysis]]") :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec and its finished run, with letters in their names that ASCII lacks."""
    path = tmp_path_factory.mktemp("run")
    (path / "spéc.toml").write_text(SPEC, encoding="utf-8")
    assert status("run", path / "spéc.toml", "--out", path / "résult.h5", "--device", "cpu") == 0
    return path


def ended(*args: str | Path, **how: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with what it said."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **how.pop("env", {})}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run([*EBAYES, *map(str, args)], env=environment, encoding="utf-8", check=False, **how)


@pytest.mark.parametrize(
    "text, shown",
    [("± 0.1", "+/- 0.1"), ("é", "e"), ("Ångström", "Angstrom"), ("日本", "??"), ("a\udcc3\udca9b", "aeb"), ("µ", "?")],
)
def test_a_character_that_is_lacking_has_a_stand_in(text: str, shown: str) -> None:
    found = output.shown(text, "ascii")
    assert found == shown or (text == "µ" and found in "u?")
    assert output.shown("± é 日本", "utf-8") == "± é 日本"


@pytest.mark.parametrize(
    "command, code, said",
    [
        (["show", "résult.h5", "--convergence"], 0, "+/- s.e."),
        (["show", "résult.h5"], 0, "ebayes report result.h5"),
        (["verify", "résult.h5"], 0, "result.h5: complete and unchanged"),
        (["report", "résult.h5", "--out", "pages"], 0, "pages/result.html"),
        (["plugins"], 0, "calcium"),
        (["check", "spéc.toml", "--no-calibrate"], 0, "spec.toml: valid"),
        (["check", "spéc.toml", "--set", "cost.kïnd=1"], 2, "cost.kind"),
        (["show", "nö.h5"], 2, "no.h5: no such file"),
        (["show", "--nö"], 2, "No such option"),
    ],
)
def test_an_output_of_ascii_alone(folder: Path, tmp_path: Path, command, code, said) -> None:
    for path in folder.iterdir():
        shutil.copytree(path, tmp_path / path.name) if path.is_dir() else shutil.copy(path, tmp_path)
    done = ended(*command, env=ASCII, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert "Error: " not in done.stderr.replace("Error: No such", "")


@pytest.mark.slow
def test_a_run_and_its_log_in_ascii(folder: Path, tmp_path: Path) -> None:
    text = ONE.replace('name = "tiny"', 'name = "tiny"\ndescription = "± é 日本"')
    (tmp_path / "spéc.toml").write_text(text, encoding="utf-8")
    with (tmp_path / "log").open("w") as log:
        command = ("run", "spéc.toml", "--out", "ö.h5", "--compile", "off", "--device", "cpu")
        done = ended(*command, env=ASCII, cwd=tmp_path, stdout=log)
    assert done.returncode == 0, done.stderr
    assert "results: o.h5" in (tmp_path / "log").read_text()
    with Run(tmp_path / "ö.h5") as found:
        assert found.spec["description"] == "± é 日本"


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command, code", [(["show"], 0), (["show", "--csv"], 0), (["show", "--json"], 0), (["verify", "none.h5"], 1)]
)
def test_a_pipe_that_closes_leaves_the_exit_status_as_it_is(folder: Path, command, code, unbuffered: str) -> None:
    writing = closed_pipe()
    done = ended(
        command[0], folder / "résult.h5", *command[1:], stdout=writing, env={"PYTHONUNBUFFERED": unbuffered}
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr


def test_a_run_goes_on_when_nobody_reads_on(tmp_path: Path) -> None:
    """Both streams closed before the first line: the results are whole, and the figures drawn."""
    (tmp_path / "tiny.toml").write_text(ONE)
    writing = closed_pipe()
    command = ("run", "tiny.toml", "--out", "r.h5", "--compile", "off", "--device", "cpu")
    done = ended(*command, cwd=tmp_path, stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 0
    with Run(tmp_path / "r.h5") as found:
        assert found.status == ["done"]
    assert (tmp_path / "r" / "training.png").exists()


@pytest.mark.slow
def test_a_run_goes_on_when_its_terminal_hangs_up(tmp_path: Path) -> None:
    """A write to a terminal that is gone is EIO; the live display meets it several times a second."""
    (tmp_path / "tiny.toml").write_text(ONE)
    ours, theirs = pty.openpty()
    command = [*EBAYES, "run", "tiny.toml", "--out", "r.h5", "--compile", "off", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    assert process.wait() == 0
    with Run(tmp_path / "r.h5") as found:
        assert found.status == ["done"]


def test_an_output_that_is_closed_or_full(folder: Path) -> None:
    shell = f"exec {' '.join(EBAYES)} show '{folder / 'résult.h5'}' "
    closed = subprocess.run(["sh", "-c", shell + ">&-"], capture_output=True, check=False, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")
    full = subprocess.run(["sh", "-c", shell + "> /dev/full"], capture_output=True, check=False, text=True)
    assert full.returncode == 1 and "No space left on device" in full.stderr
