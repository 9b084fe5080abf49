"""Figures of curves over c: a column per mechanism; its colour is for heterogeneous noise, grey for homogeneous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_core.report.canvas import LARGEST
from ebayes_plugins.analyses._colours import NOISES, colours
from ebayes_plugins.analyses._common import balance_range
from ebayes_plugins.analyses._curves import Arrays, columns, lines
from ebayes_plugins.analyses._layout import axis_scale, blocks, counted, few_ticks, grid, heading, legend
from ebayes_plugins.analyses._published import published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Words = tuple[str, ...]
Look = dict[str, Any]  #: colour, marker and dashes of a line
PAGE = 7.1  #: width of a printed page in inches; up to four mechanisms share it
MARKS = {"heterogeneous": "o", "homogeneous": "s"}


class Panels(NamedTuple):
    """Axes (rows, mechanisms), the mechanisms that they show, and how many of them are side by side."""

    axes: np.ndarray
    names: list[str]
    wide: int


def panels(
    figure: Figure,
    arrays: Arrays,
    rows: int,
    draw: Callable[[np.ndarray, Arrays, Look], None],
    words: Words,
    about: str = "",
) -> Panels:
    """A column of axes per mechanism; draw(its axes, rows of one noise mode, its style) is called for every line.

    words: the lines of the title, above those on how many networks are shown and how near they are to their optimum.
    about: what the names of the axes leave out.
    """
    known = columns(arrays)
    names, wide = blocks(known, rows)
    axes, tones = _columns(figure, rows, len(names), wide), colours(arrays["column"], arrays["rho"])
    for column, name in zip(axes.T, names, strict=True):
        for line, mine in lines(arrays, name):
            draw(column, mine, style(line, tones[name]))
        column[0].set_title(heading(name, 18), fontsize=9)
    _letters(axes)
    _caption(figure, arrays, words, about, counted(mechanisms=(len(names), len(known))))
    return Panels(axes, names, wide)


def _caption(figure: Figure, arrays: Arrays, words: Words, about: str, shown: str) -> None:
    """The title: what is seen, and of how many networks, in letters that leave the page to the panels."""
    left_out = int(arrays["left_out"][0])
    lines = (
        *words, "; ".join(filter(None, (numbers(arrays), about))), balance_range(arrays["line"], arrays["balance"]),
        f"{left_out} diverged networks left out" if left_out else "", shown,
    )  # fmt: skip
    width = int(16 * figure.get_figwidth())  # letters
    figure.suptitle("\n".join(part for line in lines for part in wrap(line, width)), fontsize=8)


def _letters(axes: np.ndarray) -> None:
    """A letter for each row of panels, to the left of the first."""
    for letter, ax in zip("abcdefg", axes[:, 0], strict=False):
        where = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (-29, 3), "textcoords": "offset points"}
        ax.annotate(letter, **where, fontsize=9, fontweight="bold")


def _columns(figure: Figure, rows: int, n: int, wide: int) -> np.ndarray:
    """Axes (rows, n), `wide` of the n side by side, with room for headings, title and legend."""
    parts = -(-n // wide)
    axes = grid(figure, rows * parts, wide, PAGE / max(wide, 4))
    figure.set_figheight(min(parts * (1.5 * rows + 0.6) + 0.8, LARGEST[1]))
    for ax in axes[-rows:, (n - 1) % wide + 1 :].flat:
        figure.delaxes(ax)
    return axes.reshape(-1, rows, wide).transpose(1, 0, 2).reshape(rows, -1)[:, :n]


def numbers(arrays: Arrays) -> str:
    """How many networks a point stands for, and what its band or bar is."""
    points = zip(arrays["column"].tolist(), arrays["line"].tolist(), arrays["c"].tolist(), strict=True)
    n = sorted(set(Counter(points).values()))
    if n == [1]:
        return "each point: one network"
    each = f"{n[0]} to {n[-1]}" if len(n) > 1 else str(n[0])
    return f"each point: mean and s.d. of {each} networks (seeds)"


def style(line: str, tone: Any) -> Look:
    """Colour of the mechanism, or grey, and a marker for the noise mode."""
    return {"color": NOISES.get(line, tone), "marker": MARKS.get(line, "^"), "markersize": 2.5, "linewidth": 1.2}


def open_markers(look: Look) -> Look:
    """The style of the published values of a line: open markers alone."""
    return {
        "color": look["color"], "marker": look["marker"], "markersize": 4.5, "markerfacecolor": "none",
        "markeredgewidth": 0.7, "linestyle": "none",
    }  # fmt: skip


def score_name(arrays: Arrays) -> str:
    """The name of the score with its unit."""
    return "accuracy (fraction correct)" if arrays["score"][0] == "accuracy" else "RMSE (target)"


def score_axis(axes: np.ndarray, arrays: Arrays, wide: int) -> None:
    """A row of panels whose common y axis is the score: accuracy in percent, from 0 to 100."""
    from matplotlib.ticker import FuncFormatter

    accurate = arrays["score"][0] == "accuracy"
    common_y(axes, wide, "accuracy (%)" if accurate else "RMSE (target)")
    for ax in axes:
        if accurate:
            ax.set_ylim(0, 1.02)
            ax.set_yticks(np.linspace(0, 1, 5))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))


def common_y(axes: np.ndarray, wide: int, name: str) -> None:
    """One y axis for a row of panels, named and numbered on the left."""
    limits = _around([ax.get_ylim() for ax in axes], axes[0].yaxis)
    for i, ax in enumerate(axes):
        ax.set_ylim(*limits)
        ax.set_ylabel(name if i % wide == 0 else "")
        ax.tick_params(labelleft=i % wide == 0)


def _around(limits: list[tuple[float, float]], axis: Any) -> tuple[float, float]:
    """The limits of all panels, with room for a marker at either end."""
    scale = axis.get_transform()
    low, high = scale.transform(np.array([np.min(limits), np.max(limits)]))
    room = 0.02 * (high - low)
    first, last = scale.inverted().transform(np.array([low - room, high + room]))
    return float(first), float(last)


def x_axis(axes: np.ndarray, name: str, values: np.ndarray, common: bool = True) -> None:
    """The x axis of a row of panels, with common limits. Without a name it is that of the row below."""
    for ax in axes:
        ax.set_xscale(axis_scale(values))
    limits = _around([ax.get_xlim() for ax in axes], axes[0].xaxis)
    for ax in axes:
        ax.set_xlim(*(limits if common else ax.get_xlim()))
        ax.set_xlabel(name)
        ax.tick_params(labelbottom=bool(name))


def tidy(axes: np.ndarray) -> None:
    """Few ticks on every panel, with plain numbers, and letters of one size."""
    from matplotlib.ticker import FuncFormatter

    for ax in axes.flat:
        few_ticks(ax)
        for axis, scale in ((ax.xaxis, ax.get_xscale()), (ax.yaxis, ax.get_yscale())):
            low, high = axis.get_view_interval()
            if scale == "log" and low > 1e-4 and high < 1e4:
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.tick_params(labelsize=7, which="both")
        ax.xaxis.label.set_size(8)
        ax.yaxis.label.set_size(8)


def remark(ax: Axes, text: str, right: bool) -> None:
    """A number in the lower corner that the curves leave free."""
    x, side = (0.97, "right") if right else (0.04, "left")
    ax.text(x, 0.05, text, transform=ax.transAxes, fontsize=6.5, va="bottom", ha=side, color="0.2")


def legend_below(figure: Figure, arrays: Arrays, shown: Panels, more: dict[str, Look]) -> None:
    """Legend below the panels: noise modes in the colours of the first mechanism, and more looks by name."""
    from matplotlib.lines import Line2D

    first = colours(arrays["column"], arrays["rho"])[columns(arrays)[0]]
    noises = {line: {**style(line, first), "markersize": 4} for line in dict.fromkeys(arrays["line"].tolist())}
    keys = {f"{line} noise" if line != "none" else "without noise": look for line, look in noises.items()}
    keys |= {name: {"color": "0.2", "linewidth": 1.2, **look} for name, look in more.items()}
    handles = [Line2D([], [], label=name, **look) for name, look in keys.items()]
    across = 3 if len(keys) < 4 else 2
    legend(figure, handles, loc="outside lower center", ncols=across if shown.wide > 2 else 1, fontsize=7)


def published_key(arrays: Arrays) -> dict[str, Look]:
    """The entry of the legend for published values, if they are drawn."""
    look = open_markers({"color": "0.2", "marker": "o"})
    return {"open markers: published values": look} if published(arrays) else {}
