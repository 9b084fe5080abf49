"""Number of examples that a property test draws."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> settings:
    """The number to draw where others draw a hundred, for an expensive property or one that needs more; wide: scaled
    up.
    """
    return settings(max_examples=count * settings.default.max_examples // 100)
