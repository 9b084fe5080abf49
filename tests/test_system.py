"""Platforms: Windows is rejected in one sentence, before anything is written or trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ebayes_core.cli.main import entry
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run

SPEC = (
    'name = "a"\ndataset = { kind = "digits" }\nnetwork = { kind = "mlp", hidden = [4] }\ntraining = { epochs = 1 }\n'
)
#: the modules of the standard library that Windows lacks
LACKING = ["fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.usefixtures("windows")
def test_a_command_on_windows_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    out = tmp_path / "r.h5"
    monkeypatch.setattr(sys, "argv", ["ebayes", "run", str(tmp_path / "spec.toml"), "--out", str(out)])
    monkeypatch.setattr("ebayes_core.cli.main.Command.own", lambda: None)
    with pytest.raises(SystemExit) as ended:
        entry()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "WSL" in said and len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_a_run_from_python_on_windows_is_refused(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = loads(SPEC, registry)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="WSL"):
        run(experiment, SPEC, registry, tmp_path / "r.h5")
    assert not list(tmp_path.iterdir())


def test_the_command_line_and_run_import_nothing_that_windows_lacks() -> None:
    ours = "import ebayes_core.cli.main, ebayes_core.sweeps.run"
    # what others import by name on this system is theirs: only an import from a module of ours counts
    code = f"""
import builtins, sys
real = builtins.__import__
def guarded(name, globals=None, *more, **named):
    if name in {LACKING} and (globals or {{}}).get("__name__", "").startswith("ebayes"):
        raise ImportError(name)
    return real(name, globals, *more, **named)
builtins.__import__ = guarded
{ours}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
