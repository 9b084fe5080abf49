"""The synapses of a network as `budget` compares them: log H, log sigma^2 and the level of their price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._budget_slopes import Synapses
from ebayes_plugins.analyses._common import analytic_slope, copies, curvature, slope_of
from ebayes_plugins.analyses._plugins import plugin, price_in_sigma

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run


def synapses(run: Run, member: int, flat_below: float) -> Synapses:
    """The synapses of a network that are not flat. Axis 0 of a layer's weights is the postsynaptic neuron."""
    layers, before = [], 0
    price = _level(run, member)
    for layer in range(1, run.n_layers(member) + 1):
        mu, sigma = (run.layer(member, layer, name).astype(float) for name in ("mu", "sigma"))
        h = np.broadcast_to(curvature(run, member, layer).astype(float), sigma.shape)
        level = price(mu) + np.log(copies(run)[member, layer - 1])
        neuron = before + np.broadcast_to(np.arange(len(mu)).reshape(-1, *[1] * (mu.ndim - 1)), mu.shape)
        curved = np.isfinite(h) & (h > 0) & (sigma > 0) & np.isfinite(level)
        curved &= h > flat_below * (np.median(h[curved]) if curved.any() else np.inf)
        x = np.log(run.metric("n_examples")[member] * h[curved])
        parts = (x, 2 * np.log(sigma[curved]), level[curved], np.full(len(x), layer), neuron[curved])
        layers.append(Synapses(*parts))
        before += len(mu)
    return Synapses(*(np.concatenate(parts) for parts in zip(*layers, strict=True)))


def _medians(run: Run, member: int) -> tuple[float, float]:
    """Median sigma and |mu| of a network."""
    layers = range(1, run.n_layers(member) + 1)
    found = (np.concatenate([run.layer(member, i, name).ravel() for i in layers]) for name in ("sigma", "mu"))
    sigma, mu = (float(np.median(np.abs(values.astype(float)))) for values in found)
    return sigma, mu


def _level(run: Run, member: int) -> Any:
    """mu -> log of -dE/dln sigma at the network's median sigma, the level of the price of each synapse."""
    import torch

    from ebayes_core.contract.functions import elasticity

    spec, sigma = run.member_spec(member), _medians(run, member)[0]
    inference, price = plugin(spec, "inference"), price_in_sigma(spec)

    def level(mu: np.ndarray) -> np.ndarray:
        at = torch.as_tensor(mu, dtype=torch.float64)
        slope = elasticity(lambda s: inference.reliability_cost(at, s, price), torch.full_like(at, sigma)).numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(slope)

    return level


def exponent_at_median(run: Run, member: int) -> float:
    """rho2 = -dln(-dE/dln sigma)/dln sigma at the medians of sigma and |mu|: rho, for a power law."""
    sigma, mu = _medians(run, member)
    return -2 / analytic_slope(slope_of(run.member_spec(member), mu), sigma) - 2
