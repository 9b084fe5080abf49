"""Sweeps as a user meets them: real processes that are killed, suspended, and go on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.storage.lease import read
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.run import run
from tests.cli.test_commands import status as exit_status
from tests.faults.plugin import install
from tests.sweeps.test_run import assert_same
from tests.waiting import LIMIT, until

SPEC = """
name = "tiny"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [8] }
training = { epochs = 10, batch_size = 20 }
optimizer = { kind = "adam", learning_rate_phi = 0.05 }
measurement = { samples = 2 }
[sweep]
"cost.c" = [0.01, 1.0]
noise = [{ kind = "heterogeneous" }, { kind = "none" }]
[[analysis]]
kind = "training"
"""
EBAYES = [sys.executable, "-m", "ebayes_core"]
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def expected(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an uninterrupted run, on one thread as a worker's."""
    path = tmp_path_factory.mktemp("whole") / "r.h5"
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run(loads(SPEC, registry), SPEC, registry, path)
    torch.set_num_threads(threads)
    return path


def start(*args: str | Path, env: dict[str, str] = ALONE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*EBAYES, *map(str, args)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def same_but_for_analyses(expected: Path, found: Path, tmp_path: Path) -> None:
    """The gathered file is measured too."""
    import shutil

    import h5py

    bare = tmp_path / "bare.h5"
    shutil.copyfile(found, bare)
    with h5py.File(bare, "r+") as file:
        for name in list(file["analyses"]):
            del file["analyses"][name]
    assert_same(expected, bare)


@pytest.mark.slow
def test_two_workers_killed_and_started_again(expected: Path, tmp_path: Path) -> None:
    """SIGKILL of the whole command while both train; the same command ends with what an uninterrupted run has."""
    spec, out = tmp_path / "tiny.toml", tmp_path / "sweep"
    spec.write_text(SPEC)
    command = ["run", spec, "--out", f"{out}/", "--workers", "2", "--checkpoint-every", "0.2"]
    first = start(*command)
    until(lambda: list(out.glob("work/*.checkpoint.h5")) or Folder(out).finished())
    first.kill()
    first.communicate()
    again = start(*command)
    text, _ = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, text
    assert "results:" in text and (out / "results" / "training.png").exists()
    same_but_for_analyses(expected, out / "results.h5", tmp_path)
    assert "8 of 8 networks done" in text


@pytest.mark.slow
def test_orphans_save_and_go(tmp_path: Path) -> None:
    """Workers whose command was killed notice, and leave nothing held."""
    spec, out = tmp_path / "tiny.toml", tmp_path / "sweep"
    spec.write_text(SPEC)
    process = start("run", spec, "--out", f"{out}/", "--workers", "1", "--checkpoint-every", "0")
    until(lambda: list(out.glob("work/*.checkpoint.h5")) or Folder(out).finished())
    process.kill()
    process.communicate()
    until(lambda: not list(out.glob("work/*.lease")))
    assert list(out.glob("work/*.checkpoint.h5")) or Folder(out).finished()


@pytest.mark.slow
def test_a_suspended_worker_is_replaced_and_gives_way(expected: Path, tmp_path: Path, registry: Registry) -> None:
    spec, out = tmp_path / "tiny.toml", tmp_path / "sweep"
    spec.write_text(SPEC)
    first = start("run", spec, "--out", f"{out}/", "--workers", "1", "--stale-after", "1")
    leases = lambda: ((p, found["pid"]) for p in out.glob("work/*.1.lease") if (found := read(p)))
    held, worker = until(lambda: next(leases(), None))
    os.kill(worker, signal.SIGSTOP)
    other = start("work", out, "--stale-after", "1")
    until(lambda: list(out.glob("work/*.2.lease")) or not held.exists())
    os.kill(worker, signal.SIGCONT)
    for process in (other, first):
        text, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, text
    same_but_for_analyses(expected, out / "results.h5", tmp_path)
    assert not [path for path in out.glob("work/*") if path.suffix not in (".h5", ".json")]


@pytest.mark.slow
def test_a_plugin_that_never_returns_is_given_up(tmp_path: Path) -> None:
    """The network that hangs is added to a finished sweep: the limit, which counts loading too, is for it alone."""
    env, out = install(tmp_path / "site"), tmp_path / "sweep"
    spec = tmp_path / "faulty.toml"
    text = SPEC.replace("seeds = [0, 1]", 'cost = { kind = "faulty", fault = "hang" }').replace(
        ', { kind = "none" }', ""
    )
    for values, more in (("[0.01]", []), ("[0.01, 2.0]", ["--stuck-after", "60", "--retries", "0"])):
        spec.write_text(text.replace("[0.01, 1.0]", values))
        process = start("run", spec, "--out", f"{out}/", "--workers", "1", *more, env=env)
        said, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == (1 if more else 0), said
    assert "the results are incomplete: 1 network failed (run again with --retry-failed" in said
    assert re.search(
        r"network cost.c = 2.0.*no training step for 60 s; .* is in cost 'faulty' of ebayes-faulty 0.1 \(_hang",
        said,
    )
    with Run(out / "results.h5") as found:
        assert found.swept["cost.c"] == [0.01]


@pytest.mark.slow
def test_where_all_failed_the_reasons_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = tmp_path / "large.toml", tmp_path / "sweep"
    spec.write_text(
        'name = "large"\ndataset = { kind = "digits" }\nnetwork = { kind = "mlp", hidden = [100000, 100000] }'
    )
    limit = ["prlimit", f"--as={12 << 30}"]
    if not shutil.which(limit[0]):
        pytest.skip("no prlimit")
    done = subprocess.run(
        [*limit, *EBAYES, "run", spec, "--out", f"{out}/", "--workers", "1", "--retries", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the results are incomplete: 1 network failed" in done.stderr
    assert "not enough memory: use a smaller network or data set, or fewer networks at a time" in done.stderr
    assert exit_status("run", spec, "--out", f"{out}2/", "--workers", "0") == 0
    assert exit_status("gather", f"{out}2") == 1
    expected = "the results are incomplete: 1 network not finished (continue with  ebayes work"
    assert expected in capsys.readouterr().err


def test_commands_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = tmp_path / "tiny.toml", tmp_path / "sweep"
    spec.write_text(SPEC.replace("epochs = 10", "epochs = 1"), encoding="utf-8-sig")  # as an editor of Windows saves it
    assert exit_status("work", tmp_path) == 2
    assert "is not a sweep's folder" in capsys.readouterr().err
    assert exit_status("run", spec, "--out", f"{tmp_path}/", "--workers", "1") == 2
    assert "is not empty and not a sweep's folder" in capsys.readouterr().err
    assert exit_status("run", spec, "--out", tmp_path / "a.h5", "--workers", "1") == 2
    assert "the results go into a folder; give a folder" in capsys.readouterr().err
    assert exit_status("run", spec, "--out", f"{out}/", "--workers", "1") == 0
    assert exit_status("status", out) == 0
    assert "8 of 8 networks done, 0 running, 0 left" in capsys.readouterr().out
    assert exit_status("status", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 8
    spec.write_text(spec.read_text().replace('"tiny"', '"other"'))
    assert exit_status("run", spec, "--out", f"{out}/", "--workers", "1") == 2
    assert "contains the sweep 'tiny'; give another folder" in capsys.readouterr().err
    assert exit_status("gather", out, "--out", tmp_path / "g.h5") == 0
    with Run(tmp_path / "g.h5") as found:
        assert found.n_members == 8
        assert found.spec_text == SPEC.replace("epochs = 10", "epochs = 1")
