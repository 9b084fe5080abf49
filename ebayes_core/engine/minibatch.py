"""From a minibatch to the ingredients of a step: noise, bias corrections, and the Fisher if sigma is solved for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over, over_draws
from ebayes_core.engine.fixed_point import ceiling, collected, newest, rescaled
from ebayes_core.engine.ingredients import Fisher, Ingredients, Time
from ebayes_core.engine.parameters import Curvature, Spread
from ebayes_core.engine.per_example import residual_of_sample, squared_gradients


def ingredients(
    cohort: Cohort, state: State, gradient: list[Tensor], x: Tensor, y: Tensor
) -> tuple[Ingredients, Tensor]:
    """Everything that the next step needs besides the state, and the noise of the weights that it samples.

    gradient: of the minibatch's mean loss, per layer (member, synapses). Draws from the state's noise; where sigma is
    solved for, the factors of the Fisher are updated first.
    """
    time = time_of(cohort, state.step + 1)
    if cohort.solves(state):
        spreads = cohort.formulas.spreads(state.parameters)
        _rescale(cohort, state, gradient, time, spreads)
        fisher = Fisher(_squared_gradients(cohort, state, x, y), *limits(state, spreads))
    else:
        fisher = Fisher([], [], [])
    next_xi = cohort.draw(state.noise)
    noise, next_noise = cohort.by_layer(state.xi), cohort.by_layer(next_xi)
    return Ingredients(gradient, noise, next_noise, time, fisher), next_xi


def time_of(cohort: Cohort, step: int) -> Time:
    """All that depends on the number of a step, which counts from 1; computed in double before rounding."""
    rate, rate_free = cohort.formulas.rates
    left, of = torch.full_like(rate, cohort.schedule(step)), torch.full_like(rate, newest(step))
    constants = tuple(t.to(cohort.dtype) for t in cohort.formulas.optimizer.constants(step))
    return Time(rate * left, rate_free * left, constants, of)


def limits(state: State, spreads: list[Spread]) -> tuple[list[Tensor], list[Tensor]]:
    """The factor between Fisher and curvature, then the largest sigma allowed; per free parameter (member, 1).

    Outside of the kernel, since inductor (2.14) fails on sums over what the same kernel writes.
    """
    ((_, parts),) = state.parameters.free.items()
    return [Curvature(*part.memory).log_scale.exp() for part in parts], [ceiling(s.sigma) for s in spreads]


def _squared_gradients(cohort: Cohort, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Means of per-example squared gradients with labels sampled from the model (Eq. 31)."""
    task, weights = cohort.data.task, cohort.layered(state.weights)
    labelled = lambda outputs: [residual_of_sample(task, outputs, state.noise, y)]
    found = squared_gradients(cohort.network, weights, x, labelled)
    return [squares.flatten(1) / len(x) for squares in found]


def _rescale(cohort: Cohort, state: State, gradient: list[Tensor], time: Time, spreads: list[Spread]) -> None:
    """Correct the factor of each layer's Fisher by what this minibatch measures under its noise."""
    measured = [over_draws(g * xi) for g, xi in zip(gradient, _standard(cohort, state), strict=True)]
    along = collected(measured, [spread.sigma for spread in spreads])
    ((_, parts),) = state.parameters.free.items()
    for part, spread, g in zip(parts, spreads, along, strict=True):
        log_scale, fisher = part.memory
        log_scale.copy_(rescaled(log_scale, time.newest, spread.sigma, g, fisher))


def _standard(cohort: Cohort, state: State) -> Sequence[Tensor]:
    """The standardised draw of each weight, (w - mean) / sd: xi itself if the weight is mu + sigma xi."""
    if cohort.formulas.carries:
        return cohort.by_layer(state.xi)
    mu, sigmas = state.parameters.mu, cohort.formulas.sigmas(state.parameters)
    return [(w - over(m, w)) / over(s, w) for w, m, s in zip(state.weights, mu, sigmas, strict=True)]
