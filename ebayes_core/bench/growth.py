"""Growth of time and memory of a step with the numbers of networks, synapses and examples per batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ebayes_core.bench.bursts import WARM_UP, milliseconds
from ebayes_core.bench.engines import Population
from ebayes_core.bench.memory import RETURN_FREED, resident
from ebayes_core.bench.processes import fresh
from ebayes_core.bench.rows import Say, Step, reason
from ebayes_core.bench.setting import BATCH, Shape
from ebayes_core.report.figures import house_figure

#: Hidden widths of 784-h-h-10, for 1e4 to 1e7 synapses.
WIDTHS = (12, 38, 116, 333, 1000, 2780)
AXES: dict[str, list[dict[str, int]]] = {
    "networks": [{"members": k} for k in (1, 4, 16, 64, 256)],
    "synapses": [{"members": 4, "width": width} for width in WIDTHS],
    "batch size": [{"members": 32, "batch_size": size} for size in (1, 5, 20, 100, 500)],
}
TAIL = 3  #: points in the fit: the largest ones, at which overheads are negligible


def grow(say: Say) -> dict[str, Any]:
    """The points of each axis, measured in separate processes, and the exponents of time and memory."""
    found: dict[str, Any] = {}
    for axis, settings in AXES.items():
        points = [_point(axis, setting, say) for setting in settings]
        whole = [p for p in points if "problem" not in p]
        exponents = {what: exponent([p["x"] for p in whole], [p[what] for p in whole]) for what in ("ms", "megabytes")}
        found[axis] = {"points": points, "exponents": exponents}
    return found


def _point(axis: str, setting: dict[str, int], say: Say) -> dict[str, Any]:
    say(f"growth: {axis}, {setting}")
    try:
        return {**fresh(point, axis, setting, **RETURN_FREED), **setting}
    except Exception as error:
        return {**setting, "problem": reason(error)}


def point(axis: str, setting: dict[str, int]) -> dict[str, float]:
    """Milliseconds and megabytes of a step of the whole cohort."""
    shape = Shape(784, (setting.get("width", 100),) * 2)
    population = Population(setting["members"], shape, batch_size=setting.get("batch_size", BATCH))
    _ready(Population(1, Shape(shape.inputs, (2,))))  # so that the data and the compiler are not counted
    before = resident()
    step = _ready(population)
    ms = float(np.median([milliseconds(step, 0.3) for _ in range(5)]))
    x = {"networks": population.members, "synapses": shape.synapses, "batch size": population.batch_size}[axis]
    return {"x": x, "ms": ms, "megabytes": (resident() - before) / 1e6}


def _ready(population: Population) -> Step:
    """The training step of a population, compiled and warmed up."""
    step = population()
    for _ in range(WARM_UP):
        step()
    return step


def exponent(x: list[float], y: list[float]) -> float | None:
    """Slope of log y against log x over the largest points; None if there are too few."""
    if len(x) < 2 or min(y) <= 0:
        return None
    slope, _ = np.polyfit(np.log(x[-TAIL:]), np.log(y[-TAIL:]), 1)
    return float(slope)


def draw(found: dict[str, Any], target: Path) -> None:
    """Draw time above memory, with one column of panels per axis."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with house_figure() as figure:
        figure.set_size_inches(7.5, 4.5)
        panels = figure.subplots(2, len(found), sharex="col")
        for column, (axis, part) in enumerate(found.items()):
            _draw_axis(panels[:, column], axis, part)
        panels[0, 0].set_ylabel("ms per step")
        panels[1, 0].set_ylabel("memory (MB)")
        figure.savefig(target)


def _draw_axis(panels: Any, axis: str, part: dict[str, Any]) -> None:
    """Draw both panels of an axis: the points, with the fitted exponent as title."""
    points = [p for p in part["points"] if "problem" not in p]
    for panel, what in zip(panels, ("ms", "megabytes"), strict=True):
        y = [p[what] for p in points]
        panel.loglog([p["x"] for p in points], y, "o-", color="0.2")
        panel.set_ylim(min(y) / 2, 2 * max(y))  # at least half a decade, so that constant values look constant
        slope = part["exponents"][what]
        panel.set_title("" if slope is None else f"exponent {slope:.2f} (largest {TAIL})")
    panels[-1].set_xlabel(axis)
