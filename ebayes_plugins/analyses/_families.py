"""Boundaries of least energy: the smallest variance that an energy buys at each mean, for the costs of n, p and q."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ebayes_plugins.analyses._frontier import Box, Curve

ALL_FOUR, ANY = "all four", "any power law"
SCALING = np.array([1.0, 1 / 3, 2 / 3])  #: d ln/d ln S of the energies of turnover, membrane and actin, o held


class Family(NamedTuple):
    """Costs whose boundaries have one shape: mean and variance alone cannot tell them apart."""

    name: str
    costs: str
    slope: float  #: of ln variance on ln mean along the boundary; NaN where it is fitted or not constant
    shapes: int = 0  #: number of parameters of the shape, besides the height


FAMILIES = (
    Family("sigma alone", "the paper's four power laws of sigma", 0.0),
    Family("μ²/σ²", "calcium with n held; trafficking; calcium + turnover", 2.0),
    Family("actin", "actin with p held; calcium + actin", 2.5),
    Family("membrane", "membrane with p held; calcium + membrane", 4.0),
    Family(ALL_FOUR, "calcium + turnover + membrane + actin", np.nan, 2),
    Family(ANY, "no cost: a reference", np.nan, 1),
)


def curve_of(family: Family, x: np.ndarray, p: float) -> tuple[Curve, Box]:
    """The boundary's ln variance at logarithms x (n,) of the mean over the median, and where to look for its shape.

    p: release probability at the boundary and the median mean, for all four costs.
    """
    if family.name == ALL_FOUR:
        return lambda theta: _all_four(x, theta, p), Box(np.full(2, 0.5), (0.0, 1.0))
    if family.name == ANY:
        return lambda theta: (theta[0] * x, x[:, None]), Box(np.ones(1))
    return lambda theta: (family.slope * x, np.zeros((len(x), 0))), Box(np.zeros(0))


def shares(theta: np.ndarray) -> np.ndarray:
    """What turnover, membrane and actin pay of the energy besides calcium's, at the median mean, (3,), in sum 1."""
    vesicles, actin = np.clip(theta, 0.0, 1.0)
    return np.array([1 - vesicles, vesicles * (1 - actin), vesicles * actin])


def _all_four(x: np.ndarray, theta: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    s, by_share = precision(x, shares(theta), p)
    vesicles, actin = theta
    return 2 * x - s, -(by_share @ np.array([[-1.0, 0.0], [1 - actin, -vesicles], [actin, vesicles]]))


def precision(x: np.ndarray, parts: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """ln of S = mu^2/sigma^2 on the boundary of all four costs, relative to its value at x = 0, (n,), and its
    derivatives by the shares, (n, 3).

    x: ln of the mean over the median mean. parts: `shares`. p: release probability at x = 0. With the odds
    o = p/(1 - p) calcium's energy is A = o^(1/4), that of vesicles F + B + D, at x = 0 divided as the shares say. Least
    energy asks for A/4 = F + (1 - 2p/3) B + (1 - p/3) D, the boundary for the energy that is paid at x = 0: Newton's
    method for ln S and ln o, from the exact solution for small p.
    """
    s, t = _powers(x, parts), np.full(x.shape, np.log(p / (1 - p)))
    weights = np.array([1.0, 1 - 2 * p / 3, 1 - p / 3])
    calcium = (p / (1 - p)) ** 0.25
    price = calcium / 4 / (parts @ weights)
    for _ in range(30):
        units = price * _units(x, s, t, p)
        ds, dt = _step(t, parts[:, None] * units, calcium + price)
        s, t = s - np.clip(ds, -2, 2), t - np.clip(dt, -2, 2)
        if max(np.abs(ds).max(initial=0), np.abs(dt).max(initial=0)) < 1e-11:
            break
    # at the least energy that of a synapse does not depend on o, so S alone makes up for other prices
    cheaper = -weights[:, None] / (parts @ weights)
    by_share = (cheaper * (price - parts @ units) - units) / (SCALING @ (parts[:, None] * units))
    return s, by_share.T


def _units(x: np.ndarray, s: np.ndarray, t: np.ndarray, p: float) -> np.ndarray:
    """Energies of turnover, membrane and actin relative to those at x = 0, (3, n)."""
    start = np.log(p / (1 - p))
    size = np.log1p(np.exp(t)) - np.log1p(np.exp(start))
    return np.asarray(np.exp([s, (2 * x + s + 2 * size) / 3, (x + 2 * s + size) / 3]) * np.exp(start - t))


def _step(t: np.ndarray, v: np.ndarray, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """Newton's step of ln S and ln o = t; v: energies of turnover, membrane and actin, (3, n)."""
    p = 1 / (1 + np.exp(-t))
    k = np.stack([np.ones_like(p), 1 - 2 * p / 3, 1 - p / 3])  # minus the derivatives of ln v by t
    calcium, weighted = np.exp(t / 4), (k * v).sum(0)
    total = calcium + v.sum(0)
    miss = np.log(total / energy), np.log(calcium / 4 / weighted)
    bent = (k**2 * v).sum(0) + p * (1 - p) * (2 * v[1] + v[2]) / 3
    a, b = SCALING @ v / total, (calcium / 4 - weighted) / total
    c, d = -(SCALING @ (k * v)) / weighted, 0.25 + bent / weighted
    return (d * miss[0] - b * miss[1]) / (a * d - b * c), (a * miss[1] - c * miss[0]) / (a * d - b * c)


def _powers(x: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """ln S where p is held or small: shares . (S, m^(2/3) S^(1/3), m^(1/3) S^(2/3)) = 1; by Newton's method."""
    f, b, d = np.maximum(parts, 1e-100)
    m = np.exp(x / 3)
    # each term alone gives too large a root, from where Newton's method for a convex function descends to the solution
    y = np.minimum(np.minimum(1 / np.cbrt(f), 1 / (b * m**2)), 1 / np.sqrt(d * m))
    for _ in range(60):
        step = (f * y**3 + d * m * y**2 + b * m**2 * y - 1) / (3 * f * y**2 + 2 * d * m * y + b * m**2)
        y = y - step
        if np.abs(step / y).max(initial=0) < 1e-12:
            break
    return 3 * np.log(y)
