"""Effective exponents of synapses under any cost, and the slopes of log sigma^2 on log H that they imply."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebayes_plugins.analyses._common import optimum, slope_of
from ebayes_plugins.analyses._pairs import price_of
from ebayes_plugins.analyses._regression import fit_line

STEP = 1e-4  #: of log sigma, over which an exact first derivative is differenced: an error of 1e-8


def local_exponents(spec: dict[str, Any], sigma: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rho1 = -dlnE/dln sigma and rho2 = -dln(-dE/dln sigma)/dln sigma at each synapse, (synapses,) each.

    Both are rho for a power law. rho1 is the share of the energy that 1% more precision costs, in percent; rho2 decides
    how sigma follows curvature. NaN where the energy is not positive (rho1), or does not fall with sigma (rho2).

    rho2 is a difference of exact derivatives, since a cost of n, p and q is known to first order in sigma alone.
    """
    slope = slope_of(spec, mu)
    energy, falls = price_of(spec)(sigma, mu), slope(sigma)
    above, below = slope(sigma * np.exp(STEP)), slope(sigma * np.exp(-STEP))
    ratio = np.where((above > 0) & (below > 0), above, np.nan) / np.where(below > 0, below, np.nan)
    return falls / np.where(energy > 0, energy, np.nan), -np.log(ratio) / (2 * STEP)


def implied_slope(x: np.ndarray, rho: np.ndarray) -> float:
    """The least-squares slope of a curve whose local slope is -2/(2 + rho) at each log H of x; (n,) each.

    The curve is the integral of its slopes; synapses without an exponent are left out.
    """
    from scipy.integrate import cumulative_trapezoid

    known = np.argsort(np.where(np.isfinite(rho), x, np.inf))[: np.isfinite(rho).sum()]
    if len(known) < 3:
        return np.nan
    curve = cumulative_trapezoid(-2 / (2 + rho[known]), x[known], initial=0)
    return fit_line(x[known], curve)["slope"]


def solved_slope(spec: dict[str, Any], mu: np.ndarray, h: np.ndarray, times: float) -> float:
    """The slope of log sigma^2 on log H with every sigma at the optimum of its synapse's own mu and H, (n,) each.

    It differs from the implied slope as far as mu and H are related. h: curvature of the loss summed over the data set.
    """
    sigma = optimum(slope_of(spec, mu, times), h)
    return fit_line(np.log(h), 2 * np.log(sigma))["slope"]
