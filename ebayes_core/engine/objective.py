"""The objective of a cohort: its formulas, drawn weights, and the gradient of all of its terms (Eq. 2-5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from ebayes_core.contract.slots import Cost, Inference, Noise, Optimizer, Quanta
from ebayes_core.engine.draws import drawn, over
from ebayes_core.engine.ingredients import Time
from ebayes_core.engine.parameters import Parameters, Spread, layered

if TYPE_CHECKING:
    from ebayes_core.contract.cost import Price
    from ebayes_core.contract.inference import Memory

Free = dict[str, Tensor]
#: of the means, one for each layer, and by name of the free parameters, as their lists
Parts = tuple[list[Tensor], dict[str, list[Tensor]]]


@dataclass(frozen=True)
class Formulas:
    """What a cohort computes: stacked plugins, and the number of training examples."""

    cost: Cost
    noise: Noise
    inference: Inference
    optimizer: Optimizer
    examples: int
    copies: tuple[int, ...]  #: how many synapses share each mean and sigma of a layer
    synapses: int  #: of a network
    horizon: int | None = None  #: steps in which a cosine takes the learning rates to 0; None: they stay
    solves: bool = False  #: sigma is solved for instead of trained by descent
    carries: bool = False  #: weights are mu + sigma xi, and sigma depends on the only free parameter alone
    held: bool = False  #: the means stay where they start
    normalises: bool = False  #: sigmas that share a budget are scaled together, so that descent keeps to it

    @property
    def rates(self) -> tuple[Any, Any]:
        """The learning rates of the means and of the free parameters of the noise, (member, 1) each."""
        of_means, of_free = self.optimizer.learning_rate, self.optimizer.learning_rate_phi
        return of_means, of_means if of_free is None else of_free

    def time(self, clock: Tensor) -> Time:
        """All that depends on the number of a step, which counts from 1, (1, 1); in double precision, then rounded."""
        rate, rate_free = self.rates
        if self.horizon is not None:
            left = ((1 + (math.pi * (clock - 1) / self.horizon).cos()) / 2).to(rate.dtype)
            rate, rate_free = rate * left, rate_free * left
        constants = tuple(c.to(rate.dtype) for c in self.optimizer.constants(clock))
        return Time(rate, rate_free, constants)

    def sigmas(self, p: Parameters) -> list[Tensor]:
        """Standard deviations of each layer, as (member, synapses); zeros without noise."""
        return [self.sigma(mu, free) for mu, free in zip(p.mu, p.freely(), strict=True)]

    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """Standard deviation of each weight, shaped as mu; zeros without noise."""
        return self.noise.sigma(mu, free).expand_as(mu) if free else torch.zeros_like(mu)

    def quanta(self, mu: Tensor, free: Free) -> Quanta | None:
        """n, p and q of each synapse, if there is noise and the cost needs them."""
        return self.noise.quanta(mu, free) if free and self.quantal else None

    @property
    def quantal(self) -> bool:
        """Whether the cost is a function of the n, p and q of the noise, in place of sigma and mu."""
        return self.cost.quantal and self.noise.quantal()

    @property
    def exponent(self) -> Any:
        """rho, if the energy is proportional to sigma ** -rho at a fixed mean; None if it is not."""
        return None if self.quantal else self.cost.exponent

    def price(self, quanta: Quanta | None = None, multiplier: Tensor | None = None) -> Price:
        """The cost as a function of sigma and mu, for n, p and q that the noise has, and a budget's multiplier."""
        cost = self.cost.given(quanta)
        return cost if multiplier is None else lambda sigma, mu: multiplier * cost(sigma, mu)

    def penalty(
        self,
        mu: Tensor,
        sigma: Tensor,
        noisy: bool,
        quanta: Quanta | None = None,
        multiplier: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Elementwise terms of the objective besides the loss; without noise there is no reliability to pay for."""
        held = self.held_down(mu, sigma, memory)
        if not noisy:
            return held
        return held + self.inference.reliability_cost(mu, sigma, self.price(quanta, multiplier))

    def held_down(self, mu: Tensor, sigma: Tensor, memory: Memory | None) -> Tensor:
        """The magnitude cost, and if earlier stages are remembered, the consolidation cost; elementwise."""
        magnitude = self.inference.magnitude_cost(mu, sigma)
        return magnitude + self.inference.consolidation_cost(mu, sigma, memory) if memory else magnitude

    def spread(self, mu: Tensor, free: Free) -> Spread:
        """sigma and its derivative in the only free parameter."""
        sigma, (derivative,) = self.slopes(mu, free)
        return Spread(sigma, derivative)

    def slopes(self, mu: Tensor, free: Free) -> tuple[Tensor, list[Tensor]]:
        """sigma, and its derivative in each free parameter, summed over the synapses that share it."""
        with torch.enable_grad():
            leaves = {name: p.detach().requires_grad_() for name, p in free.items()}
            sigma = self.noise.sigma(mu, leaves)
            found = torch.autograd.grad(sigma.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
        return sigma.detach(), list(found)

    def spreads(self, p: Parameters) -> list[Spread]:
        """sigma and its derivative, as the list of the only free parameter; carried, if they can be."""
        return p.spreads or [self.spread(mu, free) for mu, free in zip(p.mu, p.freely(), strict=True)]

    def drawn(self, mu: list[Tensor], free: list[Free], xi: Sequence[Tensor]) -> list[Tensor]:
        """Weights of each layer, (member, synapses), or (member, draws, synapses) where xi is (1, draws, synapses).

        free: the free parameters of each layer; the sigma in their place if that is carried.
        """
        return [self._drawn(m, f, x) for m, f, x in zip(mu, free, xi, strict=True)]

    def _drawn(self, mu: Tensor, free: Free, xi: Tensor) -> Tensor:
        if self.carries:
            (sigma,) = free.values()
            return torch.addcmul(over(mu, xi), over(sigma, xi), xi)
        return drawn(self.noise, mu, free, xi)

    def place(self, p: Parameters) -> Parts:
        """The values of all parameters, with sigma in place of the only free parameter if it is carried."""
        free = {name: [q.value for q in parts] for name, parts in p.free.items()}
        return p.mu, {name: [s.sigma for s in p.spreads] for name in free} if self.carries else free

    def moved(self, p: Parameters) -> Parts:
        """The same of what a step moves along its gradient; without the means if they are held."""
        mu, free = self.place(p)
        return ([], {} if self.solves else free) if self.held else (mu, free)

    def prices(self, p: Parameters) -> list[Price]:
        """The cost of each layer as a function of sigma and mu."""
        return [
            self.price(self.quanta(mu, free) if p.noisy else None, c)
            for mu, free, c in zip(p.mu, p.freely(), p.priced, strict=True)
        ]

    def terms(self, mu: list[Tensor], free: list[Free], p: Parameters) -> list[Tensor]:
        """The penalty of each layer, (member, synapses), each synapse counted as often as it exists.

        p: gives multipliers and memories.
        """
        each = zip(mu, free, p.priced, self.copies, p.memories(), strict=True)
        return [self._term(*one) for one in each]

    def _term(self, mu: Tensor, free: Free, multiplier: Tensor | None, copies: int, memory: Memory) -> Tensor:
        sigma = next(iter(free.values())).expand_as(mu) if self.carries else self.sigma(mu, free)
        term = self.penalty(mu, sigma, bool(free), self.quanta(mu, free), multiplier, memory)
        return term if copies == 1 else copies * term


def gradients(f: Formulas, p: Parameters, loss: list[Tensor], xi: Sequence[Tensor]) -> tuple[Parts, Parts]:
    """Gradient per datapoint of the loss, and of the other terms, in all that moves along it (Eq. 2-4, Methods).

    loss: the gradient of the mean loss at the weights drawn with xi. Where sigma is carried, it is the parameter. Both
    come from autograd, so that any draw and any cost take one path. A parameter that many synapses share collects from
    all of them.
    """
    with torch.enable_grad():
        leaves, structure = tree_flatten(f.moved(p))
        leaves = [t.detach().requires_grad_() for t in leaves]
        (moving_mu, moving_free), (all_mu, all_free) = tree_unflatten(leaves, structure), f.place(p)
        mu, free = moving_mu or all_mu, moving_free or all_free
        per_layer = layered(free, len(mu))
        weights, terms = f.drawn(mu, per_layer, xi), f.terms(mu, per_layer, p)
        share = mu[0].new_tensor(1 / f.examples)
        of_loss = _pulled(weights, leaves, loss)
        of_terms = _pulled(terms, leaves, [share.expand_as(t) for t in terms])
    return tree_unflatten(of_loss, structure), tree_unflatten(of_terms, structure)


def _pulled(outputs: list[Tensor], leaves: list[Any], upstream: list[Tensor]) -> list[Tensor]:
    """Gradients in the leaves; zeros where the outputs do not depend on them."""
    moved = [(t, g) for t, g in zip(outputs, upstream, strict=True) if t.requires_grad]
    if not moved:
        return [torch.zeros_like(leaf) for leaf in leaves]
    parts, factors = zip(*moved, strict=True)
    return list(torch.autograd.grad(parts, leaves, factors, allow_unused=True, materialize_grads=True))
