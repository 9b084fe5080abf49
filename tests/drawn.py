"""How many examples a property draws."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> settings:
    """So many where others draw a hundred: a property that is dear, or one that needs more; wide, in proportion."""
    return settings(max_examples=count * settings.default.max_examples // 100)
