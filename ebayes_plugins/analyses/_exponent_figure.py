"""The figure of exponents: rho2 of single synapses, and the slopes of sigma^2 on curvature, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._layout import counted, heading
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import count, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

KNOWN = {0.4: "2/5", 0.5: "1/2", 2 / 3: "2/3", 4 / 3: "4/3", 2.0: "2"}  #: exponents that a line marks
#: what a slope is, its marker, and how far beside the layer's number it stands
MARKS = {
    "found": ("found", "o", -0.2),
    "implied": ("implied by the exponents", "s", 0.0),
    "solved": ("optimum at each mean and curvature", "D", 0.2),
}


def draw(arrays: Arrays, figure: Figure, columns: int, finding: str) -> None:
    """Networks in columns: above, rho2 of each synapse against its precision; below, the slopes of its layers."""
    members = _first_seeds(arrays)
    shown = spread(members, columns)
    axes = page(figure, 2, len(shown), 1.9, 1.2)
    for column, member in enumerate(shown):
        mine = np.flatnonzero(arrays["member"] == member)
        _synapses(axes[0, column], arrays, mine)
        _slopes(axes[1, column], arrays, mine)
    axes[0, 0].set_ylabel("effective exponent ρ")
    axes[1, 0].set_ylabel("slope of ln σ² on\nln curvature")
    _alike(axes)
    handles = [*_layers(arrays, shown), *axes[1, 0].get_legend_handles_labels()[0]]
    small(figure)
    words = (*_notes(arrays), counted(**{"sweep points": (len(shown), len(members))}))
    key(figure, handles, *words, ncols=min(len(handles), 2 * len(shown)), columnspacing=1.0)
    titled(figure, finding)


def _first_seeds(arrays: Arrays) -> list[int]:
    """The first network of each sweep point."""
    first: dict[str, int] = {}
    for point, member in zip(arrays["point"].tolist(), arrays["member"].tolist(), strict=True):
        first.setdefault(point.rpartition(",")[0], member)  # without the layer
    return list(first.values())


def _notes(a: Arrays) -> list[str]:
    """What dots, marks and bars are."""
    seeds = ", thin ones over seeds" if (a["seeds"] > 1).any() else ""
    points = max(int(np.isfinite(row).sum()) for row in a["rho2"])
    return [
        f"Above: at most {count(points, 'synapse')} of each layer; dotted: exponents of single mechanisms. Below: "
        f"curvature of the loss (Gauss-Newton, averaged over the noise); bars: 95% intervals over synapses{seeds}. "
        "Synapses that do not affect the loss are left out. B: balance of each layer, 1 at the optimum.",
    ]


def _synapses(ax: Axes, a: Arrays, panels: np.ndarray) -> None:
    """One dot per synapse, coloured by layer."""
    for panel in panels:
        tone = f"C{a['layer'][panel] - 1}"
        ax.plot(a["s"][panel], a["rho2"][panel], ".", color=tone, markersize=2, alpha=0.5, rasterized=True)
    _marked(ax, a, panels)
    balance = ", ".join(f"{b:.2g}" for b in a["balance"][panels])
    ax.set(xscale="log", xlabel="precision μ²/σ²", xlim=_central(a["s"][panels]))
    point = str(a["point"][panels[0]]).rpartition(", layer")[0]
    ax.set_title(f"{heading(point, 30)}\nB {balance}")


def _central(s: np.ndarray) -> tuple[float, float]:
    """Limits of an axis for all but the synapses of the smallest means."""
    low, high = np.quantile(s[s > 0], [0.005, 1]) if (s > 0).any() else (0.1, 10.0)
    return low / 2, high * 2


def _marked(ax: Axes, a: Arrays, panels: np.ndarray) -> None:
    """Lines at the exponents of the paper, and at that of calcium with turnover, as far as the axis reaches."""
    rho = a["rho2"][panels]
    low, high = (f(rho) if np.isfinite(rho).any() else 0.5 for f in (np.nanmin, np.nanmax))
    room = max(0.15 * (high - low), 0.08)
    ax.set_ylim(low - room, high + room)
    for value, name in KNOWN.items():
        if low - room < value < high + room:
            ax.axhline(value, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
            ax.annotate(name, (1, value), xycoords=("axes fraction", "data"), fontsize=7, color="0.4", va="center")


def _slopes(ax: Axes, a: Arrays, panels: np.ndarray) -> None:
    """Three marks for each layer, with their intervals."""
    for name, (words, marker, aside) in MARKS.items():
        at, tone = a["layer"][panels] + aside, "0.1" if name == "found" else "tab:blue"
        look: dict[str, Any] = {"fmt": marker, "markersize": 4, "color": tone}
        look["markerfacecolor"] = "none" if aside > 0 else tone
        ax.errorbar(at, a[f"{name}_mean"][panels], a[f"{name}_over_seeds"][panels], capsize=3, label=words, **look)
        if name == "found":
            ax.errorbar(at, a[name][panels], a["half_width"][panels], fmt="none", ecolor=tone, elinewidth=3)
    layers = a["layer"][panels]
    ax.margins(y=0.15)
    ax.set(xlabel="layer", xticks=layers, xlim=(layers.min() - 0.5, layers.max() + 0.5))


def _alike(axes: np.ndarray) -> None:
    """One scale for the slopes of all networks."""
    limits = [ax.get_ylim() for ax in axes[1]]
    for ax in axes[1]:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _layers(a: Arrays, shown: list[int]) -> list[Line2D]:
    """Entries of the legend that name the colours of the layers."""
    from matplotlib.lines import Line2D

    layers = sorted(set(a["layer"][np.isin(a["member"], shown)].tolist()))
    return [Line2D([], [], color=f"C{n - 1}", marker=".", linestyle="", label=f"layer {n}") for n in layers]
