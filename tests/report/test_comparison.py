"""Runs beside each other: what differs, medians, and how far equal networks differ, against plain computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ebayes
from ebayes_core.errors import UserError
from ebayes_core.results.differences import differing
from tests.cli.test_commands import status

SPEC = """
name = "tiny"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [4] }
training = { epochs = 1, batch_size = 100 }
[sweep]
"cost.c" = [0.001, 0.1, 1.0]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("comparison")
    changes = {"a": {}, "b": {"seeds": [1], "training.epochs": 2}, "c": {"noise.kind": "homogeneous"}}
    paths = {name: folder / f"{name}.h5" for name in changes}
    for name, path in paths.items():
        ebayes.run(SPEC, set=changes[name], out=path, progress=False)
    return paths


def test_differences_are_those_of_the_specs(files: dict[str, Path]) -> None:
    found = ebayes.compare(files["a"], files["b"], files["c"])
    assert found.names == ["a", "b", "c"]
    table = found.differences
    assert list(table.loc["training.epochs"]) == [1, 2, 1] and list(table.loc["seeds"]) == [[0], [1], [0]]
    assert [noise["kind"] for noise in table.loc["noise"]] == ["heterogeneous"] * 2 + ["homogeneous"]
    assert "cost.c" not in table.index and "sweep" not in table.index


def test_members_and_medians_are_those_of_the_files(files: dict[str, Path]) -> None:
    runs = [ebayes.open(files[name]) for name in "abc"]
    found = ebayes.compare(*runs)
    assert list(found.members["run"]) == list("aaabbbccc") and list(found.members["member"]) == [0, 1, 2] * 3
    assert list(found.members["cost.c"]) == [0.001, 0.1, 1.0] * 3
    for name, run in zip("abc", runs, strict=True):
        assert found.numbers.loc["sigma_median", name] == np.median(run.metric("sigma_median"))
    assert found.numbers.iloc[:, -1].isna().all(), "no network is in all three runs"


def test_equal_networks_are_compared_one_by_one(files: dict[str, Path], tmp_path: Path) -> None:
    twin = tmp_path / "a.h5"
    ebayes.run(SPEC, set={"cost.c": 1.0, "sweep": {"cost.c": [0.1, 1.0]}}, out=twin, progress=False)
    found = ebayes.compare(files["a"], twin)
    assert found.names == ["a (1)", "a (2)"]
    a, b = (run.metric("accuracy_sample") for run in found.runs)
    expected = (np.abs(a[1:] - b) / np.maximum(np.abs(a[1:]), np.abs(b))).max()
    assert found.numbers.loc["accuracy_sample"].iloc[-1] == pytest.approx(expected)


def test_the_figure_shows_every_network(files: dict[str, Path]) -> None:
    found = ebayes.compare(files["a"], files["b"])
    figure = found.figure("sigma_median", "accuracy_mean")
    panel = figure.axes[0]
    assert panel.get_xlabel() == "cost.c" and panel.get_xscale() == "log"
    (dots,) = [line for line in panel.lines if line.get_label() == "b"]
    np.testing.assert_array_equal(dots.get_ydata(), found.runs[1].metric("sigma_median"))
    assert found.figure(x="run").axes[0].get_xlabel() == "run"
    with pytest.raises(UserError, match="the networks have no 'sigma_medain'; did you mean 'sigma_median'"):
        found.figure("sigma_medain")
    with pytest.raises(UserError, match="name at least two runs"):
        ebayes.compare(files["a"])


def test_the_command_writes_a_page(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("report", files["a"], files["b"], "--compare", "--out", tmp_path) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "training.epochs" in page and "data:image/svg+xml" in page and "<script" not in page


def test_tables_of_other_kinds_differ_as_a_whole() -> None:
    a = {"cost": {"kind": "x", "c": 1}, "data": {"kind": "f", "folder": "/a", "digest": "1"}, "seed": 1}
    b = {"cost": {"kind": "x", "c": 2, "s": 3}, "data": {"kind": "f", "folder": "/b", "digest": "1"}, "seed": 2}
    assert differing([a, b], ignored=("seed",)) == {"cost.c": [1, 2], "cost.s": [None, 3]}
    b["cost"] = {"kind": "y"}
    assert differing([a, b]) == {"cost": [a["cost"], b["cost"]], "seed": [1, 2]}
    assert differing([a]) == {}
