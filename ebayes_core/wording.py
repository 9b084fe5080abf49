"""Numbers and values as text, for sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def networks(count: int | None) -> str:
    """A number of networks, as in "1 network", "2 networks"."""
    return f"{count} network{'' if count == 1 else 's'}"


def text(value: Any) -> str:
    """A value as a table shows it; a dash if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, dict):  # a whole table of the spec was swept: its kind, then its other fields
        fields = [f"{name}={text(v)}" for name, v in value.items() if name != "kind"]
        return " ".join([str(value.get("kind", "")), *fields]).strip()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def amount(value: float) -> str:
    """Seconds or megabytes: two digits below 10, whole numbers above."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def span(values: Iterable[float]) -> str:
    """The range of the finite values, with three digits; a single number if they agree."""
    finite = [float(v) for v in values if math.isfinite(v)]
    if not finite:
        return "-"
    low, high = text(min(finite)), text(max(finite))
    return low if low == high else f"{low} to {high}"
