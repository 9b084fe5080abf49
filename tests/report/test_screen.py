"""What `ebayes show` says: what was found first, a summary of many, all of it on request; and of which file."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import h5py
import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr

from ebayes_core.console.printing import SHOWN
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, hookimpl
from ebayes_core.report import findings, optimality, signature, summary, tables
from ebayes_core.results.reader import Run
from ebayes_core.results.writer import add_analyses
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.worker import work
from ebayes_core.wording import span
from tests.cli.test_commands import status

SPEC = """
name = "tiny"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [8] }
training = { epochs = 2, batch_size = 100 }
optimizer = { kind = "adam", learning_rate_phi = 0.5 }
measurement = { samples = 2 }
[sweep]
"cost.c" = { logspace = [-4, 0, 12] }
[[analysis]]
kind = "importance"
[[analysis]]
kind = "tradeoff"
"""
FEW = 'sweep={ "cost.c" = [0.01, 1.0] }'
WIDTHS = ("60", "80", "100", "200")


class Says(Analysis):
    """Whatever it is told to."""

    kind: Literal["says"] = "says"
    words: str = ""

    def measure(self, run):
        return {"x": np.arange(2.0)}

    def headline(self, arrays):
        if self.words == "raise":
            raise RuntimeError("broken")
        return self.words

    def draw(self, arrays, figure):
        figure.subplots()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 networks, in a file not to be written to."""
    return trained(tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 networks."""
    return trained(tmp_path_factory.mktemp("few"), "--set", FEW)


def trained(folder: Path, *more: str) -> Path:
    (folder / "tiny.toml").write_text(SPEC)
    out = folder / "tiny.h5"
    assert status("run", folder / "tiny.toml", "--out", out, "--device", "cpu", "--compile", "off", *more) == 0
    return out


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    """What a command prints that ends well."""
    capsys.readouterr()
    assert status(*args) == 0
    return capsys.readouterr().out


def words_of(run: Run) -> list[str]:
    """What was found, in sentences."""
    return findings.findings(run, Registry.load())[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("how", [[], ["--convergence"], ["--statistics"]])
def test_no_table_of_a_file_cuts_a_number(few: Path, width: str, how: list[str], capsys, monkeypatch) -> None:
    """Every number of every row is a whole one of those that --wide shows, and no line is longer than the screen."""
    monkeypatch.setenv("COLUMNS", "400")
    whole = set(said(capsys, "show", few, "--wide", "--all", *how).split())
    monkeypatch.setenv("COLUMNS", width)
    lines = [line for line in said(capsys, "show", few, "--all", *how).splitlines() if str(few) not in line]
    assert max(map(len, lines)) <= int(width)
    numbers = [word for line in lines for word in line.split() if re.fullmatch(r"-?[\d.]+(e[-+]?\d*)?…?", word)]
    assert len(numbers) > 20 and set(numbers) <= whole
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tables_of_other_commands_fit_too(few: Path, width: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    spec = few.with_suffix(".toml")
    for command in (["claims", few], ["plugins"], ["check", spec, "--no-calibrate"]):
        lines = [line for line in said(capsys, *command).splitlines() if str(few.parent) not in line]
        assert max(map(len, lines)) <= int(width), command
        assert "…" not in "".join(lines)
    values = {row["value"] for row in json.loads(said(capsys, "claims", few, "--json"))}
    assert all(value in said(capsys, "claims", few) for value in values)


def test_a_run_begins_with_what_was_found(few: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = said(capsys, "show", few).splitlines()
    with Run(few) as run:
        signature_, tradeoff, optimum = words_of(run)
    assert lines[:3] == [line.replace("\N{NO-BREAK SPACE}", " ") for line in (signature_, tradeoff, optimum)]
    assert signature_.startswith("sigma^2 ") and "rank correlation" in signature_ and "optimum has -0.75" in signature_
    assert tradeoff.startswith("As c increases from 0.01 to 1, accuracy goes from")
    assert optimum.startswith("None of 4 noisy networks is at its optimal sigma: B, which is 1 there, is ")
    assert "train longer (training.epochs" in optimum and "--set\N{NO-BREAK SPACE}training.sigma=fixed_point" in optimum
    assert "tiny: 4 networks" in lines
    assert f"as an HTML page: ebayes report {few}" in lines
    assert "Statistics" not in "".join(lines) and "Convergence" not in "".join(lines)


def test_the_strength_is_that_of_the_arrays(few: Path) -> None:
    with Run(few) as run:
        arrays, (sentence, *_) = run.analysis("importance"), words_of(run)
    ranks, slopes = (span((np.round(arrays[name], 2) + 0.0).tolist()) for name in ("rank_correlation", "slope"))
    assert f"rank correlation {ranks}, log-log slope {slopes}; the optimum" in sentence


def test_without_an_analysis_the_synapses_speak(few: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(few, tmp_path))
    with h5py.File(copy, "r+") as file:
        for name in list(file["analyses"]):
            del file["analyses"][name]
    with Run(copy) as run:
        ranks = [
            spearmanr(
                np.concatenate([run.layer(i, n, "sigma")[run.layer(i, n, "gauss_newton_noise") > 0] for n in (1, 2)]),
                np.concatenate([h[h > 0] for h in (run.layer(i, n, "gauss_newton_noise") for n in (1, 2))]),
            ).statistic
            for i in range(4)
        ]
        sentence, _ = words_of(run)
    assert sentence.endswith(f": rank correlation {min(ranks):.3g} to {max(ranks):.3g} over the synapses.")


@pytest.mark.parametrize(
    "ranks, sentence",
    [
        ([-0.9, -0.8, -0.75], "it falls strongly with H in all 3 layers of 2 networks"),
        ([-0.5, 0.1, -0.6], "it falls moderately with H in 2 of 3 layers of 2 networks"),
        ([0.2, 0.3], "it rises weakly with H in both layers of 2 networks"),
        ([0.2], "it rises weakly with H in the one layer of 2 networks"),
        ([-0.97, -0.5, -0.04], "it falls with H in all 3 layers of 2 networks"),
        ([0.05, -0.01, -0.3], "it is hardly correlated with H in all 3 layers of 2 networks"),
    ],
)
def test_a_trend_in_words(ranks: list[float], sentence: str) -> None:
    assert signature.trend("it", "H", np.array(ranks), "layer", " of 2 networks") == sentence


def test_analyses_speak_once_for_each_kind_and_a_fault_costs_only_the_sentence(few: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(few, tmp_path))
    known = Registry.of(SimpleNamespace(ebayes_analyses=hookimpl(lambda: [Says])))
    with h5py.File(copy, "r+") as file:
        del file["analyses/importance"], file["analyses/tradeoff"]
    told = {"says": "It rains.", "says-2": "It pours.", "says-3": "raise"}
    for name, words in told.items():
        analysis = Says(words=words)
        add_analyses(copy, {name: {**analysis.measure(None), "_options": analysis.model_dump_json()}})
    assert findings.headlines(copy, known) == (["It rains."], [])
    with h5py.File(copy, "r+") as file:
        del file["analyses/says"], file["analyses/says-2"]
    found, (problem,) = findings.headlines(copy, known)
    assert found == [] and problem.startswith("says-3: no headline: ") and problem.count("broken") == 1


def judged(**changed: object) -> optimality.Verdict:
    no, yes = np.zeros(2, bool), np.ones(2, bool)
    plain = {name: no for name in ("ended", "done", "below", "above", "unsure", "moving", "stuck", "unmet", "unequal")}
    return optimality.Verdict(**{**plain, "noisy": yes, "balances": np.array([[0.5, 2.0]] * 2), "flat": no, **changed})


@pytest.mark.parametrize(
    "found, start",
    [
        (judged(done=np.ones(2, bool)), "All 2 noisy networks are at their optimal sigma"),
        (judged(below=np.ones(2, bool)), "None of 2 noisy networks is at its optimal sigma: B, which is 1 there, is"),
        (judged(done=np.array([1, 0], bool), above=np.array([0, 1], bool)), "1 of 2 noisy networks is at its optimal"),
        (judged(noisy=np.zeros(2, bool)), "No network has noise and finished training"),
        (judged(noisy=np.array([1, 0], bool), below=np.array([1, 0], bool), ended=np.array([0, 1], bool)),
         "The noisy network is not at its optimal sigma"),
    ],
)  # fmt: skip
def test_whether_this_is_the_optimum(few: Path, found: optimality.Verdict, start: str) -> None:
    with Run(few) as run:
        sentence = optimality.optimum(run, found)
    assert sentence.startswith(start)
    assert ("1 network diverged" in sentence) == bool(found.ended.any())
    assert ("train longer" in sentence) == bool((found.noisy & ~found.done).any())


@pytest.mark.parametrize(
    "found, advice, options",
    [
        (judged(done=np.ones(2, bool)), "nothing, sigma is at its optimum", []),
        (judged(noisy=np.zeros(2, bool)), "nothing, no network has noise", []),
        (judged(below=np.ones(2, bool)), "to train longer", ["training.epochs", "training.sigma"]),
        (judged(done=np.ones(2, bool), unsure=np.ones(4, bool)), "more precisely", ["measurement.balance_passes"]),
        (judged(noisy=np.zeros(2, bool), ended=np.ones(2, bool)), "lower optimizer.learning_rate", []),
    ],
)
def test_the_convergence_report_ends_with_what_to_do(
    few: Path, found: optimality.Verdict, advice: str, options: list[str]
) -> None:
    with Run(few) as run:
        *_, last = optimality.verdicts(run, found)
    assert last.startswith("what to do next:") and advice in last
    assert re.findall(r"--set\N{NO-BREAK SPACE}([\w.]+)=[a-z0-9_]+", last) == options


def test_what_the_sweep_sets_is_changed_in_the_sweep(few: Path) -> None:
    with Run(few) as run:
        assert optimality._option(run, "cost.c", 1) == "change cost.c in [sweep]"


def test_of_many_networks_there_is_a_summary(many: Path, capsys) -> None:
    text = said(capsys, "show", many)
    assert len(text.splitlines()) < 60
    with Run(many) as run:
        accuracy, seeds = run.metric("accuracy_sample"), run.seeds
        c = run.swept["cost.c"]
        table = summary.extremes(run)
    row = dict(zip((c.heading for c in table.columns), table.rows[0], strict=True))
    assert [row["smallest"], row["median"], row["largest"]] == [
        f"{value:.3g}" for value in (accuracy.min(), np.median(accuracy), accuracy.max())
    ]
    for name, at in (("smallest in", accuracy.argmin()), ("largest in", accuracy.argmax())):
        assert row[name] == f"c={c[at]:.3g}, seed={seeds[at]}"
    assert "c: 12 values, 0.0001 to 1" in text and "seed: 0, 1" in text and "--all" in text


def test_all_of_many_on_request(many: Path, capsys) -> None:
    with Run(many) as run:
        wanted = [f"{value:.3g}" for value in run.metric("accuracy_sample")]
    lines = said(capsys, "show", many, "--all").splitlines()
    shown = [line.split()[2] for line in lines if re.fullmatch(r"[\d.e-]+ +[01] +0\.\d+ .*", line.strip())]
    assert shown == wanted
    few, every = (said(capsys, "show", many, "--convergence", *how) for how in ([], ["--all"]))
    assert "... and 4 more (--all" in few and "more (--all" not in every
    assert len(every.splitlines()) == len(few.splitlines()) + 24 - SHOWN - 1


def test_those_that_ended_early_are_counted_and_not_in_the_extremes(many: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(many, tmp_path))
    with h5py.File(copy, "r+") as file:
        worst = int(file["members/accuracy_sample"][()].argmin())
        texts = file["members/status"].asstr()[()]
        texts[[worst, *(i for i in range(8) if i != worst)]] = "diverged at step 7"
        file["members/status"][...] = texts
    with Run(copy) as run:
        ended = int((texts != "done").sum())
        assert summary.swept(run)[-1] == f"status: {24 - ended} done, {ended} diverged"
        shown, rounding = float(summary.extremes(run).rows[0][1]), 1e-3
        assert shown >= run.metric("accuracy_sample")[worst] * (1 - rounding)
        lines = optimality.verdicts(run)
        assert sum("its values are those from then" in line for line in lines) == optimality.NAMED
        assert f"{ended - optimality.NAMED} networks more diverged (see their status with --all)" in lines
        assert tables.member_listing(run).columns[2].heading == "status"


def test_csv_has_every_number_with_every_digit(few: Path, capsys) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, "show", few, "--csv"))))
    with Run(few) as run:
        assert [int(row["seed"]) for row in rows] == run.seeds.tolist()
        for name in run.metrics:
            found = [float(row[name] or "nan") for row in rows]
            np.testing.assert_array_equal(found, run.metric(name))
        for name in run.layer_metrics:
            found = [[float(row[f"{name}.{layer}"] or "nan") for layer in (1, 2)] for row in rows]
            np.testing.assert_array_equal(found, run.layer_metric(name))
    rows = list(csv.DictReader(io.StringIO(said(capsys, "show", few, "--csv", "--analysis", "importance"))))
    with Run(few) as run:
        np.testing.assert_array_equal([float(row["slope"]) for row in rows], run.analysis("importance")["slope"])
    assert status("show", few, "--csv", "--statistics") == 2
    assert "--analysis: importance, tradeoff" in capsys.readouterr().err
    assert status("show", few, "--analysis", "none") == 2


def test_wide_shows_every_column(few: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert "columns that do not fit" in said(capsys, "show", few)
    text = said(capsys, "show", few, "--wide")
    assert "do not fit" not in text and max(map(len, text.splitlines())) > 60


def test_progress_shows_the_time_left_at_any_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a terminal of 60 columns shows it; what matters less is dropped before it."""
    from ebayes_core.spec import loads
    from ebayes_core.sweeps import progress
    from ebayes_core.sweeps.run import run

    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    for width in (40, 60, 80):
        console = Console(file=io.StringIO(), force_terminal=True, width=width, markup=False, highlight=False)
        registry = Registry.load()
        experiment = loads(SPEC, registry, [FEW, "analysis=[]", "training.epochs=4"])
        shown = progress.watcher(console)
        tick = shown.tick

        def look(cohort, state, tick=tick, shown=shown):
            tick(cohort, state)
            shown.progress.refresh()

        shown.tick = look
        with shown:
            run(experiment, SPEC, registry, tmp_path / f"{width}.h5", Options("cpu", False, watcher=shown))
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
        assert re.search(r"\d:\d\d:\d\d left epoch \d/4", text), width
        assert "…" not in text and "nll" in text
        assert ("magnitude" in text) == (width == 80)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep's folder with one of two networks done, and nothing gathered."""
    folder = tmp_path / "some.sweep"
    (tmp_path / "tiny.toml").write_text(SPEC)
    how = ["--set", FEW, "--set", "seeds=[0]", "--device", "cpu"]
    assert status("run", "tiny.toml", "--out", f"{folder}/", "--workers", "0", "--cohort", "1", *how) == 0
    finish(folder)
    return folder


def finish(folder: Path) -> None:
    """Train one more item."""
    item, _ = Folder(folder).left()[0]
    work(Folder(folder), Registry.load(), Options("cpu", compile=False, only=item.name))


def test_a_sweeps_folder_means_its_results(sweep: Path, capsys) -> None:
    capsys.readouterr()
    assert status("show", sweep) == 0
    told = capsys.readouterr()
    assert "some.sweep/results.h5; 1 network not finished, see  ebayes status" in told.err
    assert "tiny: 1 network\n" in told.out
    before = (sweep / "results.h5").stat()
    assert status("show", sweep, "--json") == 0  # nothing new is done: nothing is gathered, and JSON is alone
    told = capsys.readouterr()
    assert told.err == "" and len(json.loads(told.out)["members"]) == 1
    assert (sweep / "results.h5").stat() == before
    finish(sweep)
    for command in ("verify", "claims", "draw", "report", "show"):
        capsys.readouterr()
        assert status(command, sweep) == 0, command
        told = capsys.readouterr()
        assert ("gathered the finished networks" in told.err) == (command == "verify")
    assert "tiny: 2 networks\n" in told.out
    assert Path("report/some.sweep.html").exists() and (sweep / "results" / "importance.png").exists()
    rows = json.loads(said(capsys, "claims", sweep, "--json"))
    assert {row["file"].split(":")[0] for row in rows} == {"some.sweep"}


@pytest.mark.parametrize("command", ["show", "draw", "report", "claims", "verify"])
def test_other_folders_are_refused_with_what_to_do(few: Path, tmp_path: Path, command: str, capsys) -> None:
    shutil.copy(few, tmp_path / "mine.h5")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "tiny.toml").write_text(SPEC)
    assert status("run", "tiny.toml", "--out", "begun/", "--workers", "0") == 0
    for path, words in (
        (tmp_path, f"but not a sweep's folder; give one of its results files: {tmp_path / 'mine.h5'}"),
        (Path("nothing"), "give a results file or a sweep's folder"),
        (Path("begun"), "no network is finished yet; see  ebayes status begun"),
    ):
        assert status(command, path) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "draw", "report", "claims"])
def test_a_run_that_is_not_finished_is_said_to_be(command: str, few: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "un.h5.partial").mkdir()
    for name in ("un.h5", "un.h5.partial"):
        assert status(command, name) == 2
        assert (
            "un.h5: is not finished. Run the command that started it again to continue from un.h5.partial"
            in capsys.readouterr().err
        )
    shutil.copy(few, tmp_path / "mine.h5")
    assert status(command, "mien.h5") == 2
    assert "mien.h5: no such file; did you mean 'mine.h5'?" in capsys.readouterr().err
