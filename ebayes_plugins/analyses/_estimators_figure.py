"""The figure of `estimators`: layers in rows; estimates, biases, and sigma^2, each beside the exact curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import OTHERS, colours
from ebayes_plugins.analyses._layout import MARKERS, few_ticks, note
from ebayes_plugins.analyses._linear_teacher import NAMES, firsts
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import count, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: estimators whose synapses are shown one by one: the best, a biased one, and the noisiest
SHOWN = ("gauss_newton_noise", "gauss_newton_mean", "fisher_empirical_noise")
TICKS = (-50, -10, -5, 0, 5, 10, 50, 200, 1000)  #: of biases (%), on a scale that is linear up to 10
NOTES = (
    "Left and right: synapses of the noisiest network; left: on the line, an estimate is exact; right: line: optimum "
    "at the exact curvature. Middle: mean over the synapses of estimate/exact, less 1; marks: means over seeds, bars: "
    "95% intervals. Curvature is per example, and averaged over the noise unless it is at the means."
)


def draw(arrays: Arrays, figure: Figure, finding: str) -> None:
    """Three panels for each of the two layers."""
    axes = page(figure, 2, 3, 2.0, 1.3)
    axes[0, 0].get_gridspec().set_width_ratios([1, 1.2, 1])
    known = colours(arrays["mechanism"], arrays["rho"])
    tones = {name: known[name] for name in dict.fromkeys(arrays["mechanism"].tolist())}
    for row, layer in zip(axes, (1, 2), strict=True):
        _estimates(row[0], arrays, layer)
        _biases(row[1], arrays, layer, tones)
        _variances(row[2], arrays, layer, tones)
    small(figure)
    seeds, networks = int(arrays["seeds"].max()), len(set(arrays["member"].tolist()))
    handles = [*axes[0, 0].get_legend_handles_labels()[0], *axes[0, 1].get_legend_handles_labels()[0]]
    key(figure, handles, NOTES, f"{count(networks, 'network')}, {count(seeds, 'seed')} each", ncols=4)
    titled(figure, finding)


def _estimates(ax: Axes, a: Arrays, layer: int) -> None:
    """Estimates of each synapse against its exact curvature, and the line where they agree."""
    x = a["shown_exact"][layer - 1]
    shown = [name for name in SHOWN if f"shown_{name}" in a]
    for name, tone, marker in zip(shown, OTHERS, MARKERS, strict=False):
        look: dict[str, Any] = {"color": tone, "marker": marker, "markersize": 2, "linestyle": "none", "alpha": 0.6}
        ax.plot(x, a[f"shown_{name}"][layer - 1], label=NAMES[name], rasterized=True, **look)
    ends = np.array([np.nanmin(x), np.nanmax(x)])
    ax.plot(ends, ends, color="0.1", linewidth=0.8)
    ax.set(xscale="log", yscale="log", ylabel="estimate (nat/weight²)", title=f"layer {layer}, {_of(a)}")
    ax.set_xlabel("exact curvature (nat/weight²)")
    few_ticks(ax)


def _biases(ax: Axes, a: Arrays, layer: int, tones: dict[str, Any]) -> None:
    """The bias of each estimator under each mechanism, in percent."""
    first, names = firsts(a), [name for name in NAMES if name in a["estimator"]]
    first = first[(a["layer"][first] == layer) & np.isin(a["estimator"][first], names)]
    for number, (mechanism, tone) in enumerate(tones.items()):
        mine = first[a["mechanism"][first] == mechanism]
        at = [-names.index(name) + 0.25 - 0.5 * number / max(len(tones) - 1, 1) for name in a["estimator"][mine]]
        bars = np.nan_to_num(100 * a["bias_over_seeds"][mine])
        look: dict[str, Any] = {"fmt": "o", "color": tone, "markersize": 2.5, "elinewidth": 0.8}
        ax.errorbar(100 * a["bias_mean"][mine], at, xerr=bars, label=mechanism, **look)
    ax.axvline(0, color="0.1", linewidth=0.8)
    ax.set(yticks=[-i for i in range(len(names))], yticklabels=[NAMES[name] for name in names], xlabel="bias (%)")
    ax.set_xscale("symlog", linthresh=10)
    ends = ax.get_xlim()
    ax.set_xticks([at for at in TICKS if ends[0] <= at <= ends[1]])
    ax.set_xticklabels([f"{at:g}" for at in ax.get_xticks()])
    ax.minorticks_off()
    ax.set_ylim(0.5 - len(names), 0.5)


def _variances(ax: Axes, a: Arrays, layer: int, tones: dict[str, Any]) -> None:
    """sigma^2 against the exact curvature, its optimum, and the slopes of both."""
    x, y, best = (a[f"shown_{name}"][layer - 1] for name in ("exact", "variance", "optimum"))
    order = np.argsort(x)
    ax.plot(x, y, ".", color=tones[_of(a)], markersize=2, alpha=0.6, rasterized=True)
    ax.plot(x[order], best[order], color="0.1", linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlabel="exact curvature (nat/weight²)", ylabel="σ² (weight²)")
    few_ticks(ax)
    mine = np.flatnonzero((a["layer"] == layer) & (a["estimator"] == "exact") & (a["mechanism"] == _of(a)))[0]
    half = a["slope_over_seeds"][mine]
    said = f" ± {half:.2f}" if np.isfinite(half) else ""
    ax.set_title(f"layer {layer}, {_of(a)}")
    note(ax, f"slope {a['slope_mean'][mine]:.2f}{said}\noptimum {a['analytic_slope'][mine]:.2f}", 6.5)


def _of(a: Arrays) -> str:
    """The mechanism of the network whose synapses are shown."""
    return str(a["mechanism"][a["member"] == a["shown"][0]][0])
