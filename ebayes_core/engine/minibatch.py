"""From a minibatch to the ingredients of a step: gradients, noise, and the Fisher if sigma is solved for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over, over_draws
from ebayes_core.engine.fixed_point import along, ceiling, collected, learn, scale
from ebayes_core.engine.ingredients import Fisher, Ingredients
from ebayes_core.engine.parameters import Curvature, Spread
from ebayes_core.engine.per_example import squared_gradients


def ingredients(cohort: Cohort, state: State) -> tuple[Ingredients, Tensor]:
    """The tensors in which every step finds what a minibatch brings, and the next noise among them, (1, draws).

    gradient: of the minibatch's mean loss, per layer (member, synapses).
    """
    gradient, next_xi = [torch.zeros_like(w) for w in state.weights], cohort.noise.empty(state.xi, state.xi.shape[1])
    clock, in_stage = (torch.zeros(1, 1, dtype=torch.float64, device=cohort.device) for _ in range(2))
    given = Ingredients(gradient, cohort.by_layer(state.xi), cohort.by_layer(next_xi), clock, in_stage)
    if cohort.formulas.optimizer.shuffled:
        given = given._replace(variances=[torch.zeros_like(mu) for mu in state.parameters.mu])
    if not cohort.solves(state):
        return given, next_xi
    spreads = cohort.formulas.spreads(state.parameters)
    return given._replace(fisher=Fisher(state.parameters.mu, *limits(cohort, state, spreads, in_stage))), next_xi


def shuffle(cohort: Cohort, state: State, given: Ingredients) -> None:
    """Write the variance of another synapse of the layer for each synapse, always the same one, if steps take it."""
    if not given.variances:  # sigma of every synapse would be a third of a step
        return
    for out, sigma, order in zip(given.variances, cohort.formulas.sigmas(state.parameters), cohort.others, strict=True):
        torch.index_select(sigma, 1, order, out=out)
        out.square_()


def with_fisher(cohort: Cohort, state: State, given: Ingredients, x: Tensor, y: Tensor) -> Ingredients:
    """The ingredients with the Fisher of a minibatch, if sigma is solved for; its factors are updated first."""
    if not cohort.solves(state):
        return given
    spreads = cohort.formulas.spreads(state.parameters)
    squares = _squared_gradients(cohort, state, x, y)
    _learn(cohort, state, given, squares, spreads)
    return given._replace(fisher=Fisher(squares, *limits(cohort, state, spreads, given.in_stage)))


def limits(cohort: Cohort, state: State, spreads: list[Spread], clock: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The factor between Fisher and curvature, then the largest sigma allowed; per free parameter (member, 1).

    Outside of the kernel, since inductor (2.14) fails on sums over what the same kernel writes.
    """
    ((_, parts),) = state.parameters.free.items()
    step = clock.to(spreads[0].sigma.dtype)
    factors = [scale(Curvature(*part.memory), step) for part in parts]
    return factors, [ceiling(s.sigma, cohort.rests) for s in spreads]


def _squared_gradients(cohort: Cohort, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Means of squared per-example gradients, an estimate of the true Fisher (Eq. 31)."""
    task, weights = cohort.data.task, cohort.layered(state.weights)
    share = 1 / math.sqrt(len(x))  # of the squares, 1 / len(x)
    root = lambda outputs: [share * task.random_root(outputs, state.roots, y)]
    return [squares.flatten(1) for squares in squared_gradients(cohort.network, weights, x, root)]


def _learn(cohort: Cohort, state: State, given: Ingredients, squares: list[Tensor], spreads: list[Spread]) -> None:
    """Correct the factors of each layer's Fisher by what this minibatch measures under its noise."""
    sigma, step = [spread.sigma for spread in spreads], given.in_stage.to(cohort.dtype)
    measured = [over_draws(g * xi) for g, xi in zip(given.gradient, standardised(cohort, state), strict=True)]
    ((_, parts),) = state.parameters.free.items()
    for part, s, g, q in zip(parts, sigma, collected(measured, sigma), collected(squares, sigma), strict=True):
        known = Curvature(*part.memory)
        learn(known, along(s, g, q, known.fisher), step)


def standardised(cohort: Cohort, state: State) -> Sequence[Tensor]:
    """The standardised draw of each weight, (w - mean) / sd: xi itself if the weight is mu + sigma xi."""
    if cohort.formulas.carries:
        return cohort.by_layer(state.xi)
    mu, sigmas = state.parameters.mu, cohort.formulas.sigmas(state.parameters)
    return [(w - over(m, w)) / over(s, w) for w, m, s in zip(state.weights, mu, sigmas, strict=True)]
