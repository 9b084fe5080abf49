"""The objective of a cohort: its formulas, sampled weights, and the gradient of all of its terms (Eq. 2-5)."""

from __future__ import annotations

from collections.abc import Sequence
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
    solves: bool = False  #: sigma is solved for instead of trained by descent

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
            (derivative,) = torch.autograd.grad(sigma.sum(), leaf)
        return sigma.detach(), derivative


def sampled(mu: list[Tensor], sigma: list[Tensor], xi: Sequence[Tensor]) -> list[Tensor]:
    """Sampled weights mu + sigma xi (Eq. 5)."""
    return [torch.addcmul(m, s, x) for m, s, x in zip(mu, per_layer(sigma, mu), xi, strict=True)]


def gradients(
    formulas: Formulas, mu: list[Tensor], sigma: list[Tensor], loss: list[Tensor], xi: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient of the objective per datapoint in mu and sigma (Eq. 2-4, Methods).

    loss: the gradient of the mean loss at the sampled weights mu + sigma xi. That of the other terms comes from
    autograd, so that any cost takes one path. A sigma that many synapses share collects from all of them.
    """
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (*mu, *sigma)]
        means, spreads = leaves[: len(mu)], per_layer(leaves[len(mu) :], mu)
        terms = [formulas.penalty(m, s, bool(sigma)) for m, s in zip(means, spreads, strict=True)]
        weight = mu[0].new_tensor(1 / formulas.examples)
        upstream = [*loss, *(g * x for g, x in zip(loss, xi, strict=True)), *(weight.expand_as(t) for t in terms)]
        moved = [(t, g) for t, g in zip((*means, *spreads, *terms), upstream, strict=True) if t.requires_grad]
        outputs, factors = zip(*moved, strict=True)
        found = torch.autograd.grad(outputs, leaves, factors, allow_unused=True, materialize_grads=True)
    return list(found[: len(mu)]), list(found[len(mu) :])
