"""The figure of `signatures`: a forest plot with a row for each task and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import LARGEST
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._importance_claims import BALANCED
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._signatures import QUANTITIES, Quantity, groups, measured
from ebayes_plugins.analyses._titles import NOTES, WIDTH, count, key, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, ROOM = 0.21, 1.75  #: height of a row, and of the words above and below (inches)
BAND = 0.36  #: half of the height over which the mechanisms of a row are spread, in rows
GAP, HEAD = 0.7, 0.72  #: rows between tasks, in which is the name of the one below, and how far above its first layer
SHORT = {
    "gauss_newton_test": "curvature H", "input_square": "input, mean x²", "learning_rate_rms": "learning rate η",
}  # fmt: skip
COLUMNS = ("rank_correlation", "slope")


def draw(arrays: Arrays, figure: Figure, finding: str) -> None:
    """Two columns for each quantity: the rank correlation, and the slope with the optimum's as dashed lines."""
    places, tones = rows(arrays), colours(arrays["mechanism"], arrays["rho"])
    last = max(places.values(), default=0.0)
    figure.set_size_inches(WIDTH, min(ROW * (last + 2) + ROOM, LARGEST[1]))
    shown = [q for q in QUANTITIES if q.estimator in arrays["quantity"]]
    axes = figure.subplots(1, 2 * len(shown), sharey=True, squeeze=False)[0]
    for i, q in enumerate(shown):
        for ax, column in zip(axes[2 * i : 2 * i + 2], COLUMNS, strict=True):
            _panel(ax, arrays, q, column, places, tones)
        axes[2 * i].set_title(f"{'abc'[i]}  {SHORT[q.estimator]}", loc="left", fontsize=NOTES)
    _names(axes[0], places)
    axes[0].set_ylim(last + 0.6, -HEAD - 0.4)
    titled(figure, finding)
    key(figure, _entries(tones), *_notes(arrays), ncols=5)


def rows(arrays: Arrays) -> dict[tuple[str, int], float]:
    """Where each task and layer is, counted from the top; with a gap between tasks."""
    found: dict[tuple[str, int], float] = {}
    at = -1.0 - GAP
    for task in dict.fromkeys(arrays["task"].tolist()):
        at += GAP
        for layer in sorted(set(arrays["layer"][arrays["task"] == task].tolist())):
            at += 1
            found[task, layer] = at
    return found


def _panel(
    ax: Axes, a: Arrays, q: Quantity, column: str, places: dict[tuple[str, int], float], tones: dict[str, Any]
) -> None:
    """One number of every task, layer and mechanism."""
    names = list(tones)
    ax.axvline(0, color="0.75", linewidth=0.8, zorder=0)
    for (quantity, task, mechanism, layer), mine in groups(a).items():
        if quantity == q.estimator:
            y = places[task, layer] + BAND * _offset(names.index(mechanism), len(names))
            _mark(ax, a, mine, column, y, tones[mechanism])
    if column == "slope":
        _optima(ax, a, q.estimator, tones)
    else:
        _of_ranks(ax, a, q)
    ax.set_xlabel("rank correlation" if column != "slope" else "slope of log σ²", fontsize=NOTES)
    ax.tick_params(labelsize=NOTES - 0.5, left=False)
    ax.grid(visible=False, axis="y")
    ax.spines[["left", "right", "top"]].set_visible(False)


def _of_ranks(ax: Axes, a: Arrays, q: Quantity) -> None:
    """From 0 to 1 on theory's side, and as far beyond 0 as there is anything."""
    ranks = q.sign * a["rank_correlation"][a["quantity"] == q.estimator]
    beyond = max(0.12, float(-np.nanmin(ranks, initial=0.0)) + 0.1)
    low, high = sorted((-q.sign * beyond, q.sign * 1.08))
    ax.set_xlim(low, high)
    ax.set_xticks([0, q.sign * 0.5, q.sign])


def _offset(i: int, n: int) -> float:
    return 2 * i / (n - 1) - 1 if n > 1 else 0.0


def _mark(ax: Axes, a: Arrays, mine: np.ndarray, column: str, y: float, tone: Any) -> None:
    """The mean over seeds and its interval; hollow if sigma is not at its optimum."""
    found, balanced = measured(a, mine, column), _balanced(a, mine)
    bars = np.nan_to_num([[found.value - found.low], [found.high - found.value]])
    ax.errorbar(
        found.value, y, xerr=bars, color=tone, marker="o", markersize=2.6, elinewidth=0.8, linestyle="",
        markeredgewidth=0.7, markerfacecolor=tone if balanced else "white", zorder=3,
    )  # fmt: skip


def _balanced(a: Arrays, mine: np.ndarray) -> bool:
    """Whether sigma is at its optimum: by the mean of B over seeds, since B of one network has an error."""
    return bool(abs(a["balance"][mine].mean() - 1) <= BALANCED)


def _optima(ax: Axes, a: Arrays, estimator: str, tones: dict[str, Any]) -> None:
    """The slope at the optimum of each mechanism: a dashed line."""
    for mechanism, tone in tones.items():
        known = a["analytic_slope"][(a["quantity"] == estimator) & (a["mechanism"] == mechanism)]
        if np.isfinite(known).any():
            ax.axvline(np.nanmedian(known), color=tone, linestyle="--", linewidth=0.8, alpha=0.7, zorder=1)


def _names(ax: Axes, places: dict[tuple[str, int], float]) -> None:
    """Layers beside their rows, and above those of each task its name."""
    heads: dict[str, float] = {}
    for (task, _), at in places.items():
        heads.setdefault(task, at - HEAD)
    ax.set_yticks([*heads.values(), *places.values()], [*heads, *(f"layer {layer}" for _, layer in places)])
    for label in ax.get_yticklabels()[: len(heads)]:
        label.set_fontweight("bold")
    ax.set_ylabel("task and layer", fontsize=NOTES)


def _entries(tones: dict[str, Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    found = [Line2D([], [], color=tone, marker="o", markersize=3, label=name) for name, tone in tones.items()]
    return [*found, Line2D([], [], color="0.3", linestyle="--", label="slope at the optimum, of each mechanism")]


def _notes(a: Arrays) -> list[str]:
    seeds, networks = len(set(a["seed"].tolist())), len(set(a["member"].tolist()))
    off = not all(_balanced(a, mine) for mine in groups(a).values())
    return [
        f"Means over {count(seeds, 'seed')} with 95% intervals (Student's t); {count(networks, 'network')}, "
        f"{a['n'].min():,} to {a['n'].max():,} synapses of a layer.",
        "H: of test examples, which set no sigma, averaged over the noise. Learning rate: that of training, from "
        "gradients of the examples that set sigma, so that its relation is no independent one.",
        f"Hollow: B is not within {BALANCED:g} of 1, its value at the optimum." if off else "",
    ]
