"""From a minibatch to the ingredients of a step: noise, bias corrections, and the Fisher if sigma is solved for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over, over_draws
from ebayes_core.engine.fixed_point import along, ceiling, collected, learn, newest, scale
from ebayes_core.engine.ingredients import Fisher, Ingredients, Time
from ebayes_core.engine.parameters import Curvature, Spread
from ebayes_core.engine.per_example import squared_gradients


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
        squares = _squared_gradients(cohort, state, x, y)
        _learn(cohort, state, gradient, squares, spreads)
        fisher = Fisher(squares, *limits(state, spreads))
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
    return [scale(Curvature(*part.memory), state.step + 1) for part in parts], [ceiling(s.sigma) for s in spreads]


def _squared_gradients(cohort: Cohort, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Means of squared per-example gradients, an estimate of the true Fisher (Eq. 31)."""
    task, weights = cohort.data.task, cohort.layered(state.weights)
    share = 1 / math.sqrt(len(x))  # of the squares, 1 / len(x)
    root = lambda outputs: [share * task.random_root(outputs, state.noise, y)]
    return [squares.flatten(1) for squares in squared_gradients(cohort.network, weights, x, root)]


def _learn(cohort: Cohort, state: State, gradient: list[Tensor], squares: list[Tensor], spreads: list[Spread]) -> None:
    """Correct the factors of each layer's Fisher by what this minibatch measures under its noise."""
    sigma = [spread.sigma for spread in spreads]
    measured = [over_draws(g * xi) for g, xi in zip(gradient, _standard(cohort, state), strict=True)]
    ((_, parts),) = state.parameters.free.items()
    for part, s, g, q in zip(parts, sigma, collected(measured, sigma), collected(squares, sigma), strict=True):
        known = Curvature(*part.memory)
        learn(known, along(s, g, q, known.fisher), state.step + 1)


def _standard(cohort: Cohort, state: State) -> Sequence[Tensor]:
    """The standardised draw of each weight, (w - mean) / sd: xi itself if the weight is mu + sigma xi."""
    if cohort.formulas.carries:
        return cohort.by_layer(state.xi)
    mu, sigmas = state.parameters.mu, cohort.formulas.sigmas(state.parameters)
    return [(w - over(m, w)) / over(s, w) for w, m, s in zip(state.weights, mu, sigmas, strict=True)]
