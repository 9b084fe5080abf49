"""Ratios of the sigmas of separate and shared synapses: measured, predicted, and by what factors these differ."""

from __future__ import annotations

from typing import Any

from ebayes_core.contract.claim import Measured
from ebayes_plugins.analyses._intervals import by_ratio
from ebayes_plugins.analyses._panels import Arrays

#: what the ratio of the sigmas is predicted from: terms whose sum, divided by rho + 2, is its logarithm
PREDICTIONS = {
    "P": ("count",),
    "P and their agreement": ("count", "agreement"),
    "P, agreement and curvature": ("count", "agreement", "networks"),
}
MEASURED = "measured"
#: by what factors the ratio differs from the prediction from P: all of them together, and each
EXCESS = {
    "measured / from P": ("count",),
    "positions agree": ("agreement",),
    "curvatures differ": ("networks",),
    "rest": ("count", "agreement", "networks"),
}


def points(arrays: Arrays) -> list[str]:
    """Mechanisms and layers, each of which has a row per seed, in the order of the spec."""
    return list(dict.fromkeys(arrays["point"].tolist()))


def ratio(arrays: Arrays, point: str, name: str) -> Measured:
    """A ratio of sigmas, measured or predicted: geometric mean over seeds, with its 95% interval.

    At the optimum N H sigma^(rho + 2) = c rho for a shared synapse, whose H is E[(sum over positions of delta x)^2].
    With noise of its own at each of P positions, the curvature is E[sum of (delta x)^2] and the price P times c. So the
    power rho + 2 of the ratio is P, times the ratio of the two curvatures in one network (agreement of the positions:
    1 if independent, P if equal), times that of the second between the two networks.
    """
    mine = arrays["point"] == point
    if name == MEASURED:
        return by_ratio(name, arrays["ratio"][mine])
    return by_ratio(name, sum(arrays[term][mine] for term in PREDICTIONS[name]) / (arrays["rho"][mine] + 2))


def factor(arrays: Arrays, point: str, name: str) -> Measured:
    """One of EXCESS: geometric mean over seeds, with its 95% interval."""
    mine = arrays["point"] == point
    terms = sum(arrays[term][mine] for term in EXCESS[name]) / (arrays["rho"][mine] + 2)
    return by_ratio(name, arrays["ratio"][mine] - terms if "count" in EXCESS[name] else terms)


def value(arrays: Arrays, point: str, name: str) -> Any:
    """What all seeds of a point have in common."""
    return arrays[name][arrays["point"] == point][0]
