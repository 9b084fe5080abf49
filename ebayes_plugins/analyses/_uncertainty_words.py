"""The finding of uncertainty in words, and which of its rows belong together."""

from __future__ import annotations

import numpy as np

from ebayes_core.wording import span
from ebayes_plugins.analyses._panels import Arrays

SHUFFLED = "with sigma shuffled within layers"


def groups(arrays: Arrays) -> list[tuple[str, str, np.ndarray]]:
    """Kind of network, pattern of its sigmas, and which rows belong to them."""
    pairs = dict.fromkeys(zip(arrays["arm"].tolist(), arrays["pattern"].tolist(), strict=True))
    return [(kind, p, (arrays["arm"] == kind) & (arrays["pattern"] == p)) for kind, p in pairs]


def gain(arrays: Arrays, kind: str, pattern: str, name: str) -> np.ndarray:
    """A number with the sigmas trained minus that with another pattern, paired by seed; (seeds,)."""
    mine, own = ((arrays["arm"] == kind) & (arrays["pattern"] == p) for p in (pattern, "own"))
    return np.asarray(arrays[name][own] - arrays[name][mine])


def finding(arrays: Arrays) -> str:
    """The range over kinds of network of the mean rank correlation: Bayes, energies, one sigma, and shuffled sigmas."""
    of: dict[str, list[float]] = {name: [] for name in ("under Bayes", "under energies", "with one sigma", SHUFFLED)}
    for kind, pattern, mine in groups(arrays):
        if name := _name(arrays, kind, pattern):
            of[name].append(round(float(np.nanmean(arrays["rank"][mine])), 2))
    parts = ", ".join(f"{span(values)} {name}" for name, values in of.items() if values)
    return f"Rank correlation of a prediction's variance with the mean network's squared error: {parts}."


def _name(arrays: Arrays, kind: str, pattern: str) -> str:
    """Under which name a kind of network and a pattern of its sigmas are summed up; empty for one sigma per layer."""
    if pattern == "own" and not (arrays["pattern"][arrays["arm"] == kind] != "own").any():
        return "with one sigma"
    own = "under Bayes" if kind.startswith("Bayes") else "under energies"
    return {"own": own, "equal": "", "shuffled": SHUFFLED}[pattern]
