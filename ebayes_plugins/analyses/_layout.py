"""Layout of figures: as many panels as fit on a page, spread evenly over the sweep; the number left out is stated."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.report.canvas import LARGEST, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS, COLUMNS = 7, 5  #: largest number of rows and columns of panels in a figure
ENTRIES, LETTERS = 12, 60  #: largest number of entries of a legend, and of letters in an entry
MARKERS = "osD^vP*X"


def grid(figure: Any, rows: int, columns: int, size: float = 2.7) -> np.ndarray:
    """Axes (rows, columns) in a figure that is large enough for them, up to the largest size."""
    wide, high = max(size * columns, 3.4), max(0.85 * size * rows + 0.4, 2.6)
    figure.set_size_inches(min(wide, LARGEST[0]), min(high, LARGEST[1]))
    return figure.subplots(rows, columns, squeeze=False)


def blocks(items: Sequence[Any], rows: int, columns: int = COLUMNS) -> tuple[list[Any], int]:
    """The items that get a column of panels of this many rows, and how many are side by side in each block of rows."""
    shown = spread(items, columns * max(ROWS // rows, 1))
    lines = -(-len(shown) // columns)
    return shown, -(-len(shown) // lines)


def note(axes: Axes, text: str, size: float = 7) -> None:
    """A remark in the corner of a panel."""
    axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=size, va="bottom", color="0.25")


def caption(figure: Any, *lines: str) -> None:
    """Lines above the panels, wrapped at the figure's width; empty lines are omitted."""
    width = int(14 * figure.get_figwidth())  # letters
    figure.suptitle("\n".join(part for line in lines for part in wrap(line, width)), fontsize=9)


def counted(**parts: tuple[int, int]) -> str:
    """The part of a caption that states what was left out; for each kind, the number shown and the total."""
    left = [f"{shown} of {there} {what}" for what, (shown, there) in parts.items() if shown < there]
    return f"shown: {', '.join(left)}, spread evenly; all are in the results file" if left else ""


def short(text: str, most: int = LETTERS) -> str:
    """A text of at most `most` letters, shortened in the middle, since names differ at their ends."""
    if len(text) <= most:
        return text
    head = (most - 4) // 2
    return f"{text[:head].rstrip()} ... {text[len(text) - (most - 5 - head) :].lstrip()}"


def heading(text: str, width: int, lines: int = 3) -> str:
    """A title in a few lines of at most `width` letters."""
    return "\n".join(wrap(short(text, width * lines - width // 2), width))


def legend(place: Any, handles: Sequence[Any], **look: Any) -> None:
    """The legend of a figure or panel, if it has entries: many are thinned out, and long ones are shortened."""
    shown = spread(handles, ENTRIES)
    if shown:
        place.legend(handles=shown, labels=[short(str(handle.get_label())) for handle in shown], **look)


def axis_scale(values: np.ndarray) -> str:
    """The scale of an axis for a quantity that may span decades; zeros are not shown on a log axis."""
    finite = values[np.isfinite(values)]
    if (finite < 0).any():
        return "symlog" if np.abs(finite).max() > 1e3 else "linear"
    return "log" if (finite > 0).any() else "linear"


def few_ticks(ax: Axes) -> None:
    """A few plain numbers on log axes of less than two decades: 1, 2 and 5 of each, unless that leaves one or none."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    for axis, scale in ((ax.xaxis, ax.get_xscale()), (ax.yaxis, ax.get_yscale())):
        low, high = axis.get_view_interval()
        if scale == "log" and high < 100 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > 5 * low else MaxNLocator(4))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
