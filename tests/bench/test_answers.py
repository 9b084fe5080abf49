"""Time to an answer: the parts of a real run, and the estimate of one that is too long to be run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebayes_core.bench import answers
from ebayes_core.cli import stopwatch
from ebayes_core.cli.stopwatch import Stopwatch
from ebayes_core.sweeps.options import Watcher
from tests.cli.test_commands import SPEC, status


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    before, after = SPEC.split("[sweep]")
    (tmp_path / "tiny.toml").write_text(before + "[[analysis]]" + after.split("[[analysis]]")[1])
    return tmp_path / "tiny.toml"


def test_seconds_go_to_the_part_that_a_cohort_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def at(seconds):
        clock.now = seconds

    seen: list[str] = []

    class Shown(Watcher):
        def begin(self, *_):
            seen.append("begin")

        def tick(self, *_):
            seen.append("tick")

    cohort, watch = SimpleNamespace(training=SimpleNamespace(epochs=1)), Stopwatch(Shown())
    with watch:
        for start in (1, 101):  # two cohorts
            at(start)
            watch.begin(cohort, 0, 2, SimpleNamespace(epoch=0))
            for seconds, epoch in ((10, 0), (30, 0), (70, 1)):
                at(start + seconds)
                watch.tick(cohort, SimpleNamespace(epoch=epoch))
        at(200)
    assert watch.seconds == {"compile": 20, "train": 120, "measure": 30 + 29}
    assert seen == ["begin", "tick", "tick", "tick"] * 2


@pytest.mark.slow
def test_a_run_is_timed_by_parts(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("bench", spec, "--json", "--device", "cpu") == 0
    (found,) = json.loads(capsys.readouterr().out)["answers"]
    assert (found["networks"], found["steps"], found["estimated"]) == (1, 2 * 14, False)
    assert set(found["seconds"]) == set(answers.PARTS) and all(s > 0 for s in found["seconds"].values())
    assert found["total"] == pytest.approx(sum(found["seconds"].values()))


def test_an_estimate_is_marked_in_the_table_and_a_share_is_of_the_total() -> None:
    known = dict(zip(answers.PARTS, (1.0, 2.0, 3.0, 4.0, 10.0), strict=True))
    long = {**dict.fromkeys(answers.PARTS), "train": 3600.0}
    found = [answers.Answer("a.toml", 3, 9, known, False), answers.Answer("b.toml", 3, 9, long, True)]
    rows = list(zip(*(column.cells for column in answers.listing(found).columns), strict=True))
    assert rows[0] == ("a.toml", "3", "9", "20", "1.0 (5%)", "2.0 (10%)", "3.0 (15%)", "4.0 (20%)", "10.0 (50%)")
    assert rows[1] == ("b.toml", "3", "9", "~3600", "-", "-", "~3600.0", "-", "-")


def test_a_spec_without_its_data_costs_no_other(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = spec.with_name("lost.toml")
    lost.write_text(SPEC.replace('{ kind = "digits" }', '{ kind = "arrays", train = "nowhere.csv" }'))
    said: list[str] = []
    found = answers.answers([str(lost), str(spec)], 0, "cpu", said.append)
    assert [Path(a.spec).name for a in found] == ["tiny.toml"] and "nowhere.csv" in said[0]
