"""The command line as a user meets it: exit statuses, files, JSON, and a real process that is killed and goes on."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from rich.console import Console

from ebayes_core.cli.exit_status import guarded
from ebayes_core.cli.main import main
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import EbayesError, Interrupted
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps import estimate, progress
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.run import run
from tests.sweeps.test_run import assert_same
from tests.waiting import LIMIT

SPEC = """
name = "tiny"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [8] }
training = { epochs = 2, batch_size = 100 }
optimizer = { kind = "adam", learning_rate_phi = 0.05 }
measurement = { samples = 2 }
[sweep]
"cost.c" = [0.01, 1.0]
noise = [{ kind = "heterogeneous" }, { kind = "none" }]
[[analysis]]
kind = "training"
"""
EBAYES = [sys.executable, "-c", "from ebayes_core.cli.main import entry; entry()"]
SHOWN = {
    "cost.c", "noise", "seed", "status", "accuracy_mean", "accuracy_sample", "accuracy_ensemble", "nll_mean",
    "nll_sample", "nll_ensemble", "sigma_mean", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost",
}  # fmt: skip


def status(*args: str | Path) -> int:
    """The exit status of a command, in this process."""
    return guarded(lambda: main([str(a) for a in args], standalone_mode=False))


def strict(text: str) -> object:
    """JSON as other languages read it: without NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec and its finished run."""
    path = tmp_path_factory.mktemp("run")
    (path / "tiny.toml").write_text(SPEC)
    assert status("run", path / "tiny.toml", "--out", path / "tiny.h5", "--device", "cpu") == 0
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written into the folder where the tests are started."""
    monkeypatch.chdir(tmp_path)


def test_a_run_leaves_a_file_and_its_figures(folder: Path) -> None:
    with Run(folder / "tiny.h5") as found:
        assert found.n_members == 4
        assert found.spec_text == SPEC
        assert found.analyses == ["training"]
    assert {p.name for p in (folder / "tiny").iterdir()} == {"training.pdf", "training.png"}
    assert not list(folder.glob("*.partial"))


def test_the_default_file_is_named_after_the_spec(folder: Path, tmp_path: Path) -> None:
    spec = folder / "tiny.toml"
    assert status("run", spec, "--set", "training.epochs=1", "--set", "analysis=[]", "--set", "sweep={}") == 0
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["tiny.h5"]


def test_a_finished_result_is_not_run_again_but_its_figures_are(folder: Path, capsys) -> None:
    before = (folder / "tiny.h5").read_bytes()
    (folder / "tiny" / "training.pdf").unlink()
    assert status("run", folder / "tiny.toml", "--out", folder / "tiny.h5") == 0
    out = capsys.readouterr().out
    assert "already contains the result of this spec" in out
    assert "tiny: 4 networks" in out
    assert "cohort" not in out
    assert (folder / "tiny.h5").read_bytes() == before
    assert (folder / "tiny" / "training.pdf").exists()


