"""The figure of `continual`: a row for each arm, a panel for each number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._colours import OTHERS
from ebayes_plugins.analyses._layout import counted, short
from ebayes_plugins.analyses._regression import over_seeds
from ebayes_plugins.analyses._titles import count, counts, page, small, titled, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = dict[str, np.ndarray]
PANELS = (
    ("accuracy", "accuracy on all tasks", "fraction correct", "linear"),
    ("forgetting", "forgetting", "best minus last accuracy", "linear"),
    ("travelled", "energy of learning", "sum of |change of μ| (weight)", "log"),
)
ARMS, DOTS = 16, 40  #: most rows, and dots in a row


def draw(arrays: Arrays, figure: Figure, names: list[str], finding: str) -> None:
    """Dots are networks, bars 95% intervals over seeds."""
    shown = spread(names, ARMS)
    axes = page(figure, 1, 3, 0.21 * len(shown) + 0.45)[0]
    for ax, panel in zip(axes, PANELS, strict=True):
        _panel(ax, arrays, shown, panel)
    axes[0].set_ylabel("how it learns")
    for ax in axes[1:]:
        ax.set_yticklabels([])
    small(figure)
    seeds, epochs = len(set(arrays["seed"].tolist())), arrays["by_task"].shape[2]
    tasks = counts(np.isfinite(arrays["by_task"]).any(-1).sum(1), "task")
    titled(
        figure, finding,
        f"Left and middle: test accuracy with the mean weights after the last of {tasks}, averaged over "
        f"tasks; the best of {count(epochs - 1, 'epoch')} minus the last, averaged over all tasks but the last. Right: "
        "summed over all steps and synapses; thin ticks: the least that could have led there",
        f"dots: networks ({counts([len(arrays['seed'])], 'network')}, {count(seeds, 'seed')}); bars: mean and 95% "
        "interval over seeds",
        counted(arms=(len(shown), len(names))),
    )  # fmt: skip


def _panel(ax: Axes, arrays: Arrays, names: list[str], panel: tuple[str, str, str, str]) -> None:
    number, title, unit, scale = panel
    for row, name in enumerate(names):
        mine = np.flatnonzero(arrays["arm"] == name)
        values, colour = arrays[number][mine], OTHERS[row % len(OTHERS)]
        middle, half = over_seeds(values)
        some = spread(mine.tolist(), DOTS)
        ax.plot(arrays[number][some], np.full(len(some), row) + 0.18, "o", color=colour, markersize=2.2, alpha=0.7)
        ax.errorbar(middle, row - 0.12, xerr=_bar(middle, half, scale), fmt="|", color=colour, capsize=2, markersize=7)
        if number == "travelled":
            ax.plot(arrays["moved"][mine].mean(), row - 0.12, "|", color="0.5", markersize=5)
    ax.set(title=title, xlabel=unit, xscale=scale, ylim=(len(names) - 0.5, -0.5))
    ax.set_yticks(range(len(names)), [typeset(short(name)) for name in names])
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)


def _bar(middle: float, half: float, scale: str) -> np.ndarray | None:
    """The interval to either side; on a logarithmic axis it ends above 0."""
    if not np.isfinite(half):
        return None
    return np.array([[min(half, 0.9 * middle) if scale == "log" else half], [half]])
