"""The largest size of a figure, and which of many items it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
#: Width and height of the largest figure in inches. Printed on a page with room for 6.5 by 9 inches, its letters of
#: 9 points shrink to 5, the smallest legible size; at 150 dots per inch it is as wide as a screen.
LARGEST = (12.0, 16.0)


def too_large(figure: Figure) -> list[str]:
    """A message if a figure is too large, else nothing."""
    size = [" x ".join(f"{side:.3g}" for side in sides) for sides in (figure.get_size_inches(), LARGEST)]
    if all(side <= most for side, most in zip(figure.get_size_inches(), LARGEST, strict=True)):
        return []
    return [
        f"its figure has {size[0]} inches, more than the {size[1]} allowed, so its resolution is reduced; the analysis "
        "should draw fewer panels, for example those chosen by ebayes_core.report.canvas.spread"
    ]


def fit(figure: Figure, wanted: float) -> float:
    """Dots per inch: as wanted, or fewer so that no side has more dots than that of the largest figure.

    A figure over eight times as large is also shrunk: its letters would be smaller than two dots.
    """
    sides = np.minimum(figure.get_size_inches(), 8 * np.array(LARGEST))
    figure.set_size_inches(sides)
    return wanted * float(min(1.0, *(np.array(LARGEST) / sides)))


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced, including the first and the last."""
    at = np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int))
    return [items[i] for i in at]
