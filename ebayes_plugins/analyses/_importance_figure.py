"""Figures 5 and of Appendices 5 and 6: sigma^2 of all synapses against their importance, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._importance_claims import Arrays
from ebayes_plugins.analyses._layout import ROWS, blocks, counted, heading, note
from ebayes_plugins.analyses._regression import running_quantiles
from ebayes_plugins.analyses._titles import NOTES, key, page, small, titled, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Places = dict[tuple[int, int], int]  #: (row, column) of the figure -> index of its panel in the arrays
NAMES = {
    "learning_rate_rms": "learning rate", "learning_rate_authors": "learning rate (authors')",
    "input_abs": "mean |input|", "input_square": "mean input^2",
}  # fmt: skip
#: What is on the horizontal axis, in words.
MEANINGS = {
    "gauss_newton": "curvature of the loss (Gauss-Newton)", "fisher_true": "curvature of the loss (Fisher information)",
    "fisher_empirical": "mean squared gradient of the loss (empirical Fisher)",
    "learning_rate_rms": "learning rate, inversely proportional to the root mean square of the gradient",
    "learning_rate_authors": "learning rate, inversely proportional to the mean absolute gradient (authors' code)",
    "input_abs": "mean absolute input of the synapse", "input_square": "mean squared input of the synapse",
}  # fmt: skip
AT = {
    "_noise": ", averaged over the noise", "_mean": ", at the mean weights",
    "_test": ", of test examples, averaged over the noise",
}  # fmt: skip
WIDE = 4  #: networks side by side: with five, the numbers in a panel do not fit


def draw(arrays: Arrays, figure: Figure, estimator: str, columns: int, finding: str) -> None:
    """Layers in rows, at most `columns` networks in columns."""
    panels = _places(arrays, columns)
    rows, wide = (1 + max(at) for at in zip(*panels, strict=True))
    axes, named = page(figure, rows, wide, 1.55), arrays.get("mechanism", arrays["label"])
    tones = colours(named, arrays["rho"])
    for place, ax in np.ndenumerate(axes):
        if place in panels:
            _scatter(ax, arrays, panels[place], tones[str(named[panels[place]])])
        else:  # the networks of a sweep may differ in depth
            figure.delaxes(ax)
    curvature = "log$_{10}$ curvature (nat / weight$^2$)"
    _name(axes, arrays, panels, f"log$_{{10}}$ {typeset(NAMES[estimator])}" if estimator in NAMES else curvature)
    small(figure)
    handles = max((axes[place].get_legend_handles_labels()[0] for place in panels), key=len)
    words = (*_notes(arrays, estimator), _left_out(arrays, list(panels.values())))
    key(figure, handles, *words, ncols=4 if wide > 1 else 2, columnspacing=1.0)
    titled(figure, finding)


def _places(arrays: Arrays, columns: int) -> Places:
    """Layers below each other, networks side by side, in as many rows as there is room for."""
    layers = spread(sorted(set(arrays["layer"].tolist())), ROWS)
    networks = spread(_first_seeds(arrays), columns)
    shown, wide = blocks(networks, len(layers), WIDE)
    found = {}
    for panel, (member, layer) in enumerate(zip(arrays["member"].tolist(), arrays["layer"].tolist(), strict=True)):
        if member in shown and layer in layers:
            line, column = divmod(shown.index(member), wide)
            found[line * len(layers) + layers.index(layer), column] = panel
    return found


def meaning(estimator: str) -> str:
    """What an estimator measures, in words."""
    name, at = next(
        ((estimator.removesuffix(end), words) for end, words in AT.items() if estimator.endswith(end)), ("", "")
    )
    return MEANINGS[name or estimator] + at


def _notes(arrays: Arrays, estimator: str) -> list[str]:
    """What is on the axes, what the numbers are, and how many networks are not there."""
    per = "" if estimator in NAMES else ", per example"
    over = (
        "over synapses, and over seeds where there are several"
        if (arrays["point_seeds"] > 1).any()
        else "over synapses"
    )
    skipped = arrays["skipped"][0]
    return [
        f"Horizontal: {meaning(estimator)}{per}; right-hand scale: σ² relative to the layer's mean squared weight.",
        f"Slope ± 95% interval {over}, and slope at the optimum; r: rank correlation; n: synapses + flat ones, left "
        "out; B: balance, 1 at the optimum. Axes span the central 99% of the synapses.",
        f"Networks left out (diverged, all sigma equal, or not measured): {skipped}." if skipped else "",
    ]


def _left_out(arrays: Arrays, panels: list[int]) -> str:
    """How many of the networks and layers are shown."""
    there = {"networks": "member", "layers": "layer"}
    count = lambda values: len(set(values.tolist()))
    return counted(**{what: (count(arrays[name][panels]), count(arrays[name])) for what, name in there.items()})


def _first_seeds(arrays: Arrays) -> list[int]:
    """The first network of each sweep point."""
    first: dict[str, int] = {}
    for point, member in zip(arrays["point"].tolist(), arrays["member"].tolist(), strict=True):
        first.setdefault(point.rpartition(",")[0], member)  # without the layer
    return list(first.values())


def _scatter(ax: Axes, arrays: Arrays, panel: int, tone: Any) -> None:
    """One panel: the density of synapses, their running median, the fit, and the optimum."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    x, y = arrays["x"][panel], arrays["y"][panel]
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if len(x):
        faint = LinearSegmentedColormap.from_list("", [[*to_rgb(tone), 0.25], [0.25 * part for part in to_rgb(tone)]])
        ax.plot([], [], color=tone, linestyle="", marker="h", label="synapses (darker: more)")
        ends, line = arrays["line_x"][panel], arrays["line_y"][panel]
        ax.plot(ends, arrays["intercept"][panel] + arrays["slope"][panel] * ends, color="0.1", linewidth=1, label="fit")
        ax.plot(ends, line, color="0.1", linestyle="--", linewidth=1, label="optimum")
        _limits(ax, x, y, ends, line, room=0.8 if arrays["point_seeds"][panel] > 1 else 0.6)
        inside = (*ax.get_xlim(), *ax.get_ylim())
        ax.hexbin(
            x, y, gridsize=(40, 32), extent=inside, mincnt=1, bins="log", cmap=faint, linewidths=0, rasterized=True
        )
    if len(x) > 50:
        middles = running_quantiles(x, y, (0.5,))
        ax.plot(
            *middles,
            color="white",
            marker="o",
            markersize=3,
            linestyle="",
            markeredgecolor="0.1",
            markeredgewidth=0.7,
            label="running median",
        )
    ax.locator_params(nbins=4)
    note(ax, _remark({name: arrays[name][panel] for name in arrays if len(arrays[name]) == len(arrays["member"])}), 6)


