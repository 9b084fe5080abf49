"""Numbers and values as a sentence or a table has them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def networks(count: int | None) -> str:
    """How many networks, in words."""
    return f"{count} network{'' if count == 1 else 's'}"


def text(value: Any) -> str:
    """A value as it stands in a table; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, dict):  # a whole table was swept: its kind, then what else the spec says of it
        fields = [f"{name}={text(v)}" for name, v in value.items() if name != "kind"]
        return " ".join([str(value.get("kind", "")), *fields]).strip()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def amount(value: float) -> str:
    """Seconds or megabytes: two digits where they are few, whole numbers where they are many."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def span(values: Iterable[float]) -> str:
    """From the least to the largest of the finite ones, with three digits; one number where they agree."""
    finite = [float(v) for v in values if math.isfinite(v)]
    if not finite:
        return "-"
    low, high = text(min(finite)), text(max(finite))
    return low if low == high else f"{low} to {high}"