def test_an_analysis_that_was_added_is_measured_without_training(folder: Path, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "copy.h5"
    copy.write_bytes((folder / "tiny.h5").read_bytes())
    more = tmp_path / "more.toml"
    more.write_text(SPEC + '[[analysis]]\nkind = "tradeoff"\n')
    assert status("run", more, "--out", copy) == 0
    assert "cohort" not in capsys.readouterr().out
    with Run(copy) as found:
        assert set(found.analyses) == {"training", "tradeoff"}
    assert (tmp_path / "copy" / "tradeoff.png").exists()


def test_another_specs_result_is_not_overwritten(folder: Path, capsys) -> None:
    before = (folder / "tiny.h5").read_bytes()
    assert status("run", folder / "tiny.toml", "--out", folder / "tiny.h5", "--set", "training.epochs=1") == 2
    assert "result of another spec" in capsys.readouterr().err
    assert (folder / "tiny.h5").read_bytes() == before


def test_show_as_json(folder: Path, capsys) -> None:
    assert status("show", folder / "tiny.h5", "--json") == 0
    members = strict(capsys.readouterr().out)["members"]
    assert [(m["cost.c"], m["noise"]["kind"]) for m in members] == [
        (c, kind) for c in (0.01, 1.0) for kind in ("heterogeneous", "none")
    ]
    for member in members:
        assert member.keys() >= SHOWN
        assert member["status"] == "done"
        assert (member["reliability_cost"] is None) == (member["noise"]["kind"] == "none")
        assert 0 <= member["accuracy_sample"] <= 1


def test_check_as_json_with_overrides(folder: Path, capsys) -> None:
    command = ("check", folder / "tiny.toml", "--json", "--set", "training.epochs=7", "--set", "seeds=[3, 4]")
    assert status(*command) == 0
    found = strict(capsys.readouterr().out)
    assert [(m["seed"], m["cost.c"]) for m in found["members"]][:2] == [(3, 0.01), (4, 0.01)]
    assert sorted(i for c in found["cohorts"] for i in c["members"]) == list(range(8))
    for cohort in found["cohorts"]:
        assert cohort["steps"] == 7 * 14  # 1437 images in batches of 100
        assert 0 < cohort["seconds"][0] <= cohort["seconds"][1]


def test_check_in_words(folder: Path, capsys) -> None:
    assert status("check", folder / "tiny.toml", "--no-calibrate") == 0
    out = " ".join(capsys.readouterr().out.split())  # where a line ends depends on the length of the path in it
    assert "4 networks in 2 cohorts" in out
    assert "heterogeneous" in out
    assert "{" not in out


def test_the_state_of_a_network_is_counted_in_full(registry: Registry) -> None:
    def size(**changed: str) -> float:
        points = loads(SPEC, registry, ["sweep={}", *(f"{k}={v}" for k, v in changed.items())]).members()
        return estimate.estimates(points, find_device("cpu"), calibrate=False)[0].bytes_per_synapse

    once = 8 / 610  # the sum of the means' changes, in double precision, for 610 synapses
    # mu and phi with two moments each, sigma and its derivative, sampled weights, gradients; in float32
    assert size() == pytest.approx(10 * 4 + once, rel=1e-12)
    assert size(**{"noise.kind": "none"}) == pytest.approx(5 * 4 + once, rel=1e-12)
    # squared gradients in place of a moment, and a number per layer
    assert size(**{"training.sigma": "fixed_point"}) == pytest.approx(10 * 4, abs=0.1)
    assert size(**{"training.dtype": "float64"}) == pytest.approx(10 * 8 + once, rel=1e-12)


def test_plugins_as_json(capsys) -> None:
    assert status("plugins", "--json") == 0
    found = strict(capsys.readouterr().out)
    rows = found["registered"]
    assert found["broken"] == []
    assert all(row.keys() == {"slot", "kind", "distribution", "version", "summary"} for row in rows)
    assert {("cost", "calcium", "ebayes"), ("analysis", "importance", "ebayes")} <= {
        (row["slot"], row["kind"], row["distribution"]) for row in rows
    }
    assert all(row["summary"] for row in rows)


def test_schema_to_a_file_is_the_schema_printed(tmp_path: Path, capsys) -> None:
    assert status("schema", "--out", tmp_path / "schema.json") == 0
    assert status("schema") == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "schema.json").read_text() == printed
    assert "cost" in strict(printed)["properties"]


def test_draw_needs_the_file_alone(folder: Path, tmp_path: Path, capsys) -> None:
    alone = tmp_path / "elsewhere.h5"
    alone.write_bytes((folder / "tiny.h5").read_bytes())
    assert status("draw", alone) == 0
    assert set(capsys.readouterr().out.split()) == {str(tmp_path / f"elsewhere/training.{s}") for s in ("pdf", "png")}
    assert alone.read_bytes() == (folder / "tiny.h5").read_bytes()
    assert status("draw", alone, "--analysis", "importance") == 2


def test_new_plugin_says_what_it_wrote(tmp_path: Path, capsys) -> None:
    assert status("new-plugin", "cost", "glial", "--into", tmp_path) == 0
    written = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("next")]
    assert written
    assert all(Path(line).is_file() for line in written)
    assert status("new-plugin", "cost", "glial", "--into", tmp_path) == 2


