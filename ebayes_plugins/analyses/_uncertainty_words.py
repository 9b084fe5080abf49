"""The finding of uncertainty in words, and which of its rows belong together."""

from __future__ import annotations

import numpy as np

from ebayes_core.wording import span
from ebayes_plugins.analyses._panels import Arrays


def groups(arrays: Arrays) -> list[tuple[str, str, np.ndarray]]:
    """Kind of network, pattern of its sigmas, and which rows belong to them."""
    pairs = dict.fromkeys(zip(arrays["arm"].tolist(), arrays["pattern"].tolist(), strict=True))
    return [(kind, p, (arrays["arm"] == kind) & (arrays["pattern"] == p)) for kind, p in pairs]


def gain(arrays: Arrays, kind: str, pattern: str, name: str) -> np.ndarray:
    """A number with the sigmas trained minus that with another pattern, paired by seed; (seeds,)."""
    mine, own = ((arrays["arm"] == kind) & (arrays["pattern"] == p) for p in (pattern, "own"))
    return np.asarray(arrays[name][own] - arrays[name][mine])


def finding(arrays: Arrays) -> str:
    """The range over kinds of network of the mean rank correlation, for each pattern."""
    of: dict[str, list[float]] = {}
    for kind, pattern, mine in groups(arrays):
        who = "Bayes" if kind.startswith("Bayes") else "energies"
        single = f"{kind} (one sigma)" if not _has_others(arrays, kind) else ""
        name = {"own": single or who, "equal": "one sigma per layer", "shuffled": "shuffled within layers"}[pattern]
        of.setdefault(name, []).append(round(float(np.nanmean(arrays["rank"][mine])), 2))
    parts = ", ".join(f"{span(values)} ({name})" for name, values in of.items())
    return f"The variance of predictions and the squared error of the mean network have rank correlation {parts}."


def _has_others(arrays: Arrays, kind: str) -> bool:
    return bool((arrays["pattern"][arrays["arm"] == kind] != "own").any())
