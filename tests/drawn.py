"""What tests draw: numbers of examples, and the words of a figure."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int) -> settings:
    """The number to draw where others draw a hundred, for an expensive property or one that needs more; wide: scaled
    up.
    """
    return settings(max_examples=count * settings.default.max_examples // 100)


def words(figure: Any) -> str:
    """All text above, in and below the panels, on one line."""
    from matplotlib.text import Text

    return " ".join(" ".join(item.get_text() for item in figure.findobj(Text)).split())
