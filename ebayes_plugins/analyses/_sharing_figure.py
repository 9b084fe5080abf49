"""The figure of `weight_sharing`: ratios of sigma against the number of positions, and why they differ from P alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.contract.claim import Measured
from ebayes_plugins.analyses._colours import colours
from ebayes_plugins.analyses._layout import few_ticks
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._sharing_ratios import EXCESS, MEASURED, factor, points, ratio, value
from ebayes_plugins.analyses._titles import WIDTH, count, counts, key, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = 3.5
FACTORS = (0.01, 0.1, 0.2, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 5.0, 10.0, 100.0)
ASIDE = 0.05  #: share of P by which mechanisms are drawn apart
BAND, GAP = (
    0.33,
    1.2,
)  #: half of the height of a row over which mechanisms are spread; rows between numbers of positions
FREE, ROW, LEAST, ROOM = 0.6, 0.16, 2.0, 1.5  #: inches: labels, a row, the panels at least, and the words


def draw(arrays: Arrays, figure: Figure, finding: str) -> None:
    """Left: the power rho + 2 of the ratio against P, the same for all costs; right: its factors besides P."""
    tones, shared = colours(arrays["mechanism"], arrays["rho"]), _shared(arrays)
    rows = len(shared) * (len(EXCESS) + GAP)
    figure.set_size_inches(WIDTH, max(ROW * rows + FREE, LEAST) + ROOM)
    left, right = figure.subplots(1, 2)
    _against_positions(left, arrays, tones)
    _factors(right, arrays, tones, shared)
    small(figure)
    titled(figure, finding)
    key(figure, _entries(tones), *_notes(arrays), ncols=4)


def _shared(a: Arrays) -> list[float]:
    """The numbers of positions of layers that share their synapses, from the largest."""
    return sorted({p for p in a["positions"].tolist() if p > 1}, reverse=True)


def _against_positions(ax: Axes, a: Arrays, tones: dict[str, Any]) -> None:
    """Between the lines of positions that are independent, and of positions that are equal."""
    p = np.geomspace(1, 1.4 * a["positions"].max(), 50)
    ax.fill_between(p, p, p**2, color="0.93", linewidth=0, zorder=0)
    for power, style, words in ((1, "--", "independent: P"), (2, ":", "equal: P²")):
        ax.plot(p, p**power, color="0.35", linewidth=0.9, linestyle=style, zorder=1)
        below = power == 1
        ax.annotate(
            words, (p[30], p[30] ** power), (4, -4) if below else (-6, 0), textcoords="offset points", fontsize=6.5,
            color="0.25", ha="left" if below else "right", va="top" if below else "baseline",
        )  # fmt: skip
    for i, name in enumerate(tones):
        aside = (1 + ASIDE) ** (2 * i - len(tones) + 1)
        for point in _of(a, name):
            _upright(ax, value(a, point, "positions") * aside, _raised(a, point), tones[name])
    ax.set(xscale="log", yscale="log", xlabel="positions P of a synapse", ylabel="(σ of its own / σ shared)$^{ρ+2}$")
    ax.set_title("a  how much smaller the σ of a shared synapse is", loc="left")
    few_ticks(ax)


def _raised(a: Arrays, point: str) -> Measured:
    """The measured ratio to the power rho + 2, which theory says is P if positions are independent."""
    found, power = ratio(a, point, MEASURED), value(a, point, "rho") + 2
    return found._replace(value=found.value**power, low=found.low**power, high=found.high**power)


def _factors(ax: Axes, a: Arrays, tones: dict[str, Any], shared: list[float]) -> None:
    """By what factors the ratio differs from that predicted from P: a row for each, below its number of positions."""
    names, ticks, labels = list(tones), [], []
    for block, positions in enumerate(shared):
        start = block * (len(EXCESS) + GAP)
        ticks.append(start)
        labels.append(f"P = {positions:g}")
        for row, name in enumerate(EXCESS, 1):
            ticks.append(start + row)
            labels.append(name)
            for point in (p for p in points(a) if value(a, p, "positions") == positions):
                i = names.index(str(value(a, point, "mechanism")))
                y = start + row + BAND * (2 * i / max(len(names) - 1, 1) - 1)
                _level(ax, factor(a, point, name), y, tones[names[i]])
    ax.axvline(1, color="0.5", linewidth=0.8, zorder=0)
    ax.set_yticks(ticks, labels)
    for label in [x for x in ax.get_yticklabels() if x.get_text().startswith("P =")]:
        label.set_fontweight("bold")
    ax.set(xscale="log", xlabel="factor in the ratio of the σ", ylim=(max(ticks, default=0) + 0.7, -0.6))
    ax.set_title("b  why it differs from P alone", loc="left")
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    _ticks(ax)


def _ticks(ax: Axes) -> None:
    """1, and round factors on both sides of it."""
    from matplotlib.ticker import NullLocator

    low, high = ax.get_xlim()
    kept = [tick for tick in FACTORS if low <= tick <= high]
    ax.set_xticks(kept, [f"{tick:g}" for tick in kept])
    ax.xaxis.set_minor_locator(NullLocator())


def _of(a: Arrays, mechanism: str) -> list[str]:
    return [point for point in points(a) if value(a, point, "mechanism") == mechanism]


def _error(known: Measured) -> np.ndarray:
    """Both half widths of an interval; 0 where there is a single seed."""
    return np.nan_to_num([[known.value - known.low], [known.high - known.value]])


LOOK: dict[str, Any] = {"marker": "o", "markersize": SIZE, "elinewidth": 0.8, "linestyle": "", "zorder": 3}


def _upright(ax: Axes, x: float, known: Measured, tone: Any) -> None:
    ax.errorbar(x, known.value, yerr=_error(known), color=tone, **LOOK)


def _level(ax: Axes, known: Measured, y: float, tone: Any) -> None:
    ax.errorbar(known.value, y, xerr=_error(known), color=tone, **LOOK)


def _entries(tones: dict[str, Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=tone, marker="o", markersize=3, label=name) for name, tone in tones.items()]


def _notes(a: Arrays) -> list[str]:
    seeds, pairs = len(set(a["seed"].tolist())), int((a["layer"] == 1).sum())
    b = np.concatenate([a["balance_kernel"], a["balance_position"]])
    return [
        f"Geometric means over {count(seeds, 'seed')} with 95% intervals (Student's t); {count(pairs, 'pair')} of "
        f"networks, {counts(a['n'], 'synapse')} of a layer. P = 1: a layer that shares nothing.",
        "Positions agree: curvature for one draw at all positions, relative to a draw for each, at the same weights. "
        "Curvatures differ: the latter, relative to the network that has a draw for each. Both on test examples. Rest: "
        f"what these leave. Balance B, 1 at the optimum: {b.min():.2f} to {b.max():.2f}.",
    ]
