"""The figure of changes: rules in columns, sweep points in rows; below, synapses in cortex and all slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._layout import counted, few_ticks, heading, note
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 4  #: rules side by side
#: what the slopes are of, as the last panel names it
NAMES = {
    "change": "|Δμ| on σ²",
    "relative": "|Δμ|/|μ| on σ²/|μ|",
    "equal": "|Δμ| on σ²\nat equal |μ|",
    "release": "|Δμ|/|μ| on p",
}
#: the axes of the panels of synapses in cortex: name of the regression, labels, divided by the mean
CORTEX = (("change", "σ² per site (mV²)", "|Δμ| per site (mV)", False), ("relative", "σ²/μ (mV)", "|Δμ|/μ", True))


def draw(arrays: Arrays, figure: Figure, layer: int, rows: int) -> None:
    """At most `rows` sweep points, each by its first seed."""
    shown = _panels(arrays, layer)
    points = list(dict.fromkeys(key for key, _ in shown))
    some = spread(points, rows)
    axes, rules = page(figure, len(some) + 1, WIDE, 1.75), list(dict.fromkeys(arrays["rule"].tolist()))
    for (row, point), (column, rule) in ((r, c) for r in enumerate(some) for c in enumerate(rules)):
        _synapses(axes[row, column], arrays, shown[point, rule], f"C{column}")
        _named(axes[row, column], point, rule, row, column)
    for ax, about in zip(axes[-1], CORTEX, strict=False):
        _cortex(ax, arrays, *about)
    _slopes(_joined(figure, axes[-1, len(CORTEX) :]), arrays, rules, layer)
    small(figure)
    finding, *words = _title(arrays, rules, layer)
    handles = figure.axes[-1].get_legend_handles_labels()[0]
    key(figure, handles, *words, counted(**{"sweep points": (len(some), len(points))}), ncols=len(rules) + 1)
    titled(figure, finding)


def _panels(a: Arrays, layer: int) -> dict[tuple[str, str], int]:
    """(sweep point, rule) -> the row of its first seed, in the layer that is drawn."""
    found: dict[tuple[str, str], int] = {}
    for i in _drawn(a, layer):
        found.setdefault((str(a["point"][i]).rpartition(", layer")[0], str(a["rule"][i])), int(i))
    return found


def _drawn(a: Arrays, layer: int) -> np.ndarray:
    return np.flatnonzero(a["layer"] == np.minimum(layer, a["layers"]))


def _title(a: Arrays, rules: list[str], layer: int) -> list[str]:
    """Which rules have slopes at equal mean that lie within the interval of those in cortex."""
    mine, within = _drawn(a, layer), []
    low, slope, high = (float(a[f"cortex_equal_{name}"][0]) for name in ("low", "slope", "high"))
    for rule in rules:
        slopes = a["equal_slope"][mine][a["rule"][mine] == rule]
        within.append(f"{rule} {((slopes >= low) & (slopes <= high)).sum()} of {len(slopes)}")
    return [
        f"At equal mean, change goes as σ² to the {slope:.2f} ({low:.2f} to {high:.2f}) in cortex; layers of "
        f"networks within this interval: {', '.join(within)}",
        "Means go on for a few minibatches under each rule, with sigma held. Red: fit; dashed: slope of theory at "
        "equal mean; brackets and ±: 95% intervals over synapses, bars over seeds. Cortex: "
        f"{len(a['cortex_variance'])} synapses before and after plasticity; p: release probability.",
    ]


def _synapses(ax: Axes, a: Arrays, panel: int, tone: str) -> None:
    """The synapses of a network under one rule, the fit to all of them, and the predicted slope."""
    x, y = a["variance"][panel], a["moved"][panel]
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if not len(x):
        note(ax, "no synapse moved")
        return
    ax.plot(x, y, ".", color=tone, markersize=2, alpha=0.4, rasterized=True)
    _lines(ax, x, y, {"-": a["change_slope"][panel], "--": a["predicted"][panel]})
    low, slope, high = (a[f"change_{name}"][panel] for name in ("low", "slope", "high"))
    _scaled(ax, x, y)
    predicted = round(float(a["predicted"][panel]), 2) + 0.0  # not -0.00
    equal = f"at equal |μ| {a['equal_slope'][panel]:.2f}\ntheory {predicted:.2f}"
    note(ax, f"slope {slope:.2f} ± {(high - low) / 2:.1g}\n{equal}", 6)


def _lines(ax: Axes, x: np.ndarray, y: np.ndarray, slopes: dict[str, float]) -> None:
    """Lines of these slopes on logarithmic axes through the middle of the points."""
    ends = np.log(np.quantile(x, [0.005, 0.995]))
    for style, slope in slopes.items():
        line = np.log(y).mean() + slope * (ends - np.log(x).mean())
        ax.plot(np.exp(ends), np.exp(line), style, color="tab:red" if style == "-" else "0.1", linewidth=1.2)


def _scaled(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Logarithmic axes over the central 99% of the points, with room for the numbers below them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    (left, right), (low, high) = (np.log(np.quantile(v, [0.005, 0.995])) for v in (x, y))
    wide, tall = max(right - left, 0.1), max(high - low, 0.1)
    ax.set(xscale="log", yscale="log", xlim=np.exp([left - 0.05 * wide, right + 0.05 * wide]))
    ax.set_ylim(*np.exp([low - 0.75 * tall, high + 0.1 * tall]))
    if right - left < np.log(20):  # otherwise powers of ten are enough
        few_ticks(ax)
    for axis, ends in ((ax.xaxis, right - left), (ax.yaxis, high - low)):
        axis.set_minor_formatter(NullFormatter())
        if ends < np.log(20):
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))


def _named(ax: Axes, point: str, rule: str, row: int, column: int) -> None:
    ax.set_xlabel("σ² (weight²)")
    if not row:
        ax.set_title(rule)
    if not column:
        ax.set_ylabel(f"{heading(point, 22)}\n|Δμ| (weight)")


def _cortex(ax: Axes, a: Arrays, axes: str, x_name: str, y_name: str, relative: bool) -> None:
    """Synapses in cortex, with the fit."""
    by = a["cortex_size"] if relative else 1.0
    x, y = a["cortex_variance"] / by, a["cortex_moved"] / by
    ax.plot(x, y, ".", color="0.2", markersize=5)
    low, slope, high, r = (float(a[f"cortex_{axes}_{name}"][0]) for name in ("low", "slope", "high", "r"))
    _lines(ax, x, y, {"-": slope})
    _scaled(ax, x, y)
    ax.set(xlabel=x_name, ylabel=y_name)
    ax.set_title(f"cortex, n = {len(x)}, r = {r:.2f}")
    note(ax, f"slope {slope:.2f} ({low:.2f} to {high:.2f})", 6)


def _joined(figure: Figure, axes: np.ndarray) -> Axes:
    """One wide panel in place of several."""
    places = axes[0].get_subplotspec().get_gridspec()
    for ax in axes:
        figure.delaxes(ax)
    return figure.add_subplot(places[-1, -len(axes) :])


def _slopes(ax: Axes, a: Arrays, rules: list[str], layer: int) -> None:
    """For each choice of axes, the interval in cortex as a band, and the slopes of the networks as marks."""
    for place, axes in enumerate(NAMES):
        low, slope, high = (float(a[f"cortex_{axes}_{name}"][0]) for name in ("low", "slope", "high"))
        known: dict[str, Any] = {"label": "cortex, 95%"} if not place else {}
        ax.fill_betweenx([-place - 0.42, -place + 0.42], low, high, color="0.85", linewidth=0, **known)
        ax.plot([slope, slope], [-place - 0.42, -place + 0.42], color="0.4", linewidth=1.2)
        for number, rule in enumerate(rules):
            known = {"label": rule} if not place else {}
            _marks(ax, a, _drawn(a, layer), rule, axes, -place + 0.3 - 0.2 * number, color=f"C{number}", **known)
    ax.set(yticks=[-i for i in range(len(NAMES))], yticklabels=NAMES.values(), xlabel="slope of the logarithms")
    ax.axvline(0, color="0.6", linewidth=0.8, linestyle=":")
    layers = sorted(set(a["layer"][_drawn(a, layer)].tolist()))
    ax.set_title(f"slopes, layer {' or '.join(map(str, layers))} of each network")
    ax.yaxis.tick_right()


def _marks(ax: Axes, a: Arrays, mine: np.ndarray, rule: str, axes: str, place: float, **look: Any) -> None:
    """The mean over the seeds of each sweep point under one rule, with its interval."""
    mine = mine[a["rule"][mine] == rule]
    _, first = np.unique(a["point"][mine], return_index=True)
    at, half = (a[f"{axes}_{name}"][mine[first]] for name in ("mean", "over_seeds"))
    ax.errorbar(at, np.full(len(at), place), xerr=half, fmt="o", markersize=3.5, elinewidth=1, **look)