@pytest.mark.parametrize(
    "command, said",
    [
        (["run", "SPEC", "--set", "training.epoch=3", "--set", "cost.kind=calcum"], ["'epochs'", "'calcium'"]),
        (["run", "SPEC", "--set", "x"], ["field=value"]),
        (["run", "nowhere.toml"], ["no such file"]),
        (["run", "SPEC", "--out", "noext"], [".h5"]),
        (["run"], ["SPEC"]),
        (["check", "SPEC", "--without", "builtins"], ["builtin"]),
        (["show", "nowhere.h5"], ["nowhere.h5"]),
        (["draw", "nowhere.h5"], ["nowhere.h5"]),
        (["frobnicate"], ["frobnicate"]),
    ],
)
def test_a_users_mistake_is_told_and_exits_2(folder: Path, tmp_path: Path, command, said, capsys) -> None:
    assert status(*(folder / "tiny.toml" if a == "SPEC" else a for a in command)) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    for words in said:
        assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error, code",
    [
        (EbayesError("broken"), 1),
        (ZeroDivisionError("broken"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError("broken"), 1),
    ],
)
def test_how_a_failure_ends(error: BaseException, code: int, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.delenv("EBAYES_DEBUG", raising=False)
    assert guarded(fail) == code
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert ("broken" in err) == (code == 1)


def test_the_traceback_of_a_fault_is_shown_on_request(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBAYES_DEBUG", "1")
    assert guarded(lambda: 1 / 0) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_run_names_a_command_that_keeps_its_work(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    monkeypatch.setattr(sys, "argv", ["ebayes", "run", "my spec.toml", "--fresh"])
    assert guarded(stop) == 130
    assert "ebayes run 'my spec.toml'\n" in capsys.readouterr().err


def test_help_mistakes_and_the_standing_of_a_sweep_do_not_wait_for_torch(folder: Path) -> None:
    spec, sweep = str(folder / "tiny.toml"), str(folder / "sweep")
    assert status("run", spec, "--workers", "0", "--out", f"{sweep}/") == 0
    asked = [["--help"], ["plugins"], ["run", spec, "--set", "training.epochs=-1"], ["status", sweep]]
    code = (
        "import sys; from ebayes_core.cli.main import main; from ebayes_core.cli.exit_status import guarded\n"
        f"said = [guarded(lambda: main(a, standalone_mode=False)) for a in {asked}]\n"
        "sys.exit('torch' in sys.modules or said != [0, 0, 2, 0])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_epochs_loss_terms_and_speed(registry, tmp_path: Path, terminal: bool, monkeypatch) -> None:
    for name in ("REFRESH_SECONDS", "PLAIN_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    text = io.StringIO()
    console = Console(
        file=text, force_terminal=terminal, force_interactive=terminal, width=100, markup=False, highlight=False
    )
    with progress.watcher(console) as shown:
        experiment = loads(
            SPEC, registry, ["training.epochs=60"]
        )  # for a second or so: a screen is redrawn 4 times in one
        run(experiment, SPEC, registry, tmp_path / "r.h5", Options("cpu", watcher=shown))
    assert isinstance(shown, progress.Live if terminal else progress.Plain)
    out = text.getvalue()
    for words in ("steps/s", "nll", "reliability"):
        assert words in out
    assert re.search(r"epoch \d+/60", out)
    assert "epoch 61/60" not in out
    assert re.search("cohort 2(/| of )2", out)


def test_a_killed_process_goes_on_and_ends_to_the_bit(folder: Path, tmp_path: Path) -> None:
    """SIGTERM in mid-epoch, then the same command: every array is that of a run nobody stopped."""
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}

    def start(*how: str) -> subprocess.Popen[str]:
        command = [*how, "run", folder / "tiny.toml", "--out", tmp_path / "r.h5", "--device", "cpu"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, env=environment, cwd=Path(__file__).parents[2])

    stopped = start(sys.executable, "-m", "tests.faults.slow", "nothing", tmp_path / "go")
    assert "at work\n" in iter(stopped.stdout.readline, "")
    stopped.send_signal(signal.SIGTERM)
    _, err = stopped.communicate(timeout=LIMIT)
    assert stopped.returncode == 130, err
    assert 0 < int(re.search(r"batch (\d+)", err)[1]) < 14  # of so many: in the midst of an epoch
    assert not (tmp_path / "r.h5").exists()
    resumed = start(*EBAYES)
    out, err = resumed.communicate(timeout=LIMIT)
    assert resumed.returncode == 0, err
    assert "continuing from epoch" in out
    assert_same(folder / "tiny.h5", tmp_path / "r.h5")


def test_an_analysis_of_another_version_costs_neither_the_tables_nor_the_other_figures(folder: Path, capsys) -> None:
    """Its options no longer validate; the file says so where it is drawn, and is shown without."""
    path = folder / "older.h5"
    shutil.copyfile(folder / "tiny.h5", path)
    with h5py.File(path, "r+") as file:
        options = file["analyses/training/_options"]
        text = options.asstr()[()]
        del file["analyses/training/_options"]
        file["analyses/training/_options"] = text.replace("{", '{"retired": 1, ', 1)
    assert status("show", path) == 0
    assert "tiny: 4 networks" in capsys.readouterr().out
    assert status("draw", path) != 0
    assert "training: cannot be drawn" in capsys.readouterr().err
