"""The figure of contraction: variances against data and against the price, and the powers with which they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._contraction_words import LETTER, finding, groups
from ebayes_plugins.analyses._layout import ENTRIES, MARKERS, counted, few_ticks, short
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._regression import over_seeds
from ebayes_plugins.analyses._titles import counts, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: the array on an axis, its name, and that of what variances are relative to
X = {
    "data": ("examples", "training examples N", "σ² / σ² at the most data"),
    "price": ("c", "price c / middle price", "σ² / σ² at the middle price"),
}


def draw(arrays: Arrays, figure: Figure) -> None:
    """Curves above and powers below; data to the left and the price to the right, if they vary."""
    kinds = list(dict.fromkeys(arrays["fit_arm"].tolist()))
    shown, varied = spread(kinds, ENTRIES), [axis for axis in X if axis in arrays["fit_axis"]]
    axes = page(figure, 2, len(varied), 2.1)
    for column, axis in enumerate(varied):
        mine = {kind: rows for found, kind, rows in groups(arrays) if found == axis and kind in shown}
        for kind in mine:
            _curve(axes[0, column], arrays, axis, kind, _look(arrays, kinds, kind))
        axes[0, column].set(xscale="log", yscale="log", xlabel=X[axis][1], ylabel=X[axis][2])
        few_ticks(axes[0, column])
        _powers(axes[1, column], arrays, axis, mine, kinds)
    axes[1, 0].set_ylabel("kind of network")
    small(figure)
    titled(figure, finding(arrays), *_notes(arrays, len(shown), len(kinds)))


def _look(arrays: Arrays, kinds: list[str], kind: str) -> dict[str, Any]:
    """Colour and marker of a kind of network."""
    tone = str(arrays["tone"][arrays["arm"] == kind][0])
    return {"color": as_colour(tone), "marker": MARKERS[kinds.index(kind) % len(MARKERS)]}


def as_colour(text: str) -> Any:
    """Three numbers, or a name."""
    return tuple(map(float, text.strip("()").split(","))) if text.startswith("(") else text


def _curve(ax: Axes, arrays: Arrays, axis: str, kind: str, look: dict[str, Any]) -> None:
    """Geometric mean of sigma^2 relative to that at the most data or at the middle price: means over seeds, 95%."""
    x, y, half = curve(arrays, axis, kind)
    low, high = y * (1 - np.exp(-half)), y * (np.exp(half) - 1)
    bars: dict[str, Any] = {"yerr": np.array([low, high])} if np.isfinite(half).any() else {}
    ax.errorbar(x, y, **bars, markersize=3.5, linewidth=0.9, elinewidth=0.7, **look)


def curve(arrays: Arrays, axis: str, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, sigma^2 relative to that at the reference, and the half width of its interval over seeds (of its logarithm).

    The reference is the most data, or the middle of the prices, to which c is relative.
    """
    along = np.isin(arrays["seed"], arrays["fit_seed"]) & (arrays["arm"] == kind)
    along &= arrays[f"along_{axis}"].astype(bool)
    name = X[axis][0]
    at = np.unique(arrays[name][along])
    reference = at[-1] if axis == "data" else at[len(at) // 2]
    logs = [_relative(arrays, along, name, value, reference) for value in at]
    found = np.array([over_seeds(values) for values in logs])
    return (at if axis == "data" else at / reference), np.exp(found[:, 0]), found[:, 1]


def _relative(arrays: Arrays, along: np.ndarray, name: str, value: float, reference: float) -> np.ndarray:
    """ln sigma^2 at a value minus that at the reference, of each seed that has both."""
    at = lambda v: dict(
        zip(*(arrays[column][along & (arrays[name] == v)].tolist() for column in ("seed", "variance")), strict=True)
    )
    mine, others = at(value), at(reference)
    return np.array([mine[seed] - others[seed] for seed in mine if seed in others])


def _powers(ax: Axes, arrays: Arrays, axis: str, mine: dict[str, np.ndarray], kinds: list[str]) -> None:
    """Power of each kind of network: found with its interval, at its optimum, and in theory."""
    for row, (kind, rows) in enumerate(mine.items()):
        found, half = over_seeds(arrays["fit_found"][rows])
        solved, theory = (over_seeds(arrays[f"fit_{name}"][rows])[0] for name in ("solved", "theory"))
        look = _look(arrays, kinds, kind)
        ax.errorbar(found, -row, xerr=half if np.isfinite(half) else 0.0, markersize=4, elinewidth=1, **look)
        ax.plot(solved, -row, marker="o", markersize=8, color="none", markeredgecolor="0.3", markeredgewidth=0.8)
        ax.plot(theory, -row, marker="|", markersize=11, color="0.3")
    ax.set_yticks([-row for row in range(len(mine))], [short(kind, 30) for kind in mine])
    ax.set(xlabel=f"power of {LETTER[axis]}", ylim=(-len(mine) + 0.4, 0.6))
    ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)


def _notes(arrays: Arrays, shown: int, kinds: int) -> list[str]:
    """What markers and bars are, and how many networks they stand for."""
    seeds = [int(rows.sum()) for _, _, rows in groups(arrays)]
    return [
        f"σ²: geometric mean over {counts(arrays['n'], 'synapse')} of a network, those that are flat in none. Points "
        f"and bars: mean and 95% interval over {counts(seeds, 'seed')}. Below: filled, the power found, in the colours "
        "and markers of the curves above; circle, at the optimum of the curvatures that these networks have; tick, at "
        "constant curvature and with a weak prior. Variational Bayes does not pay the price",
        counted(**{"kinds of network": (shown, kinds)}),
    ]
