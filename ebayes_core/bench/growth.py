"""Growth of time and memory of a step with the numbers of networks, synapses and examples, by architecture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ebayes_core.bench.architectures import CONVOLUTIONS
from ebayes_core.bench.bursts import WARM_UP, milliseconds
from ebayes_core.bench.engines import Population
from ebayes_core.bench.memory import RETURN_FREED, resident
from ebayes_core.bench.modules import IMAGES, SEQUENCES
from ebayes_core.bench.processes import fresh
from ebayes_core.bench.rows import Say, Step, reason
from ebayes_core.bench.setting import BATCH, Shape
from ebayes_core.report.figures import house_figure

Setting = dict[str, int | str]
#: Hidden widths of 784-h-h-10, for 1e4 to 1e7 synapses, and those of the other architectures.
WIDTHS = {"mlp": (12, 38, 116, 333, 1000, 2780), "convolution": (10, 40, 160, 640), "recurrence": (38, 150, 600, 1200)}
BATCHES = {"mlp": (1, 5, 20, 100, 500), "convolution": (1, 5, 20, 100), "recurrence": (1, 5, 20, 100)}
COUNTS = {"mlp": (1, 4, 16, 64, 256), "convolution": (1, 4, 16, 64), "recurrence": (1, 4, 16, 64)}
AXES: dict[str, list[Setting]] = {
    "networks": [{"kind": kind, "members": k} for kind, counts in COUNTS.items() for k in counts],
    "synapses": [{"kind": kind, "members": 4, "width": w} for kind, widths in WIDTHS.items() for w in widths],
    "batch size": [{"kind": kind, "members": 32, "batch_size": n} for kind, sizes in BATCHES.items() for n in sizes],
}
LOOKS = {"mlp": ("0.2", "o"), "convolution": ("C0", "s"), "recurrence": ("C1", "^")}
TAIL = 3  #: points in the fit: the largest ones, at which overheads are negligible


def grow(say: Say) -> dict[str, Any]:
    """The points of each axis, measured in separate processes, and the exponents of time and memory by architecture."""
    found: dict[str, Any] = {}
    for axis, settings in AXES.items():
        points = [_point(axis, setting, say) for setting in settings]
        found[axis] = {"points": points, "exponents": {kind: _exponents(points, kind) for kind in LOOKS}}
    return found


def _exponents(points: list[dict[str, Any]], kind: str) -> dict[str, float | None]:
    whole = _measured(points, kind)
    return {what: exponent([p["x"] for p in whole], [p[what] for p in whole]) for what in ("ms", "megabytes")}


def _measured(points: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The points of an architecture that did not fail."""
    return [p for p in points if p["kind"] == kind and "problem" not in p]


def _point(axis: str, setting: Setting, say: Say) -> dict[str, Any]:
    say(f"growth: {axis}, {setting}")
    try:
        return {**fresh(point, axis, setting, **RETURN_FREED), **setting}
    except Exception as error:
        return {**setting, "problem": reason(error)}


def population(setting: dict[str, Any]) -> Population:
    """The population of a setting."""
    size, members = setting.get("batch_size", BATCH), setting["members"]
    if setting["kind"] == "convolution":
        network = CONVOLUTIONS | {"hidden": [setting.get("width", 40)]}
        return Population(members, network=network, example=IMAGES, batch_size=size)
    if setting["kind"] == "recurrence":
        network = {"kind": "recurrent", "hidden": setting.get("width", 150), "noise": "frozen"}
        return Population(members, network=network, example=SEQUENCES, batch_size=size)
    return Population(members, Shape(784, (setting.get("width", 100),) * 2), batch_size=size)


def point(axis: str, setting: dict[str, Any]) -> dict[str, float]:
    """Milliseconds and megabytes of a step of the whole cohort."""
    grown = population(setting)
    synapses = sum(replace(grown, members=1, compile=False).cohort().sizes)
    _ready(population({"kind": setting["kind"], "members": 1, "width": 2}))  # data and compiler are not counted
    before = resident()
    step = _ready(grown)
    ms = float(np.median([milliseconds(step, 0.3) for _ in range(5)]))
    x = {"networks": grown.members, "synapses": synapses, "batch size": grown.batch_size}[axis]
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
    """Draw both panels of an axis: the points of each architecture, with the fitted exponent in the legend."""
    for panel, what in zip(panels, ("ms", "megabytes"), strict=True):
        for kind, (color, marker) in LOOKS.items():
            points = [p for p in _measured(part["points"], kind) if p[what] > 0]
            slope = part["exponents"][kind][what]
            label = kind if slope is None else f"{kind}, {slope:.2f}"
            if points:
                x, y = [p["x"] for p in points], [p[what] for p in points]
                panel.loglog(x, y, marker + "-", color=color, label=label)
        panel.legend(fontsize=6, title="exponent", title_fontsize=6)
    panels[-1].set_xlabel(axis)
