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
    (tmp_path / "tiny.toml").write_text(SPEC)
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


def test_a_run_is_timed_by_parts_or_estimated(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("bench", spec, "--json", "--device", "cpu") == 0
    (found,) = json.loads(capsys.readouterr().out)["answers"]
    assert (found["networks"], found["steps"], found["estimated"]) == (4, 2 * 2 * 14, False)
    assert set(found["seconds"]) == set(answers.PARTS) and all(s > 0 for s in found["seconds"].values())
    assert found["total"] == pytest.approx(sum(found["seconds"].values()))
    assert status("bench", spec, "--limit", 0, "--device", "cpu") == 0
    table = capsys.readouterr().out
    assert "~" in table and "total" in table


def test_a_spec_without_its_data_costs_no_other(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = spec.with_name("lost.toml")
    lost.write_text(SPEC.replace('{ kind = "digits" }', '{ kind = "arrays", train = "nowhere.csv" }'))
    said: list[str] = []
    found = answers.answers([str(lost), str(spec)], 0, "cpu", said.append)
    assert [Path(a.spec).name for a in found] == ["tiny.toml"] and "nowhere.csv" in said[0]
