"""The finding of contraction in words, and which of its fits belong together."""

from __future__ import annotations

import numpy as np

from ebayes_core.wording import span
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._regression import over_seeds

AXES = {"data": "amount of data N", "price": "price c"}
LETTER = {"data": "N", "price": "c"}


def finding(arrays: Arrays) -> str:
    """The powers of the amount of data and of the price, for Bayes and for energies."""
    return f"sigma^2 goes with {'; with '.join(text for axis in AXES if (text := _said(arrays, axis)))}."


def _said(arrays: Arrays, axis: str) -> str:
    """The range of the powers on an axis, each the mean over seeds."""
    of: dict[str, list[float]] = {"variational Bayes": [], "energies": []}
    for found, kind, mine in groups(arrays):
        if found == axis:
            who = "variational Bayes" if kind.startswith("Bayes") else "energies"
            of[who].append(round(over_seeds(arrays["fit_found"][mine])[0], 2) + 0.0)
    parts = [f"{span(values)} under {who}" for who, values in of.items() if values]
    return f"the {AXES[axis]} to the power {', '.join(parts)}" if parts else ""


def groups(arrays: Arrays) -> list[tuple[str, str, np.ndarray]]:
    """Axis, kind of network, and which fits belong to them."""
    found = []
    for axis in AXES:
        for kind in dict.fromkeys(arrays["fit_arm"].tolist()):
            mine = (arrays["fit_axis"] == axis) & (arrays["fit_arm"] == kind)
            found += [(axis, str(kind), mine)] * bool(mine.any())
    return found
