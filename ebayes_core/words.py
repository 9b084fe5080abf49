"""Numbers as a sentence has them."""

from __future__ import annotations


def networks(count: int | None) -> str:
    """How many networks, in words."""
    return f"{count} network{'' if count == 1 else 's'}"
