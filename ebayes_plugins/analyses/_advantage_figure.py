"""Figure 3: accuracy, sigma and reliability cost against each other; and its details, other averages and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebayes_plugins.analyses._curve_panels import (
    Look,
    Panels,
    Words,
    common_y,
    legend_below,
    open_markers,
    panels,
    published_key,
    remark,
    score_axis,
    tidy,
    x_axis,
)
from ebayes_plugins.analyses._curves import Arrays, curve, gain, pair
from ebayes_plugins.analyses._layout import axis_scale
from ebayes_plugins.analyses._published import published_line
from ebayes_plugins.analyses._tradeoff_figure import average

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COST = "cost per synapse (nat)"
PRICE = "cost: reliability cost per synapse at s = 1"


class Row(NamedTuple):
    """A row of panels: the quantities on its axes and their names; without a name of x, that of the row below."""

    x: str
    y: str
    x_name: str
    y_name: str = ""  #: empty for the score


def _main(arrays: Arrays) -> tuple[Row, ...]:
    sigma = average(arrays)
    return (
        Row(sigma, "score_sample", ""),
        Row(sigma, "price", "RMS sigma (weight)", "cost (nat)"),
        Row("price", "score_sample", COST),
    )


DETAILS = (
    Row("sigma_median", "score_sample", "median sigma (weight)"),
    Row("relative_median", "score_sample", "median sigma / RMS mean"),
    Row("sigma_rms", "price_at_rms", "RMS sigma (weight)", "cost at RMS\nsigma (nat)"),
    Row("price_at_rms", "score_sample", "cost at RMS sigma (nat)"),
)


def draw_main(arrays: Arrays, figure: Figure, words: Words) -> None:
    """A column per mechanism: accuracy against RMS sigma, cost against RMS sigma, accuracy against cost."""
    _draw(arrays, figure, _main(arrays), words)


def draw_details(arrays: Arrays, figure: Figure, words: Words) -> None:
    """The same for the median of sigma, sigma relative to the means, and the cost if all had the RMS sigma."""
    _draw(arrays, figure, DETAILS, words)


def _draw(arrays: Arrays, figure: Figure, rows: tuple[Row, ...], words: Words) -> None:
    def line(axes: np.ndarray, mine: Arrays, look: Look) -> None:
        theirs = published_line(arrays, str(mine["column"][0]), str(mine["line"][0]))
        for ax, row in zip(axes, rows, strict=True):
            _against(ax, mine, row, linestyle="-", **look)
            _open(ax, theirs, row, look)

    shown = panels(figure, arrays, len(rows), line, words, PRICE)
    for axes, row in zip(shown.axes, rows, strict=True):
        _scales(shown, axes, row, arrays)
        for ax, column in zip(axes, shown.names, strict=True):
            _gained(ax, arrays, column, row)
    tidy(shown.axes)
    legend_below(figure, arrays, shown, published_key(arrays))


def _against(ax: Axes, mine: Arrays, row: Row, **look: Any) -> None:
    """One curve, in the order of c, with bars of one standard deviation over seeds on both axes."""
    (_, at, wide), (_, mean, high) = curve(mine, row.x), curve(mine, row.y)
    bars: dict[str, Any] = {"xerr": wide, "yerr": high} if (wide > 0).any() else {}
    ax.errorbar(np.where(at > 0, at, np.nan), mean, **bars, elinewidth=0.7, **look)


def _open(ax: Axes, theirs: Arrays | None, row: Row, look: Look) -> None:
    """The published values of a line, where both quantities were published."""
    if theirs and row.x in theirs and row.y in theirs:
        ax.plot(theirs[row.x], theirs[row.y], **open_markers(look))


def _gained(ax: Axes, arrays: Arrays, column: str, row: Row) -> None:
    """The gain in accuracy at equal values of x, with its interval, in the corner that the curves leave free."""
    both = pair(arrays, column)
    if both and arrays["score"][0] == "accuracy" and row.y == "score_sample":
        value, low, high = 100 * np.array(gain(*both, row.x, "accuracy"))
        span = f"\n({low:+.1f} to {high:+.1f})" if np.isfinite(low) else ""
        if np.isfinite(value):
            remark(ax, f"{value:+.1f} points{span}", right=row.x.startswith("price"))


def _scales(shown: Panels, axes: np.ndarray, row: Row, arrays: Arrays) -> None:
    """Labels and scales: sigma and cost span decades."""
    common = not row.x.startswith("price")  # costs of different exponents have different ranges
    x_axis(axes, row.x_name, arrays[row.x], common)
    if not row.y_name:
        score_axis(axes, arrays, shown.wide)
        return
    for ax in axes:
        ax.set_yscale(axis_scale(arrays[row.y]))
    common_y(axes, shown.wide, row.y_name)
