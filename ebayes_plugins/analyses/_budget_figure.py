"""The figure of `budget`: a row for each sweep point, layers in colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_core.wording import span
from ebayes_plugins.analyses._budget_slopes import PER
from ebayes_plugins.analyses._colours import OTHERS
from ebayes_plugins.analyses._layout import counted, heading
from ebayes_plugins.analyses._titles import count, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = dict[str, np.ndarray]
LABELS = (
    ("ln curvature - neuron's mean", "ln σ² - neuron's mean"),
    ("neuron's mean ln curvature", "neuron's mean ln σ²"),
    ("synapses measured of each neuron", "slope across neurons"),
)
#: what dots, bands and lines are
NOTES = (
    "Curvature: of the loss (Gauss-Newton, averaged over the noise). Left: medians of equally many synapses, with "
    "the middle half as bands; middle: a dot per neuron; dashed: slope that the budget implies; ±: 95% interval over "
    "neurons. Right: slope across neurons if so many synapses of each are measured; "
    "dotted: slope within neurons.",
)


def draw(arrays: Arrays, figure: Figure, most: int, finding: str) -> None:
    """Three panels for each sweep point, of its first network: within neurons, across neurons, and in a sample."""
    points = list(dict.fromkeys(arrays["point"].tolist()))
    shown = spread(points, most)
    axes = page(figure, len(shown), 3, 1.9)
    for column in axes.T:  # on one scale, no slope is seen to be none
        for ax in column[1:]:
            ax.sharey(column[0])
    for row, point in zip(axes, shown, strict=True):
        first = arrays["member"][arrays["point"] == point][0]
        mine = arrays["member"] == first
        _row(row, {name: values[mine] for name, values in arrays.items() if len(values) == len(mine)})
    for ax, (x, _) in zip(axes[-1], LABELS, strict=True):
        ax.set_xlabel(x)
    small(figure)
    handles = max((ax.get_legend_handles_labels()[0] for ax in axes[:, 0]), key=len)
    layers = int(np.bincount(arrays["member"]).max())
    skipped = int(arrays["skipped"][0])
    left_out = f"{count(skipped, 'network')} with one sigma, without noise or diverged left out." if skipped else ""
    left = counted(settings=(len(shown), len(points)), layers=(min(layers, len(OTHERS)), layers))
    same = "The level of a synapse's price, which depends on its mean, is held." if arrays["price_varies"].any() else ""
    key(figure, handles, *NOTES, same, left_out, left, ncols=min(len(handles), 6))
    titled(figure, finding)


def _row(axes: np.ndarray, mine: Arrays) -> None:
    for ax, (_, label) in zip(axes, LABELS, strict=True):
        ax.set_ylabel(label)
    for i, tone in zip(spread(range(len(mine["layer"])), len(OTHERS)), OTHERS, strict=False):
        one = {name: values[i] for name, values in mine.items()}
        _within(axes[0], one, tone)
        _across(axes[1], one, tone)
        axes[2].semilogx(one["measured"], one["in_sample"], ".-", color=tone, linewidth=1)
    slopes = [_slopes(mine, name) for name in ("within", "across")]
    axes[0].set_title(f"{heading(str(mine['point'][0]), 40)}\nwithin: {slopes[0]}")
    axes[1].set_title(f"across: {slopes[1]}")
    _ends(axes[2], mine)


def _own(one: Arrays) -> int:
    return PER.index(str(one["budget"])) if one["budget"] in PER else 0


def _slopes(mine: Arrays, name: str) -> str:
    """The slope in each layer with its interval over neurons; of many layers the range."""
    if len(mine[name]) > 3:
        return span(mine[name])
    pairs = zip(mine[name], mine[f"{name}_half"], strict=True)
    return ", ".join(f"{value:.2f}" + (f" ± {half:.2f}" if np.isfinite(half) else "") for value, half in pairs)


def _within(ax: Axes, one: Arrays, tone: str) -> None:
    """The median of each bin with the middle half of its synapses, and the line that the budget implies."""
    x, low, middle, high = one["bins"]
    ax.fill_between(x, low, high, color=tone, alpha=0.2, linewidth=0)
    ax.plot(x, middle, ".", color=tone, label=f"layer {one['layer']}")
    ax.plot(x, one["within_expected"][_own(one)] * x, "--", color=tone, linewidth=1)


def _across(ax: Axes, one: Arrays, tone: str) -> None:
    """The neurons' means about the layer's, and the line that the budget implies."""
    x, y = (one[name][np.isfinite(one[name])] for name in ("neuron_x", "neuron_y"))
    ax.plot(x, y, ".", color=tone, alpha=0.7, markersize=5)
    if len(x):
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, one["across_expected"][_own(one)] * ends, "--", color=tone, linewidth=1)


def _ends(ax: Axes, mine: Arrays) -> None:
    """The slope within neurons, into which that across turns where few synapses are measured."""
    ax.axhline(float(np.nanmedian(mine["within"])), color="0.4", linestyle=":", linewidth=1)
    ax.axhline(0.0, color="0.4", linewidth=0.8)
    ax.set_title(f"across neurons,\nin a sample, halfway at {span(np.round(mine['needed'], 1).tolist())}")
