"""Slopes of log sigma^2 on log H within and across neurons, and those that a budget for each kind of unit implies.

Write x = ln H, y = ln sigma^2 and w = ln(-dE/dln sigma at a common sigma), the level of a synapse's price: a constant
for a cost of sigma alone, rho ln |mu| for a cost of sigma / |mu|. At the optimum of a budget with multiplier c for each
unit, (rho + 2) y / 2 = ln c + w - x, and a synapse spends c^-k e^L with L = k x + (1 - k) w and k = rho / (rho + 2).
What a unit spends is given, so k ln c is the logarithm of the unit's mean e^L, up to a constant. Hence:

- one multiplier for all synapses that are compared: slope -2 / (rho + 2), within neurons and across their means;
- a budget for each neuron: the same within. Across, scaling all H of a neuron moves its ln c as much as its mean ln H,
  so its mean y is 2 / rho (ln mean e^L - mean L) + mean w: it depends on the spread of its H, not on their level.
  The slope of the means is 0 if the spread does not vary with the level;
- a budget for each synapse: y = (2 / rho) w whatever H, slope 0.

Exact for power laws of sigma and of sigma / |mu|, and for other costs with the exponent at the network's median.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ebayes_plugins.analyses._regression import regress, without

PER = ("network", "layer", "neuron", "synapse")  #: the units that may have a budget
FLAT = 1e-9  #: price levels that differ by less are the same
LEAST = 1e-4  #: smallest exponent: at 0, that of the entropy, what is expected is a limit


class Synapses(NamedTuple):
    """The synapses of a network that are not flat, (synapses,) each."""

    x: np.ndarray  #: log H, of the loss summed over the training set
    y: np.ndarray  #: log sigma^2
    w: np.ndarray  #: level of the price, up to a constant
    layer: np.ndarray  #: from 1
    neuron: np.ndarray  #: postsynaptic neuron, numbered through the whole network

    def of(self, chosen: np.ndarray) -> Synapses:
        """Those that a mask (synapses,) chooses."""
        return Synapses(*(values[chosen] for values in self))


class Slope(NamedTuple):
    """A slope with the half width of its 95% interval over neurons."""

    value: float
    half: float


def means(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean over each unit, in the order of their numbers; units without synapses are left out."""
    count = np.bincount(unit)
    return (np.bincount(unit, values)[count > 0]) / count[count > 0]


def centred(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Values minus the mean of their unit."""
    _, place = np.unique(unit, return_inverse=True)
    return values - means(values, unit)[place]


def held(s: Synapses) -> np.ndarray | None:
    """The level of the price as a second regressor, if it varies."""
    return s.w if np.ptp(s.w) > FLAT else None


def within(s: Synapses) -> Slope:
    """Slope of y on x within neurons, the level of the price held: both centred by neuron."""
    w = held(s)
    x, y = (centred(values, s.neuron) for values in (s.x, s.y))
    return _clustered(x, y, None if w is None else centred(w, s.neuron), s.neuron)


def pooled(s: Synapses) -> Slope:
    """Slope of y on x over all synapses alike, the level of the price held."""
    return _clustered(s.x, s.y, held(s), s.neuron)


def across(s: Synapses) -> Slope:
    """Slope of the neurons' mean y on their mean x, their mean level of the price held; Student's t over neurons."""
    from scipy.special import stdtrit

    w = held(s)
    x, y = (means(values, s.neuron) for values in (s.x, s.y))
    fit = regress(x, y, None if w is None else means(w, s.neuron))
    freedom = len(x) - 2 - (w is not None)
    return Slope(fit["slope"], float(stdtrit(freedom, 0.975) * fit["stderr"]) if freedom > 0 else np.nan)


def between_layers(s: Synapses) -> float:
    """Slope of the layers' mean y on their mean x; NaN for one layer."""
    x, y = (means(values, s.layer) for values in (s.x, s.y))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / (x @ x)) if np.ptp(x) > FLAT else np.nan


def _clustered(x: np.ndarray, y: np.ndarray, w: np.ndarray | None, unit: np.ndarray) -> Slope:
    """Least squares; the interval allows for residuals that are correlated within units (Liang and Zeger)."""
    from scipy.special import stdtrit

    x, y = without(x, w), without(y, w)
    square, n = x @ x, len(np.unique(unit))
    if n < 2 or square < FLAT:
        return Slope(np.nan, np.nan)
    slope = x @ y / square
    scores = np.bincount(unit, x * (y - slope * x))
    error = np.sqrt(n / (n - 1) * scores @ scores) / square
    return Slope(float(slope), float(stdtrit(n - 1, 0.975) * error))


def expected(s: Synapses, rho: float) -> dict[str, Synapses]:
    """The synapses with the y that a budget for each kind of unit implies, up to a constant."""
    rho = max(rho, LEAST)
    slope, k = 2 / (rho + 2), rho / (rho + 2)
    w = s.w - s.w.mean()
    spent = k * s.x + (1 - k) * w
    units = (np.zeros_like(s.layer), s.layer, s.neuron, np.arange(len(s.x)))
    prices = (_log_mean_exp(spent, unit) / k for unit in units)
    return {per: s._replace(y=slope * (price + w - s.x)) for per, price in zip(PER, prices, strict=True)}


def _log_mean_exp(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Logarithm of the mean of exp(values) over the unit of each synapse, (synapses,)."""
    _, place = np.unique(unit, return_inverse=True)
    most = np.full(place.max() + 1, -np.inf)
    np.maximum.at(most, place, values)
    return np.asarray((most + np.log(means(np.exp(values - most[place]), unit)))[place])


class Spread(NamedTuple):
    """Variances of x within and across neurons, the level of the price held, and synapses per neuron."""

    within: float
    across: float
    size: float


def spread(s: Synapses) -> Spread:
    """Variances of log H: of synapses about their neuron's mean, and of those means."""
    w = held(s)
    inner = without(centred(s.x, s.neuron), None if w is None else centred(w, s.neuron))
    outer = without(means(s.x, s.neuron), None if w is None else means(w, s.neuron))
    return Spread(float((inner**2).mean()), float((outer**2).mean()), len(s.x) / len(outer))


def in_a_sample(inner: float, outer: float, at: Spread, measured: np.ndarray) -> np.ndarray:
    """Slope across neurons that is to be expected where only some synapses of each are measured.

    The mean of `measured` synapses, drawn without replacement, varies by a part of the variance within the neuron, and
    with it the slope inner mixes into the slope outer: regression dilution.
    """
    share = np.clip((at.size - measured) / max(at.size - 1, 1), 0, 1) * at.within / measured
    return np.asarray((at.across * outer + share * inner) / (at.across + share))
