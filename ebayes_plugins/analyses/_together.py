"""Measured and simulated synapses on one set of axes, each in units of its median (Fig. 6, as its reviewers asked)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_core.wording import span, text
from ebayes_plugins.analyses._choices import CHANGE, INPUT, RATE, VARIABILITY, Choice, last
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._common import exponent, label
from ebayes_plugins.analyses._layout import counted, few_ticks, legend
from ebayes_plugins.analyses._regression import over_seeds, regress
from ebayes_plugins.analyses._titles import WIDTH, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
#: panel -> names of the axes in cortex, and of the horizontal one in networks
PANELS = {"a": (VARIABILITY, CHANGE, VARIABILITY), "b": (RATE, VARIABILITY, INPUT)}
LABELS = {
    "a": ("variability σ²/|μ| / median", "change |Δμ|/μ, or learning rate/|μ|, / median"),
    "b": ("presynaptic rate, or mean |input|, / median", "variability σ²/|μ| / median"),
}
SHARED = "In a both axes divide by |μ|, in cortex as in networks, which alone pulls slopes up."
SEEN = (1.0, 99.0)  #: percentiles of a network's synapses between which the axes end
MOST = 8  #: largest number of costs whose lines are drawn
CORTEX = "cortex"


def together(run: Run, choices: list[Choice], members: list[int], kept: Any) -> Arrays:
    """A row for cortex and for each cost in both panels, with the slope and its interval; points of the first network.

    Networks that differ in their seeds are one row, whose interval is over seeds. kept: at most as many points as are
    drawn.
    """
    found: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for panel, (x_name, y_name, simulated) in PANELS.items():
        measured = next(c for c in choices if (c.member, c.x_name, c.y_name) == (-1, x_name, y_name))
        chosen = {i: choices[last(choices, i, simulated)] for i in members}
        found += [{"panel": panel, **row} for row in _rows(run, measured, chosen)]
        for name, choice in ((CORTEX, measured), ("network", chosen[members[0]])):
            for axis, values in zip("xy", _scaled(choice), strict=True):
                arrays[f"together_{panel}_{name}_{axis}"] = kept(values)
    return arrays | {f"together_{name}": np.array([row[name] for row in found]) for name in found[0]}


def _scaled(choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """Both axes in units of their medians: then mV and weights compare, and no slope changes."""
    return choice.x / np.median(choice.x), choice.y / np.median(choice.y)


def _rows(run: Run, measured: Choice, chosen: dict[int, Choice]) -> Iterator[dict[str, Any]]:
    yield {"name": CORTEX, "rho": np.nan, "over": "synapses", **_fitted(measured)}
    groups: dict[str, list[int]] = {}
    for member in chosen:
        groups.setdefault(label(run, member, ("seed",)), []).append(member)
    for name, same in groups.items():
        fits = [_fitted(chosen[member]) for member in same]
        row = {"name": name, "rho": exponent(run.member_spec(same[0])), "over": "synapses", **fits[0]}
        if len(same) > 1:
            slope, half = over_seeds(np.array([fit["slope"] for fit in fits]))
            row |= {"slope": slope, "low": slope - half, "high": slope + half, "over": "seeds"}
        yield row


def _fitted(choice: Choice) -> dict[str, float]:
    """Slope and interval, and the point through which the line goes."""
    x, y = map(np.log, _scaled(choice))
    found = regress(x, y)
    line = {"x": float(x.mean()), "y": float(y.mean()), "from": float(x.min()), "to": float(x.max())}
    return {name: found[name] for name in ("n", "slope", "low", "high")} | line


def statistics(a: Arrays) -> Arrays:
    """The rows of cortex and of each cost, with what their intervals are over."""
    axes = [PANELS[str(panel)] for panel in a["together_panel"]]
    rows = list(zip(a["together_name"], a["together_over"], axes, strict=True))
    names = {
        "source": [f"{name}, interval over {over}" for name, over, _ in rows],
        "x": [x if name == CORTEX else simulated for name, _, (x, _, simulated) in rows],
        "y": [y for _, _, (_, y, _) in rows], "scale": ["log"] * len(rows), "beside": [""] * len(rows),
    }  # fmt: skip
    numbers = {name: a[f"together_{name}"] for name in ("n", "slope", "low", "high")}
    unknown = {name: np.full(len(rows), np.nan) for name in ("r", "stderr", "p")}
    return {name: np.array(values) for name, values in names.items()} | numbers | unknown


def headline(a: Arrays) -> str:
    """Both slopes of cortex, each beside those of the networks."""
    parts = []
    for panel, (x, y, _) in PANELS.items():
        slopes, low, high = (a[f"together_{k}"][a["together_panel"] == panel] for k in ("slope", "low", "high"))
        cortex = f"{text(float(slopes[0]))} [{text(float(low[0]))}, {text(float(high[0]))}] in cortex"
        parts.append(f"{y} goes as {x} to the {cortex}, {span(slopes[1:])} in networks")
    return "; ".join(parts) + "."


def draw(a: Arrays, figure: Any, shown: str) -> None:
    """Draw the arrays that measure() returned; shown: the network whose synapses are the dots."""
    names = list(dict.fromkeys(a["together_name"][a["together_name"] != CORTEX].tolist()))
    drawn = spread(names, MOST)
    figure.set_size_inches(WIDTH, 4.4)
    for ax, panel in zip(figure.subplots(1, 2), PANELS, strict=True):
        _panel(ax, a, panel, drawn)
        x, y = LABELS[panel]
        ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y, **_limits(a, panel))
        few_ticks(ax)
    small(figure)
    over = " and ".join(dict.fromkeys(a["together_over"].tolist()))
    said = (
        f"Dark dots: cortex; small dots: network {shown}, 98% of its synapses; slopes with 95% intervals over {over}."
    )
    titled(figure, headline(a), said, SHARED, counted(costs=(len(drawn), len(names))))


def _panel(ax: Axes, a: Arrays, panel: str, drawn: list[str]) -> None:
    tones: dict[str, Any] = {**colours(a["together_name"], a["together_rho"]), CORTEX: "0.1"}
    first = a["together_name"][a["together_panel"] == panel][1]
    for name, key, size in ((str(first), "network", 2.5), (CORTEX, CORTEX, 5)):
        x, y = (a[f"together_{panel}_{key}_{axis}"] for axis in "xy")
        ax.plot(x, y, ".", color=tones[name], markersize=size, alpha=0.5, rasterized=True, markeredgewidth=0)
    lines = []
    for i in np.flatnonzero(a["together_panel"] == panel):
        if a["together_name"][i] in (CORTEX, *drawn):
            lines.append(_line(ax, {k[9:]: v[i] for k, v in a.items() if k in _columns(a)}, tones))
    ax.set_title(f"{panel}  {_finding(a, panel)}", fontsize=9, loc="left")
    legend(ax, lines, loc="best", fontsize=6.5)


def _limits(a: Arrays, panel: str) -> dict[str, tuple[float, float]]:
    """All of cortex, and most of a network, a few of whose synapses are decades away."""
    found = {}
    for axis in "xy":
        cortex, network = (np.log(a[f"together_{panel}_{name}_{axis}"]) for name in (CORTEX, "network"))
        ends = np.percentile(network, SEEN)
        low, high = min(cortex.min(), ends[0]), max(cortex.max(), ends[1])
        room = 0.05 * (high - low)
        found[f"{axis}lim"] = (float(np.exp(low - room)), float(np.exp(high + (5 if axis == "y" else 1) * room)))
    return found


def _columns(a: Arrays) -> set[str]:
    return {name for name in a if name.startswith("together_") and len(a[name]) == len(a["together_name"])}


def _line(ax: Axes, row: dict[str, Any], tones: dict[str, Any]) -> Any:
    ends = np.array([row["from"], row["to"]])
    words = f"{row['name']}: {row['slope']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    values = np.exp(row["y"] + row["slope"] * (ends - row["x"]))
    return ax.plot(np.exp(ends), values, color=tones[str(row["name"])], linewidth=1.6, label=words)[0]


def _finding(a: Arrays, panel: str) -> str:
    """How many costs have a slope within the interval of cortex."""
    here = a["together_panel"] == panel
    slopes, cortex = a["together_slope"][here], np.flatnonzero(here)[0]
    low, high = a["together_low"][cortex], a["together_high"][cortex]
    inside = int(((slopes[1:] >= low) & (slopes[1:] <= high)).sum())
    return f"{inside} of {len(slopes) - 1} costs have a slope within cortex's interval"
