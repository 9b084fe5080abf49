"""The figure of `noises`: six panels for each mechanism, noises in colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import spread
from ebayes_plugins.analyses._colours import NOISES, OTHERS
from ebayes_plugins.analyses._common import balance_range, mean_band
from ebayes_plugins.analyses._curve_panels import score_name
from ebayes_plugins.analyses._layout import (
    ENTRIES,
    MARKERS,
    axis_scale,
    counted,
    few_ticks,
    heading,
)
from ebayes_plugins.analyses._titles import count, key, page, small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Arrays = dict[str, np.ndarray]
NOTE = (
    "Means over seeds; bars: standard deviations, of energy and score; dotted: energies at which noises are compared."
)
MECHANISMS = 3  #: most blocks of two rows of panels
PANELS = (
    ("score_sample", "one sampled network"), ("score_ensemble", "ensemble"), ("score_mean", "mean weights"),
    ("nll_sample", "one sampled network"), ("nll_ensemble", "ensemble"), ("silent", "nearly silent synapses"),
)  # fmt: skip


def draw(arrays: Arrays, figure: Figure, energies: dict[str, np.ndarray], finding: str) -> None:
    """Numbers against energy per synapse, mean and standard deviation over seeds; dotted where noises are compared."""
    names = list(energies)
    shown = spread(names, MECHANISMS)
    axes = page(figure, 2 * len(shown), 3, 1.7)
    looks = _looks(arrays)
    for i, column in enumerate(shown):
        block = axes[2 * i : 2 * i + 2].ravel()
        for ax, (name, title) in zip(block, PANELS, strict=True):
            _panel(ax, arrays, column, name, looks)
            for energy in energies[column]:
                ax.axvline(energy, color="0.7", linestyle=":", linewidth=0.8)
            ax.set_title(title if len(names) == 1 else f"{heading(column, 32)}\n{title}")
            few_ticks(ax)
    for ax in axes[-1]:
        ax.set_xlabel("energy per synapse (before c)")
    small(figure)
    skipped = int(arrays["skipped"][0])
    titled(figure, finding)
    key(
        figure, _entries(looks), NOTE, balance_range(arrays["line"], arrays["balance"]) if len(looks) < ENTRIES else "",
        f"{count(skipped, 'network')} without noise or diverged left out." if skipped else "",
        counted(mechanisms=(len(shown), len(names)), noises=(min(len(looks), ENTRIES), len(looks))),
        ncols=min(len(looks), 3),
    )  # fmt: skip


def _looks(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Colour and marker of each noise."""
    names = list(dict.fromkeys(arrays["line"].tolist()))
    return {
        name: {"color": NOISES.get(name, OTHERS[i % len(OTHERS)]), "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(names)
    }


def _panel(ax: Axes, arrays: Arrays, column: str, name: str, looks: dict[str, dict[str, Any]]) -> None:
    """One number of the networks under one mechanism."""
    for line in spread(list(looks), ENTRIES):
        mine = (arrays["column"] == column) & (arrays["line"] == line)
        settings = dict.fromkeys(arrays["setting"][mine].tolist())
        points = [mine & (arrays["setting"] == setting) for setting in settings]
        found = [(*mean_band(arrays["energy"][p]), *mean_band(arrays[name][p])) for p in points]
        if found:
            x, wide, y, high = np.array(sorted(found)).T
            bars: dict[str, Any] = {"xerr": wide, "yerr": high} if (high > 0).any() else {}
            ax.errorbar(x, y, **bars, markersize=3.5, linewidth=1.2, elinewidth=0.7, **looks[line])
    share, loss = name == "silent", name.startswith("nll")
    ax.set_ylabel("share of synapses" if share else "loss per example (nat)" if loss else score_name(arrays))
    ax.set(xscale="log", yscale=axis_scale(arrays[name]) if loss else "linear")


def _entries(looks: dict[str, dict[str, Any]]) -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=name, **look) for name, look in looks.items()]
