"""A figure of any size can be saved, costs no other, and is called too large."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, hookimpl
from ebayes_core.report import figures, page
from ebayes_core.report.canvas import LARGEST, fit, too_large
from ebayes_core.results.writer import add_analyses
from tests.cli.test_commands import SPEC, status


class Wide(Analysis):
    """A line in a figure of any size."""

    kind: Literal["wide"] = "wide"
    inches: tuple[float, float] = (6.0, 4.0)

    def measure(self, run):
        return {"x": np.arange(3.0)}

    def draw(self, arrays, figure):
        figure.set_size_inches(self.inches)
        figure.subplots().plot(arrays["x"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run with figures of three sizes: wider than an image can be, higher than the largest, and small."""
    (tmp_path / "tiny.toml").write_text(SPEC)
    assert status("run", tmp_path / "tiny.toml", "--out", tmp_path / "tiny.h5", "--device", "cpu") == 0
    for name, inches in {"wide": (700.0, 4.0), "wide-2": (8.0, 20.0), "wide-3": (8.0, 6.0)}.items():
        analysis = Wide(inches=inches)
        add_analyses(tmp_path / "tiny.h5", {name: {**analysis.measure(None), "_options": analysis.model_dump_json()}})
    return tmp_path / "tiny.h5"


def test_a_third_party_figure_is_saved_however_large_and_costs_no_other(file: Path, tmp_path: Path) -> None:
    registry = Registry.of(SimpleNamespace(ebayes_analyses=hookimpl(lambda: [Wide])))
    pictures, problems = figures.draw(file, tmp_path / "out", registry)
    assert {picture.name for picture in pictures} >= {
        f"wide{n}.{form}" for n in ("", "-2", "-3") for form in figures.FORMATS
    }
    assert [problem.split(":")[0] for problem in problems] == ["wide", "wide-2"]
    assert "700 x 4 inches" in problems[0] and "12 x 16" in problems[0] and "spread" in problems[0]
    sizes = {name: Image.open(tmp_path / "out" / f"{name}.png").size for name in ("wide", "wide-2", "wide-3")}
    assert sizes == {"wide": (1800, 75), "wide-2": (960, 2400), "wide-3": (1200, 900)}
    assert not page.write(file, tmp_path / "tiny.html", registry)


@pytest.mark.parametrize("size, expected", [(LARGEST, 150), ((1, 1), 150), ((24, 16), 75), ((12, 64), 37.5)])
def test_a_picture_has_no_more_dots_a_side_than_the_largest(size: Any, expected: float) -> None:
    with figures.house_figure() as figure:
        figure.set_size_inches(size)
        assert fit(figure, 150) == pytest.approx(expected)
        assert bool(too_large(figure)) == (expected < 150)
