"""The finding of Figure 6 in words."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]
SHORT = {"relative change of the mean": "change", "normalised variability": "variability", "mean |input|": "input"}
CORTEX, NETWORKS = ("a", "b"), ("c", "d")  #: panels


def finding(a: Arrays) -> str:
    """How change and variability depend on what is beside them, in cortex and in the network drawn."""
    parts = [f"{where} {_both(a, panels)}" for where, panels in (("In cortex,", CORTEX), ("in networks,", NETWORKS))]
    return "; ".join(parts) + "."


def _both(a: Arrays, panels: tuple[str, ...]) -> str:
    return " and ".join(_dependence({name: a[name][a[f"{panel}_row"][0]] for name in a if _is_column(a, name)})
                        for panel in panels)  # fmt: skip


def _is_column(a: Arrays, name: str) -> bool:
    return len(a[name]) == len(a["source"])


def _dependence(row: dict[str, np.ndarray]) -> str:
    """One slope in words, by its interval: it falls, it rises, or its sign is not known."""
    x, y = (str(row[axis]).partition(" (")[0] for axis in "xy")
    x, y = (SHORT.get(name, name) for name in (x, y))
    verb = "falls with" if row["high"] < 0 else "rises with" if row["low"] > 0 else "does not clearly depend on"
    return f"{y} {verb} {x}"
