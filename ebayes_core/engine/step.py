"""One step of every synapse: gradients of the whole objective, two Adams, and the next sampled weights.

All of it is elementwise but for the sums over a network that a shared sigma needs, so that one compiled pass over
memory can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebayes_core.engine.fixed_point import Condition, collected, newton
from ebayes_core.engine.objective import Formulas, gradients, sampled
from ebayes_core.engine.parameters import Adam, Curvature, Deviation, Parameters


class Time(NamedTuple):
    """All that depends on the number of the step, (member, 1) each."""

    mean_correction: Tensor  #: 1 - beta1**step, the bias correction of Adam's first moment
    square_correction: Tensor  #: 1 - beta2**step, of its second
    schedule: Tensor  #: the share of the learning rates that the schedule leaves
    newest: Tensor  #: the weight of this step in the solver's running means


class Fisher(NamedTuple):
    """What the solver for sigma takes from a minibatch; empty lists without it."""

    squared_gradients: list[Tensor]  #: means of per-example squared gradients, labels sampled (Eq. 31); per layer
    scales: list[Tensor]  #: factor between Fisher and curvature; per deviation (member, 1)
    ceilings: list[Tensor]  #: the largest sigma allowed now; per deviation (member, 1)


class Ingredients(NamedTuple):
    """What a minibatch brings to a step."""

    gradient: list[Tensor]  #: of the mean loss in the sampled weights; per layer (member, synapses)
    noise: Sequence[Tensor]  #: the xi of these weights; per layer (1, synapses)
    next_noise: Sequence[Tensor]  #: the xi of the weights to sample next
    time: Time
    fisher: Fisher  #: empty unless sigma is solved for


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
            _adam(f, mean.mu, mean.memory, g, f.learning_rate, given.time, alive)
            for mean, g in zip(parameters.means, in_mu, strict=True)
        ]
        for deviation, p in zip(parameters.deviations, phi, strict=True):
            carried = (deviation.sigma, deviation.derivative)
            # the choice changes nothing, but for it inductor would walk memory a second time (other loop bounds)
            _write(carried, [torch.where(alive, t, old) for t, old in zip(f.spread(p), carried, strict=True)])
        _write(weights, sampled(mu, parameters.sigma, given.next_noise))

    return step


def _adam(
    f: Formulas, p: Tensor, memory: Adam | Curvature, gradient: Tensor, rate: Tensor, time: Time, alive: Tensor
) -> Tensor:
    """Move a parameter by Adam (Kingma and Ba), as torch.optim.Adam computes it; returns its new value."""
    mean, square = memory
    mean = f.beta1 * mean + (1 - f.beta1) * gradient  # no lerp: inf - inf would turn an overflow into a NaN
    square = torch.addcmul(f.beta2 * square, (1 - f.beta2) * gradient, gradient)
    # one division per network instead of two per synapse
    mean_factor, square_factor = 1 / time.mean_correction, 1 / time.square_correction
    root = (square * square_factor).sqrt_().add_(f.epsilon)
    moved = torch.addcdiv(p, -rate * time.schedule * mean_factor * mean, root)
    moved = torch.where(alive, moved, p)
    _write((p, *memory), (moved, mean, square))
    return moved


def _descended(
    f: Formulas, deviations: list[Deviation], in_sigma: list[Tensor], time: Time, alive: Tensor
) -> list[Tensor]:
    """Each phi, moved by Adam along the gradient in sigma."""
    return [
        _adam(f, d.phi, d.memory, g * d.derivative, f.learning_rate_phi, time, alive)
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
