"""What sigma^2 is compared with in every task, and the numbers of a layer over its seeds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ebayes_core.contract.claim import Measured
from ebayes_plugins.analyses._common import mean_band
from ebayes_plugins.analyses._importance_claims import HELD_OUT
from ebayes_plugins.analyses._intervals import by_seed
from ebayes_plugins.analyses._panels import Arrays


class Quantity(NamedTuple):
    """What sigma^2 is compared with, and the sign that theory gives the relation."""

    estimator: str  #: of the analysis importance
    name: str
    sign: int


#: At the optimum log sigma^2 has the slope -2/(rho + 2) on log H. H goes as the mean square of the input, and Adam's
#: learning rate as H^(-1/2) (Eq. 7), so that the slopes on them are the same, and 4/(rho + 2).
QUANTITIES = (
    Quantity(HELD_OUT, "curvature", -1),
    Quantity("input_square", "mean squared input", -1),
    Quantity("learning_rate_rms", "learning rate", 1),
)
RANK = "rank_correlation"  #: a number whose interval ends at -1 and 1
KEYS = ("quantity", "task", "mechanism", "layer")  #: what the rows share over which is averaged


def groups(arrays: Arrays) -> dict[tuple[Any, ...], np.ndarray]:
    """The rows of each quantity, task, mechanism and layer, of all seeds, in the order of the spec."""
    keys = list(zip(*(arrays[name].tolist() for name in KEYS), strict=True))
    known = dict.fromkeys(keys)
    return {key: np.array([i for i, other in enumerate(keys) if other == key]) for key in known}


def measured(arrays: Arrays, mine: np.ndarray, name: str) -> Measured:
    """A number of a layer: its mean over seeds with the 95% interval.

    Networks of one seed, as of a sweep of the price, are no independent ones: the mean of those of which the number is
    known counts once.
    """
    seeds, values = arrays["seed"][mine], arrays[name][mine]
    found = by_seed(name, np.array([mean_band(values[seeds == seed])[0] for seed in np.unique(seeds)]))
    return found._replace(low=max(found.low, -1.0), high=min(found.high, 1.0)) if name == RANK else found


def holds(found: Measured, sign: int) -> bool:
    """Whether the interval lies on theory's side of 0; never for a single seed."""
    return bool((found.low if sign > 0 else -found.high) > 0)


def contains(found: Measured, value: float) -> bool:
    """Whether a value lies within the interval."""
    return bool(found.low <= value <= found.high)
