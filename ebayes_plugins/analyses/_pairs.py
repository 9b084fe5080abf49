"""Several synapses at equal reliability cost: the sigma that they could share, and the loss this would add (Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._common import optimum, slope_of
from ebayes_plugins.analyses._plugins import plugin, price_in_sigma
from ebayes_plugins.networks.mlp import Mlp

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.slots import Network

Price = Callable[[np.ndarray, np.ndarray], np.ndarray]
CHUNK = 5  #: networks in one forward pass, as many as fit into the processor's cache
BISECTIONS = 55  #: of a range of log sigma of a few decades, down to the rounding of double precision


def price_of(spec: dict[str, Any]) -> Price:
    """(sigma, mu) -> reliability cost (nat), elementwise, under the objective of a network."""
    import torch

    inference, price = plugin(spec, "inference"), price_in_sigma(spec)
    double = partial(torch.as_tensor, dtype=torch.float64)
    return lambda sigma, mu: inference.reliability_cost(double(mu), double(sigma), price).numpy()


def shared_sigma(price: Price, sigma: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """The common sigma (...) with the same total reliability cost as several (..., n); for a power law n sigma^-rho =
    sum sigma_i^-rho.

    A cost decreases with sigma, so the solution lies between the smallest and the largest of them: by bisection of log
    sigma.
    """
    paid = price(sigma, mu).sum(-1)
    low, high = np.log(sigma.min(-1)), np.log(sigma.max(-1))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        dearer = price(np.broadcast_to(np.exp(middle)[..., None], sigma.shape).copy(), mu).sum(-1) > paid
        low, high = np.where(dearer, middle, low), np.where(dearer, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def quadratic_cost(h: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """What noise adds to the expected loss, 1/2 sum H sigma^2 (nat, Eq. 24), of curvatures h (..., n) summed over the
    data set.
    """
    return np.asarray(0.5 * (h * np.square(sigma)).sum(-1))


def quadratic_pair(spec: dict[str, Any], h: np.ndarray) -> dict[str, Any]:
    """Synapses of curvatures h (..., n), each at the sigma of Eq. 29, the sigma that they could share, and both
    costs, (..., 2).
    """
    sigma, mu, price = optimum(slope_of(spec, 0.0), h), np.zeros(h.shape), price_of(spec)
    shared = shared_sigma(price, sigma, mu)
    alike = np.broadcast_to(shared[..., None], h.shape).copy()
    performance = np.stack([quadratic_cost(h, sigma), quadratic_cost(h, alike)], -1)
    paid = np.stack([price(sigma, mu).sum(-1), price(alike, mu).sum(-1)], -1)
    return {"h": h, "sigma": sigma, "shared": shared, "performance": performance, "price": paid}


def pair_ratios(h: np.ndarray, sigma: np.ndarray, mu: np.ndarray, price: Price, pairs: np.ndarray) -> np.ndarray:
    """Quadratic added loss of each pair's own sigmas divided by that of the sigma they could share; pairs (k, 2)
    indices.
    """
    shared = shared_sigma(price, sigma[pairs], mu[pairs])
    return quadratic_cost(h[pairs], sigma[pairs]) / quadratic_cost(h[pairs], shared[:, None])


def behind(network: Network, mu: list[Tensor], x: Tensor, layer: int) -> tuple[Network, list[Tensor], Tensor]:
    """The layers of a multilayer perceptron from this one on, with their means and inputs; other networks as they are.

    layer: index from 0. Where only this layer changes, the same activity reaches it every time.
    """
    if not layer or not isinstance(network, Mlp):
        return network, mu, x
    rest = network.model_copy(
        update={"hidden": network.hidden[layer:], "activations": network.activations and network.activations[layer:]}
    )
    trace = network.trace([m.expand(1, *m.shape[-2:]) for m in mu], x)
    return rest, mu[layer:], trace.inputs[layer][0, :, :-1]  # without the constant that the layer adds


class Surface:
    """The loss of a network, summed over the data set, as a function of two weights of one layer."""

    def __init__(self, network: Network, mu: list[Tensor], layer: int, pair: np.ndarray) -> None:
        """mu: all weights, per layer; layer: index from 0; pair: two flat indices into its weights."""
        self.network, self.mu, self.layer, self.pair = network, mu, layer, pair

    def __call__(self, offsets: np.ndarray, data: tuple[Any, Tensor, Tensor, int]) -> np.ndarray:
        """Loss (nat) at the two weights moved by offsets (points, 2); data: task, inputs, targets, size of the data
        set.
        """
        parts = np.split(offsets, range(CHUNK, len(offsets), CHUNK))
        return np.concatenate([self._some(part, *data) for part in parts])

    def _some(self, offsets: np.ndarray, task: Any, x: Tensor, y: Tensor, total: int) -> np.ndarray:
        import torch

        draws = self.network.draws(tuple(x.shape[1:]), task.shape)
        weights = [
            m.expand(len(offsets), *[n] * (n > 1), *m.shape).clone(memory_format=torch.contiguous_format)
            for m, n in zip(self.mu, draws, strict=True)
        ]
        moved = torch.as_tensor(offsets, dtype=self.mu[0].dtype)
        for column, synapse in enumerate(self.pair):
            weights[self.layer].flatten(1)[:, synapse] += moved[:, column]
        losses = task.nll(self.network.forward(weights, x), y).double()
        return (total * losses.mean(-1)).numpy()
