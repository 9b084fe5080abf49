"""Slopes of synapses on the axes of boundaries: of measured ones, of their changes, and of networks' layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebayes_plugins.analyses._boundary_fits import bracket
from ebayes_plugins.analyses._clouds import Cloud
from ebayes_plugins.analyses._families import FAMILIES
from ebayes_plugins.analyses._measured import Synapses
from ebayes_plugins.analyses._precision import exponents
from ebayes_plugins.analyses._regression import over_seeds, regress

FORWARD, REVERSE = "ln variance on ln mean", "ln variance on ln mean, reversed"
BESIDE, AT_EQUAL = "ln variance on ln mean, beside ln curvature", "0 sigma alone, 1/3 calcium + turnover"
MOVES, MOVES_REVERSE = "change of ln sigma on that of ln mean", "change of ln sigma on that of ln mean, reversed"
#: slopes along the boundaries, and those along which a synapse moves if one of n, p and q alone differs
SLOPES = ", ".join(f"{f.slope:g} {f.name}" for f in FAMILIES if np.isfinite(f.slope)) + "; 1 n alone, 2 q alone"
HALVES = ", ".join(f"{f.slope / 2:g} {f.name}" for f in FAMILIES if np.isfinite(f.slope))
HALVES += "; 0.5 n alone, 1 q alone, below 0.5 p alone"


def of_table(table: Synapses, sites: float, turnover: float | None) -> Iterator[dict[str, Any]]:
    """A row for each slope and exponent of measured synapses, with 95% intervals over synapses."""
    about = {"data": table.source, "over": "synapses", "note": ""}
    forward, reverse = bracket(np.log(table.mean), np.log(table.variance))
    yield {**about, "what": FORWARD, "expected": SLOPES, **forward}
    yield {**about, "what": REVERSE, "expected": SLOPES, **reverse}
    if len(table.mean_after):
        forward, reverse = bracket(*changes(table))
        yield {**about, "what": MOVES, "expected": HALVES, **forward}
        yield {**about, "what": MOVES_REVERSE, "expected": HALVES, **reverse}
    for row in exponents(table, sites, turnover):
        yield {**about, **row}


def changes(table: Synapses) -> tuple[np.ndarray, np.ndarray]:
    """Changes of ln mean and of ln sigma by plasticity."""
    return np.log(table.mean_after / table.mean), np.log(table.variance_after / table.variance) / 2


def over_networks(group: list[list[Cloud]]) -> Iterator[dict[str, Any]]:
    """Slopes of each layer of networks that differ in their seeds, with intervals over seeds if there are several.

    As an experimenter sees them, and with the curvature as second regressor, where theory predicts them.
    """
    for same in zip(*group, strict=True):
        about = {"data": same[0].name, "note": ""}
        yield about | {"what": FORWARD, "expected": SLOPES} | _averaged([_slope(c) for c in same])
        if any((c.curvature > 0).any() for c in same):
            yield about | {"what": BESIDE, "expected": AT_EQUAL} | _averaged([_slope(c, beside=True) for c in same])


def _slope(c: Cloud, beside: bool = False) -> dict[str, float]:
    """Slope of ln variance on ln mean; beside: of the synapses that are not flat, beside ln curvature."""
    kept = (c.curvature > 0) & np.isfinite(c.curvature) if beside else np.ones(len(c.mean), dtype=bool)
    second = np.log(c.curvature[kept]) if beside else None
    return regress(np.log(c.mean[kept]), 2 * np.log(c.sigma[kept]), second)


def _averaged(found: list[dict[str, float]]) -> dict[str, Any]:
    """The slope of one network with its interval over synapses, or the mean of several with that over seeds."""
    if len(found) == 1:
        return {**found[0], "over": "synapses"}
    slope, half = over_seeds(np.array([f["slope"] for f in found]))
    return {**found[0], "slope": slope, "low": slope - half, "high": slope + half, "over": "seeds"}