def _name(axes: np.ndarray, arrays: Arrays, panels: Places, x: str) -> None:
    """Titles above, axis labels below and beside the outermost panels; on the right, sigma relative to the layer's RMS
    mean.

    Means and sigma of a ReLU network can be rescaled together without changing its function: only their ratio is
    meaningful.
    """
    beside = {place: _relative(axes[place], float(arrays["mu_rms"][panel])) for place, panel in panels.items()}
    for (row, column), panel in panels.items():
        ax = axes[row, column]
        above = panels.get((row - 1, column))
        if above is None or arrays["label"][above] != arrays["label"][panel]:
            ax.set_title(heading(str(arrays["label"][panel]), 30), fontsize=8)
        if row == max(r for r, c in panels if c == column):
            ax.set_xlabel(x)
        if column == min(c for r, c in panels if r == row):
            ax.set_ylabel(f"layer {arrays['layer'][panel]}: log$_{{10}}$ $\\sigma^2$")
        if column == max(c for r, c in panels if r == row):
            beside[row, column].set_ylabel("relative to $\\mu^2$", fontsize=NOTES)


def _relative(ax: Axes, mu_rms: float) -> Any:
    """An axis on the right that shows log10 (sigma / RMS mean)^2."""
    shift = 2 * np.log10(mu_rms)
    beside = ax.secondary_yaxis("right", functions=(lambda y: y - shift, lambda y: y + shift))
    beside.tick_params(labelsize=NOTES - 0.5)
    return beside


def _limits(ax: Axes, x: np.ndarray, y: np.ndarray, ends: np.ndarray, line: np.ndarray, *, room: float) -> None:
    """Axis limits: room for the central 99% of the synapses, for the optimum over them, and for the remark below."""
    left, right = np.percentile(x, [0.5, 99.5])
    low, high = np.percentile(y, [0.5, 99.5])
    beside = np.interp([left, right], ends, line)
    bottom, top = min(low, beside.min()), max(high, beside.max())
    width, height = right - left + 0.1, top - bottom + 0.2
    ax.set(xlim=(left - 0.05 * width, right + 0.05 * width), ylim=(bottom - room * height, top + 0.05 * height))


def _remark(at: dict[str, Any]) -> str:
    """The numbers of a panel; - if there is none, as in the tables."""
    if not at["n"]:
        return f"all {at['left_out']} synapses are flat"
    analytic = "-" if np.isnan(at["analytic_slope"]) else f"{at['analytic_slope']:.2f}"
    over = f"{at['point_seeds']:.0f} seeds: {at['point_slope']:.2f} ± {at['point_slope_half_width']:.1g}\n"
    flat = f" + {at['left_out']:,}" if at["left_out"] else ""
    return (
        f"slope {at['slope']:.2f} ± {at['slope_half_width']:.1g}\n{over if at['point_seeds'] > 1 else ''}"
        f"optimum {analytic}, r {at['rank_correlation']:.2f}\nn {at['n']:,}{flat}, B {at['balance']:.1g}"
    )
