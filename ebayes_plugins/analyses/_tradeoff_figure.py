"""Figure 2: accuracy and sigma against the multiplier c; and its details, other scores and averages of sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import NOISES
from ebayes_plugins.analyses._curve_panels import (
    Look,
    Panels,
    Words,
    common_y,
    legend_below,
    open_markers,
    panels,
    published_key,
    score_axis,
    tidy,
    x_axis,
)
from ebayes_plugins.analyses._curves import Arrays, curve
from ebayes_plugins.analyses._layout import axis_scale
from ebayes_plugins.analyses._published import published, published_line
from ebayes_plugins.analyses._sizes import SIZE_NAMES, SIZES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAYS = {"score_sample": "-", "score_ensemble": "--", "score_mean": ":"}
WAY_NAMES = {"score_sample": "one sampled network", "score_ensemble": "ensemble", "score_mean": "mean weights"}
SIZE_DASHES = dict(zip(SIZES, ("-", "--", ":"), strict=True))
ROWS = ("score", "sigma", "relative")
TWICE = (0, (1, 1))  #: dashes for a reliability cost that counts twice


def average(arrays: Arrays) -> str:
    """The RMS sigma that is drawn: of all synapses, or without biases as published."""
    return "sigma_rms_weights" if published(arrays) else "sigma_rms"


def draw_main(arrays: Arrays, figure: Figure, words: Words) -> None:
    """A column per mechanism: accuracy of one sampled network, and RMS sigma; mean and s.d. over seeds."""
    sigma = average(arrays)

    def line(axes: np.ndarray, mine: Arrays, look: Look) -> None:
        theirs = published_line(arrays, str(mine["column"][0]), str(mine["line"][0]))
        for ax, quantity in zip(axes, ("score_sample", sigma), strict=True):
            band(ax, mine, quantity, linestyle="-", **look)
            _open(ax, theirs, quantity, look)

    shown = panels(figure, arrays, 2, line, words)
    score_axis(shown.axes[0], arrays, shown.wide)
    _sigma_axes(shown, arrays, {1: (sigma, "RMS sigma (weight)")})
    legend_below(figure, arrays, shown, published_key(arrays))


def draw_details(arrays: Arrays, figure: Figure, words: Words) -> None:
    """A column per mechanism: scores, averages of sigma, and sigma relative to the means; solid, dashed and dotted."""
    shown = panels(figure, arrays, 3, _details, words)
    score_axis(shown.axes[0], arrays, shown.wide)
    names = {1: ("sigma_rms", "sigma (weight)"), 2: ("relative_rms", "sigma / RMS\nmean of layer")}
    _sigma_axes(shown, arrays, names)
    dashes = {f"accuracy: {WAY_NAMES[way]}; sigma: {SIZE_NAMES[size]}": {"linestyle": dash} for (way, dash), size in
              zip(WAYS.items(), SIZES, strict=True)}  # fmt: skip
    twice = {"color": NOISES["homogeneous"], "linestyle": TWICE, "linewidth": 1}
    more = {"homogeneous, cost counted twice (authors' code)": twice} if "homogeneous" in arrays["line"] else {}
    legend_below(figure, arrays, shown, dashes | more)


def _details(axes: np.ndarray, mine: Arrays, look: Look) -> None:
    """One noise mode under one mechanism in all three panels."""
    for name, dash in WAYS.items():
        band(axes[0], mine, name, linestyle=dash, **look)
    for row, name in enumerate(ROWS[1:], start=1):
        for size, dash in SIZE_DASHES.items():
            band(axes[row], mine, f"{name}_{size}", linestyle=dash, **look)
    if mine["line"][0] == "homogeneous":
        twice = {**look, "marker": "", "linewidth": 1, "linestyle": TWICE, "alpha": 0.8}
        for ax, name in zip(axes, ("score_sample", "sigma_rms", "relative_rms"), strict=True):
            c, mean, _ = curve(mine, name)  # a cost counted twice at c equals one counted once at 2 c
            ax.plot(c / 2, mean, **twice)


def band(ax: Axes, mine: Arrays, name: str, **look: Any) -> None:
    """Mean over seeds at each c, with a band of one standard deviation around a solid line."""
    at, mean, sd = curve(mine, name)
    shown = (mean > 0) | name.startswith("score")
    mean = np.where(shown, mean, np.nan)  # without noise there is nothing to show on a log axis
    ax.plot(at, mean, **look)
    if (sd > 0).any() and look["linestyle"] == "-":  # bands for all dashes would hide the lines
        ax.fill_between(at, mean - sd, mean + sd, color=look["color"], alpha=0.2, linewidth=0)


def _open(ax: Axes, theirs: Arrays | None, name: str, look: Look) -> None:
    """The published values of a line."""
    if theirs:
        ax.plot(theirs["c"], theirs[name], **open_markers(look))


def _sigma_axes(shown: Panels, arrays: Arrays, names: dict[int, tuple[str, str]]) -> None:
    """The rows of sigma, each with a quantity and its name, above the common axis of c."""
    for row, (quantity, name) in names.items():
        for ax in shown.axes[row]:
            ax.set_yscale(axis_scale(arrays[quantity]))
        common_y(shown.axes[row], shown.wide, name)
    for axes in shown.axes[:-1]:
        x_axis(axes, "", arrays["c"])
    x_axis(shown.axes[-1], "multiplier c", arrays["c"])
    tidy(shown.axes)
