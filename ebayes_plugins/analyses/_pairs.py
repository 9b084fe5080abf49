"""Several synapses at equal reliability cost: the sigma that they could share, and the loss this would add (Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._common import optimum, slope_of
from ebayes_plugins.analyses._plugins import plugin, price_in_sigma

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.slots import Network

Price = Callable[[np.ndarray, np.ndarray], np.ndarray]
CHUNK = 25  #: networks in one forward pass, as many as fit into the processor's cache


def price_of(spec: dict[str, Any]) -> Price:
    """(sigma, mu) -> reliability cost (nat), elementwise, under the objective of a network."""
    import torch

    inference, price = plugin(spec, "inference"), price_in_sigma(spec)
    double = partial(torch.as_tensor, dtype=torch.float64)
    return lambda sigma, mu: inference.reliability_cost(double(mu), double(sigma), price).numpy()


def shared_sigma(price: Price, sigma: np.ndarray, mu: np.ndarray) -> float:
    """The common sigma with the same total reliability cost as several (n,); for a power law n sigma^-rho = sum
    sigma_i^-rho.

    A cost decreases with sigma, so the solution lies between the smallest and the largest of them.
    """
    from scipy.optimize import brentq

    paid = price(sigma, mu).sum()
    excess = lambda log_sigma: float(price(np.full_like(sigma, np.exp(log_sigma)), mu).sum() - paid)
    low, high = np.log(sigma.min()), np.log(sigma.max())
    if high - low < 1e-9:
        return float(np.exp((low + high) / 2))
    return float(np.exp(brentq(excess, low - 1e-6, high + 1e-6, xtol=1e-12)))


def quadratic_cost(h: np.ndarray, sigma: np.ndarray | float) -> float:
    """What noise adds to the expected loss, 1/2 sum H sigma^2 (nat, Eq. 24); h (n,): curvature summed over the data
    set.
    """
    return float(0.5 * (h * np.square(sigma)).sum())


def quadratic_pair(spec: dict[str, Any], h: np.ndarray) -> dict[str, Any]:
    """Synapses of curvatures h (n,), each at the sigma of Eq. 29, the sigma that they could share, and both costs."""
    sigma, mu, price = optimum(slope_of(spec, 0.0), h), np.zeros(len(h)), price_of(spec)
    shared = shared_sigma(price, sigma, mu)
    performance = np.array([quadratic_cost(h, sigma), quadratic_cost(h, shared)])
    paid = np.array([price(sigma, mu).sum(), price(np.full_like(sigma, shared), mu).sum()])
    return {"h": h, "sigma": sigma, "shared": shared, "performance": performance, "price": paid}


def pair_ratios(h: np.ndarray, sigma: np.ndarray, mu: np.ndarray, price: Price, pairs: np.ndarray) -> np.ndarray:
    """Quadratic added loss of each pair's own sigmas divided by that of the sigma they could share; pairs (k, 2)
    indices.
    """
    found = [
        quadratic_cost(h[pair], sigma[pair]) / quadratic_cost(h[pair], shared_sigma(price, sigma[pair], mu[pair]))
        for pair in pairs
    ]
    return np.array(found)


class Surface:
    """The loss of a network, summed over the data set, as a function of two weights of one layer."""

    def __init__(self, network: Network, mu: list[Tensor], layer: int, pair: np.ndarray) -> None:
        """mu: all weights, per layer; layer: index from 0; pair: two flat indices into its weights."""
        self.network, self.mu, self.layer, self.pair = network, mu, layer, pair

    def __call__(self, offsets: np.ndarray, data: tuple[Any, Tensor, Tensor, int]) -> np.ndarray:
        """Loss (nat) at the two weights moved by offsets (points, 2); data: task, inputs, targets, size of the data
        set.
        """
        return np.concatenate(
            [self._some(part, *data) for part in np.split(offsets, range(CHUNK, len(offsets), CHUNK))]
        )

    def _some(self, offsets: np.ndarray, task: Any, x: Tensor, y: Tensor, total: int) -> np.ndarray:
        import torch

        draws = self.network.draws(tuple(x.shape[1:]), task.shape)
        weights = [
            m.expand(len(offsets), *[n] * (n > 1), *m.shape).contiguous() for m, n in zip(self.mu, draws, strict=True)
        ]
        moved = torch.as_tensor(offsets, dtype=self.mu[0].dtype)
        for column, synapse in enumerate(self.pair):
            weights[self.layer].flatten(1)[:, synapse] += moved[:, column]
        losses = task.nll(self.network.forward(weights, x), y).double()
        return (total * losses.mean(-1)).numpy()
