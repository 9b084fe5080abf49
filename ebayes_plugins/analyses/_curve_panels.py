"""Figures of curves over c: a column per mechanism, colour and marker by noise mode, dashes by quantity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_plugins.analyses._colours import NOISES, colours
from ebayes_plugins.analyses._common import balance_range
from ebayes_plugins.analyses._curves import Arrays, columns, lines
from ebayes_plugins.analyses._layout import blocks, caption, counted, grid, heading, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Look = dict[str, Any]  #: colour, marker and dashes of a line


class Panels(NamedTuple):
    """Axes (rows, mechanisms), the mechanisms that they show, and how many of them are side by side."""

    axes: np.ndarray
    names: list[str]
    wide: int


def panels(figure: Figure, arrays: Arrays, rows: int, draw: Callable[[np.ndarray, Arrays, Look], None]) -> Panels:
    """A column of axes per mechanism; draw(its axes, rows of one noise mode, its style) is called for every line."""
    known = columns(arrays)
    names, wide = blocks(known, rows)
    axes, tones = _columns(figure, rows, len(names), wide), colours(arrays["column"], arrays["rho"])
    for column, name in zip(axes.T, names, strict=True):
        for line, mine in lines(arrays, name):
            draw(column, mine, style(line, tones[name]))
        column[0].set_title(heading(name, 32), fontsize=9)
    left_out = int(arrays["left_out"][0])
    caption(
        figure, balance_range(arrays["line"], arrays["balance"]),
        f"{left_out} diverged networks left out" if left_out else "", counted(mechanisms=(len(names), len(known))),
    )  # fmt: skip
    return Panels(axes, names, wide)


def _columns(figure: Figure, rows: int, n: int, wide: int) -> np.ndarray:
    """Axes (rows, n), `wide` of the n side by side."""
    axes = grid(figure, rows * -(-n // wide), wide, 2.6)
    for ax in axes[-rows:, (n - 1) % wide + 1 :].flat:
        figure.delaxes(ax)
    return axes.reshape(-1, rows, wide).transpose(1, 0, 2).reshape(rows, -1)[:, :n]


def style(line: str, tone: Any) -> Look:
    """Colour of the mechanism, or grey, and a marker for the noise mode."""
    return {"color": NOISES.get(line, tone), "marker": "os^"[len(line) % 3], "markersize": 3}


def score_name(arrays: Arrays) -> str:
    """The name of the score with its unit."""
    return "accuracy (fraction correct)" if arrays["score"][0] == "accuracy" else "RMSE (target)"


def legend_below(
    figure: Figure, arrays: Arrays, shown: Panels, dashes: dict[str, Any], more: dict[str, Look] | None = None
) -> None:
    """Legend below the panels: dashes, noise modes in the colours of the first mechanism, and `more`."""
    from matplotlib.lines import Line2D

    first = colours(arrays["column"], arrays["rho"])[columns(arrays)[0]]
    noises = {line: {**style(line, first), "markersize": 4} for line in dict.fromkeys(arrays["line"].tolist())}
    keys = {name: {"color": "0.2", "linestyle": dash} for name, dash in dashes.items()} | noises | (more or {})
    handles = [Line2D([], [], label=name, **look) for name, look in keys.items()]
    legend(figure, handles, loc="outside lower center", ncols=3 if shown.wide > 2 else 1, fontsize=7)
