"""How curves over c look: a column per mechanism, colour and marker by noise, dashes by what is shown."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._common import balance_range, caption, colour, grid
from ebayes_plugins.analyses._curves import Arrays, columns, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(figure: Figure, arrays: Arrays, rows: int, draw: Callable[[np.ndarray, Arrays, str], None]) -> np.ndarray:
    """Axes (rows, mechanisms); draw(axes of a column, rows of one noise, its kind) is called for every line."""
    names = columns(arrays)
    axes = grid(figure, rows, len(names), 2.6)
    for column, name in enumerate(names):
        for line, mine in lines(arrays, name):
            draw(axes[:, column], mine, line)
        axes[0, column].set_title("\n".join(wrap(name, 32)), fontsize=9)
    left_out = int(arrays["left_out"][0])
    caption(
        figure, balance_range(arrays["line"], arrays["balance"]),
        *([f"{left_out} diverged networks left out"] if left_out else []),
    )  # fmt: skip
    return axes


def style(mine: Arrays, line: str) -> dict[str, Any]:
    """Colour of the mechanism, or grey, and a marker for the noise."""
    return {"color": colour(float(mine["rho"][0]), line), "marker": "os^"[len(line) % 3], "markersize": 3}


def score_name(arrays: Arrays) -> str:
    """The score with its unit."""
    return "accuracy (share right)" if arrays["score"][0] == "accuracy" else "RMSE (target)"


def legend(
    figure: Figure, arrays: Arrays, dashes: dict[str, Any], more: dict[str, dict[str, Any]] | None = None
) -> None:
    """Below: what the dashes mean, the noises in the colours of the first mechanism, and more."""
    from matplotlib.lines import Line2D

    noises = {line: {**style(arrays, line), "markersize": 4} for line in dict.fromkeys(arrays["line"].tolist())}
    keys = {name: {"color": "0.2", "linestyle": dash} for name, dash in dashes.items()} | noises | (more or {})
    handles = [Line2D([], [], label=name, **look) for name, look in keys.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(columns(arrays)) > 2 else 1, fontsize=7)
