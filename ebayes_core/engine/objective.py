"""The objective of a cohort: its formulas, sampled weights, and the gradient of all of its terms (Eq. 2-5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.contract.slots import Cost, Inference, Noise
from ebayes_core.engine.stacking import per_layer


@dataclass(frozen=True)
class Formulas:
    """What a cohort computes: stacked plugins, stacked numbers of Adam, and the number of training examples."""

    cost: Cost
    noise: Noise
    inference: Inference
    learning_rate: Tensor
    learning_rate_phi: Tensor
    beta1: Tensor
    beta2: Tensor
    epsilon: Tensor
    examples: int
    solves: bool = False  #: sigma is solved for, and not descended on

    def sigmas(self, mu: list[Tensor], phi: list[Tensor]) -> list[Tensor]:
        """Standard deviations of each layer, as (member, synapses); zeros without noise."""
        return per_layer([self.noise.sigma(p) for p in phi], mu)

    def penalty(self, mu: Tensor, sigma: Tensor, noisy: bool) -> Tensor:
        """Elementwise terms of the objective besides the loss; without noise there is no reliability to pay for."""
        if noisy:
            return self.inference.penalty(mu, sigma, self.cost)
        return self.inference.magnitude_cost(mu, sigma)

    def spread(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """sigma and its derivative in phi."""
        with torch.enable_grad():
            leaf = phi.detach().requires_grad_()
            sigma = self.noise.sigma(leaf)
            (slope,) = torch.autograd.grad(sigma.sum(), leaf)
        return sigma.detach(), slope


def sampled(mu: list[Tensor], sigma: list[Tensor], xi: list[Tensor]) -> list[Tensor]:
    """Sampled weights mu + sigma xi (Eq. 5)."""
    return [torch.addcmul(m, s, x) for m, s, x in zip(mu, per_layer(sigma, mu), xi, strict=True)]


def gradients(
    formulas: Formulas, mu: list[Tensor], sigma: list[Tensor], slopes: list[Tensor], xi: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient of the objective per datapoint in mu and sigma (Eq. 2-4, Methods).

    slopes is the loss's gradient at the sampled weights mu + sigma xi; that of the other terms comes from autograd,
    so that any cost takes one path. A sigma that many synapses share collects from all of them.
    """
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (*mu, *sigma)]
        means, spreads = leaves[: len(mu)], per_layer(leaves[len(mu) :], mu)
        terms = [formulas.penalty(m, s, bool(sigma)) for m, s in zip(means, spreads, strict=True)]
        weight = mu[0].new_tensor(1 / formulas.examples)
        upstream = [*slopes, *(g * x for g, x in zip(slopes, xi, strict=True)), *(weight.expand_as(t) for t in terms)]
        moved = [(t, g) for t, g in zip((*means, *spreads, *terms), upstream, strict=True) if t.requires_grad]
        outputs, upstream = zip(*moved, strict=True)
        found = torch.autograd.grad(outputs, leaves, upstream, allow_unused=True, materialize_grads=True)
    return list(found[: len(mu)]), list(found[len(mu) :])
