"""One step of every synapse: gradients of the whole objective, two Adams, and the next sampled weights.

All of it is elementwise but for the sums over a network that a shared sigma needs, so that one compiled pass over
memory can do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ebayes_core.engine.compiler import Step
from ebayes_core.engine.fixed_point import changes, collected
from ebayes_core.engine.objective import Formulas, gradients, sampled


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
