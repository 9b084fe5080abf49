"""One step of every synapse: gradients of the whole objective, two Adams, and the next sampled weights.

All of it is elementwise but for the sums over a network that a shared sigma needs, so that one compiled pass over
memory can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ebayes_core.engine.adam import adam
from ebayes_core.engine.fixed_point import Condition, collected, newton
from ebayes_core.engine.ingredients import Fisher, Ingredients, Time
from ebayes_core.engine.objective import Formulas, gradients, sampled
from ebayes_core.engine.parameters import Curvature, Deviation, Parameters

#: step(parameters, weights, given, alive) moves the parameters and writes the next sampled weights, all in place;
#: alive, (member, 1): the networks that still train
Step = Callable[[Parameters, list[Tensor], Ingredients, Tensor], None]


def make_step(f: Formulas) -> Step:
    """The step of a cohort with these formulas."""

    def step(parameters: Parameters, weights: list[Tensor], given: Ingredients, alive: Tensor) -> None:
        in_mu, in_sigma = gradients(f, parameters.mu, parameters.sigma, given.gradient, given.noise)
        if f.solves and parameters.deviations:
            phi = _solved(f, parameters, given.fisher, given.time, alive)
        else:
            phi = _descended(f, parameters.deviations, in_sigma, given.time, alive)
        mu = [
            adam(f, mean.mu, mean.memory, g, f.learning_rate, given.time, alive)
            for mean, g in zip(parameters.means, in_mu, strict=True)
        ]
        for deviation, p in zip(parameters.deviations, phi, strict=True):
            carried = (deviation.sigma, deviation.derivative)
            # the choice changes nothing, but for it inductor would walk memory a second time (other loop bounds)
            _write(carried, [torch.where(alive, t, old) for t, old in zip(f.spread(p), carried, strict=True)])
        _write(weights, sampled(mu, parameters.sigma, given.next_noise))

    return step


def _descended(
    f: Formulas, deviations: list[Deviation], in_sigma: list[Tensor], time: Time, alive: Tensor
) -> list[Tensor]:
    """Each phi, moved by Adam along the gradient in sigma."""
    return [
        adam(f, d.phi, d.memory, g * d.derivative, f.learning_rate_phi, time, alive)
        for d, g in zip(deviations, in_sigma, strict=True)
    ]


def _solved(f: Formulas, parameters: Parameters, fisher: Fisher, time: Time, alive: Tensor) -> list[Tensor]:
    """Each phi, moved by a Newton step toward the condition of stationarity."""
    deviations, known = parameters.deviations, [Curvature(*d.memory) for d in parameters.deviations]
    new = collected(fisher.squared_gradients, parameters.sigma)
    means = [k.fisher.lerp(q, time.newest) for k, q in zip(known, new, strict=True)]
    conditions = [
        Condition(d.sigma, scale * mean, ceiling)
        for d, mean, scale, ceiling in zip(deviations, means, fisher.scales, fisher.ceilings, strict=True)
    ]
    steps = newton(f, parameters.mu, conditions)
    moved = [
        torch.where(alive, d.phi + u * d.sigma / d.derivative, d.phi) for d, u in zip(deviations, steps, strict=True)
    ]
    _write([*parameters.phi, *(k.fisher for k in known)], [*moved, *means])
    return moved


def _write(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for place, value in zip(places, values, strict=True):
        place.copy_(value)
