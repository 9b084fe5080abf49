"""How large a figure may be, and what of many things is shown in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
#: Width and height of the largest figure in inches. In print, where a page has 6.5 by 9 inches for it, letters of 9
#: points become 5, the smallest to be read; on a screen, at 150 dots per inch, it is as wide as the screen.
LARGEST = (12.0, 16.0)


def too_large(figure: Figure) -> list[str]:
    """What to say of a figure that is larger than the largest, if it is."""
    size = [" x ".join(f"{side:.3g}" for side in sides) for sides in (figure.get_size_inches(), LARGEST)]
    if all(side <= most for side, most in zip(figure.get_size_inches(), LARGEST, strict=True)):
        return []
    return [
        f"its figure has {size[0]} inches, and the largest {size[1]}: the picture is coarser for it; the analysis "
        "should draw fewer panels, as ebayes_core.report.canvas.spread chooses them"
    ]


def fit(figure: Figure, wanted: float) -> float:
    """Dots per inch: as many as wanted, or so few that no picture has more dots a side than the largest figure's.

    A figure of over eight times the largest is squeezed: its letters would be smaller than two dots.
    """
    sides = np.minimum(figure.get_size_inches(), 8 * np.array(LARGEST))
    figure.set_size_inches(sides)
    return wanted * float(min(1.0, *(np.array(LARGEST) / sides)))


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, spread evenly, with the first and the last among them."""
    at = np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int))
    return [items[i] for i in at]
