"""Figures drawn in several processes are those drawn in one, in the same order, whatever becomes of the processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, hookimpl
from ebayes_core.report import figures, side_by_side
from ebayes_core.report.side_by_side import Helper, _shared
from ebayes_core.results.writer import add_analyses
from tests.cli.test_commands import SPEC, status


class Local(Analysis):
    """An analysis that only this process knows."""

    kind: Literal["local"] = "local"

    def measure(self, run):
        return {"x": np.arange(3.0)}

    def draw(self, arrays, figure):
        figure.subplots().plot(arrays["x"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two figures that can be drawn, and one that fails."""
    folder = tmp_path_factory.mktemp("file")
    (folder / "tiny.toml").write_text(f'{SPEC}\n[[analysis]]\nkind = "tradeoff"\n')
    assert status("run", folder / "tiny.toml", "--out", folder / "tiny.h5", "--device", "cpu") == 0
    options = figures.stored(folder / "tiny.h5", Registry.load())[0]["training"][0].model_dump_json()
    add_analyses(folder / "tiny.h5", {"training-2": {"_options": options}})
    return folder / "tiny.h5"


@pytest.fixture
def helper():
    found = Helper(())
    yield found
    found.end()


def test_figures_drawn_side_by_side_are_those_drawn_in_turn(file: Path, tmp_path: Path, helper: Helper) -> None:
    registry = Registry.load()
    ours, problems = figures.draw(file, tmp_path / "one", registry)
    share = lambda path, folder, names, here: _shared(names, lambda name: helper.draw(path, folder, name), [])
    theirs, same = figures.draw(file, tmp_path / "two", registry, share=share)
    assert [p.name for p in theirs] == [p.name for p in ours] and len(ours) == 4
    assert problems == same and "training-2: cannot be drawn" in problems[0]
    for a, b in zip(ours, theirs, strict=True):
        assert a.suffix == ".pdf" or np.array_equal(Image.open(a), Image.open(b))


def test_a_figure_that_a_helper_cannot_draw_is_drawn_here(file: Path, tmp_path: Path, helper: Helper) -> None:
    registry = Registry.of(SimpleNamespace(ebayes_analyses=hookimpl(lambda: [Local])))
    add_analyses(file, {"local": {**Local().measure(None), "_options": Local().model_dump_json()}})
    assert helper.draw(file, tmp_path, "local") is None
    pictures, _ = figures.draw(file, tmp_path, registry, "local", lambda path, folder, names, here: _shared(
        names, here, [lambda name: helper.draw(path, folder, name)]
    ))  # fmt: skip
    assert [p.name for p in pictures] == ["local.pdf", "local.png"]


def test_what_a_killed_helper_was_drawing_is_drawn_here(file: Path, tmp_path: Path, helper: Helper) -> None:
    os.kill(helper.process.pid, signal.SIGKILL)
    assert helper.draw(file, tmp_path, "training") is None


def test_each_figure_is_drawn_once_and_in_order() -> None:
    drawn: list[str] = []

    def one(name):
        drawn.append(name)
        return [Path(name)], []

    names = [f"{i}" for i in range(50)]
    assert [found[0][0].name for found in _shared(names, one, [one, one])] == names
    assert sorted(drawn) == sorted(names)
    assert [found[0][0].name for found in _shared(names, one, [lambda name: None])] == names


def test_a_helper_does_not_see_an_interrupt_and_ends_with_the_block(file: Path, tmp_path: Path, helper: Helper) -> None:
    assert os.getpgid(helper.process.pid) != os.getpgid(0)  # the terminal sends Ctrl-C to a group
    assert helper.draw(file, tmp_path, "tradeoff") is not None
    helper.pipe.close()
    assert helper.process.wait() == 0


@pytest.mark.parametrize("count, cores, helpers", [(0, 8, 0), (1, 8, 0), (3, 2, 1), (3, 8, 2), (9, 16, 3), (5, 1, 0)])
def test_there_are_no_more_helpers_than_figures_and_cores(
    count: int, cores: int, helpers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(side_by_side, "_cores", lambda: cores)
    monkeypatch.setattr(side_by_side, "Helper", lambda without: begun.append(without) or SimpleNamespace(end=int))
    with side_by_side.sharing(count, ()):
        assert len(begun) == helpers
