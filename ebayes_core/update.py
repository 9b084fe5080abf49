"""One step of every synapse: gradients of the whole objective, two Adams, and the next sampled weights.

All of it is elementwise but for the sums over a network that a shared sigma needs, so that one compiled pass over
memory can do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ebayes_core.compiler import Step
from ebayes_core.population import per_layer
from ebayes_core.slots import Cost, Inference, Noise
from ebayes_core.stationary import changes, collected


@dataclass
class Parameters:
    """The free parameters of a cohort with Adam's moments, per layer (member, synapses).

    phi has one tensor per layer, or a single (member, 1) that all layers share, or none. Where sigma is solved for,
    phi_second is the running Fisher, and phi_first the logarithm of its scale, (member, 1) for each phi. sigma and its
    derivative in phi are carried from the step that last moved phi, since computing them twice costs more than keeping
    them.
    """

    mu: list[Tensor]
    phi: list[Tensor]
    mu_first: list[Tensor] = field(default_factory=list)
    mu_second: list[Tensor] = field(default_factory=list)
    phi_first: list[Tensor] = field(default_factory=list)
    phi_second: list[Tensor] = field(default_factory=list)
    sigma: list[Tensor] = field(default_factory=list)
    dsigma: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, like in (("mu", self.mu), ("phi", self.phi)):
            for moment in ("first", "second"):
                if not getattr(self, f"{name}_{moment}"):
                    setattr(self, f"{name}_{moment}", [torch.zeros_like(t) for t in like])

    def lists(self) -> list[list[Tensor]]:
        """Every list of tensors, in the order of the fields."""
        return [getattr(self, f.name) for f in fields(self)]


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


def _adam(
    p: Tensor, g: Tensor, first: Tensor, second: Tensor, rate: Tensor, f: Formulas, clock: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam (Kingma and Ba) as torch.optim.Adam computes it; clock: see Cohort."""
    first = f.beta1 * first + (1 - f.beta1) * g  # no lerp: inf - inf would turn an overflow into a NaN
    second = torch.addcmul(f.beta2 * second, (1 - f.beta2) * g, g)
    reciprocals = 1 / clock[:2]  # one division per member in place of two per synapse
    root = (second * reciprocals[1]).sqrt_().add_(f.epsilon)
    return torch.addcdiv(p, -rate * clock[2] * reciprocals[0] * first, root), first, second


def make_step(formulas: Formulas) -> Step:
    """A function that updates parameters in place and writes the next sampled weights.

    Arguments: the lists of Parameters, then the weights to write, slopes; where sigma is solved for, squares (mean
    squared per-example gradients with the model's own labels) and bounds (the scale of each layer's Fisher, then the
    ceiling of its sigmas), else nothing in either; xi of this step, xi of the next, the clock (4, member, 1), and
    alive (member, 1): the members that still move.
    """

    def descend(rate, grads, params, firsts, seconds, clock, alive):  # type: ignore[no-untyped-def]
        moved = []
        for p, g, first, second in zip(params, grads, firsts, seconds, strict=True):
            new, *moments = _adam(p, g, first, second, rate, formulas, clock)
            moved.append(torch.where(alive, new, p))
            _write((p, first, second), (moved[-1], *moments))
        return moved

    def solve(squares, bounds, mu, phi, seconds, sigma, dsigma, clock, alive):  # type: ignore[no-untyped-def]
        seen = collected(squares, sigma)
        means = [m.lerp(q, clock[3]) for m, q in zip(seconds, seen, strict=True)]
        scales, ceilings = bounds[: len(phi)], bounds[len(phi) :]
        change = changes(formulas, mu, sigma, [k * m for k, m in zip(scales, means, strict=True)], ceilings)
        new = [p + u * s / d for p, u, s, d in zip(phi, change, sigma, dsigma, strict=True)]
        moved = [torch.where(alive, n, p) for n, p in zip(new, phi, strict=True)]
        _write((*phi, *seconds), (*moved, *means))
        return moved

    def step(lists, weights, slopes, squares, bounds, xi, xi_next, clock, alive):  # type: ignore[no-untyped-def]
        mu, phi, mu_first, mu_second, phi_first, phi_second, sigma, dsigma = lists
        g_mu, g_sigma = gradients(formulas, mu, sigma, slopes, xi)
        if formulas.solves and phi:
            phi = solve(squares, bounds, mu, phi, phi_second, sigma, dsigma, clock, alive)
        else:
            g_phi = [g * d for g, d in zip(g_sigma, dsigma, strict=True)]
            phi = descend(formulas.learning_rate_phi, g_phi, phi, phi_first, phi_second, clock, alive)
        mu = descend(formulas.learning_rate, g_mu, mu, mu_first, mu_second, clock, alive)
        for p, *carried in zip(phi, sigma, dsigma, strict=True):
            # the choice changes nothing, but for it inductor would walk memory a second time (other loop bounds)
            _write(carried, [torch.where(alive, t, old) for t, old in zip(formulas.spread(p), carried, strict=True)])
        _write(weights, sampled(mu, sigma, xi_next))

    return step


def _write(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for place, value in zip(places, values, strict=True):
        place.copy_(value)
