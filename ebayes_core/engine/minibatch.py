"""From a minibatch to the ingredients of a step: gradients, noise, and the Fisher if sigma is solved for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over, over_draws
from ebayes_core.engine.fixed_point import ceiling, collected, newest, rescaled
from ebayes_core.engine.ingredients import Fisher, Ingredients
from ebayes_core.engine.parameters import Curvature, Spread
from ebayes_core.engine.per_example import residual_of_sample, squared_gradients


def ingredients(cohort: Cohort, state: State) -> tuple[Ingredients, Tensor]:
    """The tensors in which every step finds what a minibatch brings, and the next noise among them, (1, draws).

    gradient: of the minibatch's mean loss, per layer (member, synapses).
    """
    gradient, next_xi = [torch.zeros_like(w) for w in state.weights], cohort.noise.empty(state.xi, state.xi.shape[1])
    clock = torch.zeros(1, 1, dtype=torch.float64, device=cohort.device)
    given = Ingredients(gradient, cohort.by_layer(state.xi), cohort.by_layer(next_xi), clock)
    if not cohort.solves(state):
        return given, next_xi
    spreads = cohort.formulas.spreads(state.parameters)
    return given._replace(fisher=Fisher(state.parameters.mu, *limits(state, spreads))), next_xi


def with_fisher(cohort: Cohort, state: State, given: Ingredients, x: Tensor, y: Tensor) -> Ingredients:
    """The ingredients with the Fisher of a minibatch, if sigma is solved for; its factors are updated first."""
    if not cohort.solves(state):
        return given
    spreads = cohort.formulas.spreads(state.parameters)
    _rescale(cohort, state, given, spreads)
    return given._replace(fisher=Fisher(_squared_gradients(cohort, state, x, y), *limits(state, spreads)))


def limits(state: State, spreads: list[Spread]) -> tuple[list[Tensor], list[Tensor]]:
    """The factor between Fisher and curvature, then the largest sigma allowed; per free parameter (member, 1).

    Outside of the kernel, since inductor (2.14) fails on sums over what the same kernel writes.
    """
    ((_, parts),) = state.parameters.free.items()
    return [Curvature(*part.memory).log_scale.exp() for part in parts], [ceiling(s.sigma) for s in spreads]


def _squared_gradients(cohort: Cohort, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Means of per-example squared gradients with labels sampled from the model (Eq. 31)."""
    task, weights = cohort.data.task, cohort.layered(state.weights)
    labelled = lambda outputs: [residual_of_sample(task, outputs, state.labels, y)]
    found = squared_gradients(cohort.network, weights, x, labelled)
    return [squares.flatten(1) / len(x) for squares in found]


def _rescale(cohort: Cohort, state: State, given: Ingredients, spreads: list[Spread]) -> None:
    """Correct the factor of each layer's Fisher by what this minibatch measures under its noise."""
    measured = [over_draws(g * xi) for g, xi in zip(given.gradient, _standard(cohort, state), strict=True)]
    along = collected(measured, [spread.sigma for spread in spreads])
    ((_, parts),) = state.parameters.free.items()
    for part, spread, g in zip(parts, spreads, along, strict=True):
        log_scale, fisher = part.memory
        log_scale.copy_(rescaled(log_scale, newest(given.clock).to(log_scale.dtype), spread.sigma, g, fisher))


def _standard(cohort: Cohort, state: State) -> Sequence[Tensor]:
    """The standardised draw of each weight, (w - mean) / sd: xi itself if the weight is mu + sigma xi."""
    if cohort.formulas.carries:
        return cohort.by_layer(state.xi)
    mu, sigmas = state.parameters.mu, cohort.formulas.sigmas(state.parameters)
    return [(w - over(m, w)) / over(s, w) for w, m, s in zip(state.weights, mu, sigmas, strict=True)]
