"""The figure of `weight_sharing`: ratios of sigma against the number of positions, and against their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.contract.claim import Measured
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._layout import few_ticks
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import count, counts, key, page, small, titled
from ebayes_plugins.analyses.weight_sharing import MEASURED, points, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: prediction -> how it is drawn
LOOKS: dict[str, dict[str, Any]] = {
    "P": {"marker": "o", "markerfacecolor": "white", "zorder": 2},
    "P and their agreement": {"marker": "o", "zorder": 3},
    "P, agreement and curvature": {"marker": "x", "zorder": 4},
}
SIZE = 4.0
ASIDE = 0.06  #: share of P by which mechanisms are drawn apart


def draw(arrays: Arrays, figure: Figure, finding: str) -> None:
    """Left: the power rho + 2 of the ratio against P, which is the same for all costs; right: measured on predicted."""
    (left, right), tones = page(figure, 1, 2, 2.5, 1.6)[0], colours(arrays["mechanism"], arrays["rho"])
    _against_positions(left, arrays, tones)
    _against_predictions(right, arrays, tones)
    small(figure)
    titled(figure, finding)
    key(figure, _entries(tones), *_notes(arrays), ncols=4)


def _against_positions(ax: Axes, a: Arrays, tones: dict[str, Any]) -> None:
    """Between the lines of positions that are independent, and of positions that are equal."""
    p = np.geomspace(1, 1.25 * a["positions"].max(), 50)
    ax.fill_between(p, p, p**2, color="0.92", linewidth=0, zorder=0)
    for power, words in ((1, "independent: P"), (2, "equal: P²")):
        ax.plot(p, p**power, color="0.35", linewidth=0.9, linestyle="--" if power == 1 else ":", zorder=1)
        ax.annotate(words, (p[-1], p[-1] ** power), (-3, 0), textcoords="offset points", ha="right", va="bottom",
            fontsize=6.5, color="0.25")  # fmt: skip
    for i, name in enumerate(tones):
        aside = (1 + ASIDE) ** (i - (len(tones) - 1) / 2)
        for point in _of(a, name):
            known, power = ratio(a, point, MEASURED), _value(a, point, "rho") + 2
            ends = np.array([known.low, known.value, known.high]) ** power
            _bar(ax, _value(a, point, "positions") * aside, ends, tones[name])
    ax.set(
        xscale="log", yscale="log", xlabel="positions P of a synapse",
        ylabel="(σ of its own / σ shared)$^{ρ+2}$",
    )  # fmt: skip
    ax.set_title("a  by the number of positions", loc="left")
    few_ticks(ax)


def _against_predictions(ax: Axes, a: Arrays, tones: dict[str, Any]) -> None:
    """The ratio against each of its predictions, on the line of equality if these are right."""
    seen = []
    for name, tone in tones.items():
        for point in (point for point in _of(a, name) if _value(a, point, "positions") > 1):
            measured = ratio(a, point, MEASURED)
            for prediction, look in LOOKS.items():
                x = ratio(a, point, prediction)
                ax.errorbar(
                    x.value, measured.value, yerr=_error(measured), xerr=_error(x), color=tone, markersize=SIZE,
                    linestyle="", elinewidth=0.7, markeredgewidth=0.9, **look,
                )  # fmt: skip
                seen += [x.value, measured.value]
    ends = np.array([0.85 * min(seen, default=1), 1.2 * max(seen, default=2)])
    ax.plot(ends, ends, color="0.35", linewidth=0.9, zorder=1)
    ax.set(
        xscale="log", yscale="log", xlabel="predicted σ of its own / σ shared", ylabel="measured",
    )  # fmt: skip
    ax.set_title("b  by what predicts it", loc="left")
    few_ticks(ax)


def _of(a: Arrays, mechanism: str) -> list[str]:
    return [point for point in points(a) if (a["mechanism"][a["point"] == point] == mechanism).all()]


def _value(a: Arrays, point: str, name: str) -> float:
    return float(a[name][a["point"] == point][0])


def _error(known: Measured) -> np.ndarray:
    """Both half widths of an interval; 0 where there is a single seed."""
    return np.nan_to_num([[known.value - known.low], [known.high - known.value]])


def _bar(ax: Axes, x: float, ends: np.ndarray, tone: Any) -> None:
    low, middle, high = ends
    bars = np.nan_to_num([[middle - low], [high - middle]])
    ax.errorbar(x, middle, yerr=bars, color=tone, marker="o", markersize=SIZE, elinewidth=0.9, linestyle="", zorder=3)


def _entries(tones: dict[str, Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    found = [Line2D([], [], color=tone, marker="s", linestyle="", label=name) for name, tone in tones.items()]
    for name, look in LOOKS.items():
        plain = {k: v for k, v in look.items() if k != "zorder"}
        found.append(Line2D([], [], color="0.3", linestyle="", markersize=SIZE, label=f"predicted from {name}", **plain))
    return found


def _notes(a: Arrays) -> list[str]:
    seeds, pairs = len(set(a["seed"].tolist())), len(a["point"]) // len(set(a["layer"].tolist()))
    b = np.concatenate([a["balance_kernel"], a["balance_position"]])
    return [
        f"Geometric means over {count(seeds, 'seed')} and 95% intervals; {count(pairs, 'pair')} of networks, "
        f"{counts(a['n'], 'synapse')} of a layer; P = 1: a layer that nothing shares.",
        "Agreement: curvature of one draw for all positions, relative to that of a draw for each, in one network; "
        "curvature: the latter, relative to that of the other network. Both on test examples.",
        f"Balance B, 1 at the optimum: {b.min():.2f} to {b.max():.2f}.",
    ]


