"""What synapses of the same means and standard deviations would spend if all of them had the same n, or the same p."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebayes_plugins.analyses._plugins import plugin

WIDEST = 15.0  #: the logarithm of n, or of the odds of release, is searched for between minus and plus this


def held(spec: dict[str, Any], mu: np.ndarray, sigma: np.ndarray) -> tuple[float, float]:
    """Energy of (synapses,) with one n, then with one p, the cheapest for all, relative to n, p and q of each its own.

    NaN for a cost that does not imply n, p and q, or in which they have no price of their own, and where the noise has
    them. One p for all is NaN, too, if a synapse has at least one vesicle: the noisiest would need less than one.
    """
    import torch

    cost, noise = plugin(spec, "cost"), plugin(spec, "noise")
    m, s = torch.from_numpy(np.abs(mu)), torch.from_numpy(sigma)
    if noise.quantal() or not cost.quantal or (known := cost.quanta(s, m)) is None:
        return np.nan, np.nan
    free = float(cost.vesicle_energy(*known).sum())
    precision = known.n * known.p / (1 - known.p)
    one_n = lambda n: (n + 0 * m, precision / (n + precision))
    one_p = lambda odds: (precision / odds, odds / (1 + odds) + 0 * m)
    energy = lambda n, p: float(cost.vesicle_energy(n, p, m / (n * p)).sum())
    fewest = getattr(cost, "n_min", 0)
    by_n = _least(lambda n: energy(*one_n(n)), fewest) / free
    return by_n, np.nan if fewest else _least(lambda odds: energy(*one_p(odds))) / free


def _least(energy: Any, smallest: float = 0.0) -> float:
    """The least value of a function of a positive number that is at least the smallest; also where it is there."""
    from scipy.optimize import minimize_scalar

    ends = (np.log(smallest) if smallest else -WIDEST, WIDEST)
    inside = minimize_scalar(lambda log: energy(np.exp(log)), bounds=ends, method="bounded").fun
    return float(min(inside, energy(smallest)) if smallest else inside)
