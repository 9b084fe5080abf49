"""The figure of `signatures`: a forest plot with a row for each task and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import LARGEST
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._importance_claims import BALANCED
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import NOTES, WIDTH, count, key, titled
from ebayes_plugins.analyses.signatures import QUANTITIES, groups, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, ROOM = 0.21, 1.75  #: height of a row, and of the words above and below (inches)
BAND = 0.36  #: half of the height over which the mechanisms of a row are spread, in rows
GAP = 0.5  #: rows between tasks
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
            _panel(ax, arrays, q.estimator, column, places, tones)
        axes[2 * i].set_title(f"{'abc'[i]}  {SHORT[q.estimator]}", loc="left", fontsize=NOTES)
    _names(axes[0], places)
    axes[0].set_ylim(last + 0.7, -1.2)
    titled(figure, finding)
    key(figure, _entries(tones), *_notes(arrays), ncols=4)


def rows(arrays: Arrays) -> dict[tuple[str, int], float]:
    """Where each task and layer is, counted from the top; with a gap between tasks."""
    found: dict[tuple[str, int], float] = {}
    at = -1.0
    for task in dict.fromkeys(arrays["task"].tolist()):
        at += GAP
        for layer in sorted(set(arrays["layer"][arrays["task"] == task].tolist())):
            at += 1
            found[task, layer] = at
    return found


def _panel(
    ax: Axes, a: Arrays, estimator: str, column: str, places: dict[tuple[str, int], float], tones: dict[str, Any]
) -> None:
    """One number of every task, layer and mechanism."""
    names = list(tones)
    ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for (quantity, task, mechanism, layer), mine in groups(a).items():
        if quantity == estimator:
            y = places[task, layer] + BAND * _offset(names.index(mechanism), len(names))
            _mark(ax, a, mine, column, y, tones[mechanism])
    if column == "slope":
        _optima(ax, a, estimator, tones)
    else:
        ax.set_xlim(-1.1, 1.1)
        ax.set_xticks([-1, 0, 1])
    ax.set_xlabel("rank correlation" if column != "slope" else "slope of log σ²", fontsize=NOTES)
    ax.tick_params(labelsize=NOTES - 0.5, left=False)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _offset(i: int, n: int) -> float:
    return 2 * i / (n - 1) - 1 if n > 1 else 0.0


def _mark(ax: Axes, a: Arrays, mine: np.ndarray, column: str, y: float, tone: Any) -> None:
    """The mean over seeds and its interval; hollow if sigma is not at its optimum."""
    found = measured(a, mine, column)
    balanced = (np.abs(a["balance"][mine] - 1) <= BALANCED).all()
    half = np.nan_to_num(found.high - found.value)
    ax.errorbar(
        found.value, y, xerr=half, color=tone, marker="o", markersize=2.6, elinewidth=0.8, linestyle="",
        markeredgewidth=0.7, markerfacecolor=tone if balanced else "white", zorder=3,
    )  # fmt: skip


def _optima(ax: Axes, a: Arrays, estimator: str, tones: dict[str, Any]) -> None:
    """The slope at the optimum of each mechanism: a dashed line."""
    for mechanism, tone in tones.items():
        known = a["analytic_slope"][(a["quantity"] == estimator) & (a["mechanism"] == mechanism)]
        if np.isfinite(known).any():
            ax.axvline(np.nanmedian(known), color=tone, linestyle="--", linewidth=0.8, alpha=0.7, zorder=1)


def _names(ax: Axes, places: dict[tuple[str, int], float]) -> None:
    """Layers beside their rows, and above those of each task its name."""
    ax.set_yticks(list(places.values()), [f"layer {layer}" for _, layer in places], fontsize=NOTES - 0.5)
    first: dict[str, float] = {}
    for (task, _), at in places.items():
        first.setdefault(task, at)
    for task, at in first.items():
        ax.annotate(
            task, (0, at - 0.5), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            va="bottom", fontsize=NOTES - 0.5, fontweight="bold",
        )  # fmt: skip


def _entries(tones: dict[str, Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    found = [Line2D([], [], color=tone, marker="o", markersize=3, label=name) for name, tone in tones.items()]
    return [*found, Line2D([], [], color="0.3", linestyle="--", label="slope at the optimum, of each mechanism")]


def _notes(a: Arrays) -> list[str]:
    seeds, networks = len(set(a["seed"].tolist())), len(set(a["member"].tolist()))
    off = (np.abs(a["balance"] - 1) > BALANCED).any()
    return [
        f"Means over {count(seeds, 'seed')} with 95% intervals (Student's t); {count(networks, 'network')}, "
        f"{a['n'].min():,} to {a['n'].max():,} synapses of a layer.",
        "H: of test examples, which set no sigma, averaged over the noise. Learning rate: that of training, from "
        "gradients of the examples that set sigma, so that its relation is no independent one.",
        f"Hollow: sigma is not at its optimum (|B - 1| > {BALANCED:g})." if off else "",
    ]
