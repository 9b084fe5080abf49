"""From a minibatch to the ingredients of a step: noise, bias corrections, and the Fisher if sigma is solved for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.fixed_point import ceiling, collected, newest, rescaled
from ebayes_core.engine.ingredients import Fisher, Ingredients, Time
from ebayes_core.engine.parameters import Curvature
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
        _rescale(cohort, state, gradient, time)
        fisher = Fisher(_squared_gradients(cohort, state, x, y), *limits(state))
    else:
        fisher = Fisher([], [], [])
    next_xi = cohort.draw(state.noise)
    noise, next_noise = state.xi.split(cohort.sizes, 1), next_xi.split(cohort.sizes, 1)
    return Ingredients(gradient, noise, next_noise, time, fisher), next_xi


def time_of(cohort: Cohort, step: int) -> Time:
    """All that depends on the number of a step, which counts from 1; computed in double before rounding."""
    betas = torch.stack([cohort.formulas.beta1, cohort.formulas.beta2]).double()
    done = (step - 1) / (cohort.batches * cohort.training.epochs)
    left = (1 + math.cos(math.pi * done)) / 2 if cohort.training.schedule == "cosine" else 1.0
    others = [torch.full_like(betas[:1], value) for value in (left, newest(step))]
    return Time(*torch.cat([-torch.expm1(step * betas.log()), *others]).to(cohort.dtype))


def limits(state: State) -> tuple[list[Tensor], list[Tensor]]:
    """The factor between Fisher and curvature, then the largest sigma allowed; per deviation (member, 1).

    Outside of the kernel, since inductor (2.14) fails on sums over what the same kernel writes.
    """
    deviations = state.parameters.deviations
    return [Curvature(*d.memory).log_scale.exp() for d in deviations], [ceiling(d.sigma) for d in deviations]


def _squared_gradients(cohort: Cohort, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Means of per-example squared gradients with labels sampled from the model (Eq. 31)."""
    task, weights = cohort.data.task, cohort.layered(state.weights)
    labelled = lambda outputs: [residual_of_sample(task, outputs, state.noise, y)]
    found = squared_gradients(cohort.network, weights, x, labelled)
    return [squares.flatten(1) / len(x) for squares in found]


def _rescale(cohort: Cohort, state: State, gradient: list[Tensor], time: Time) -> None:
    """Correct the factor of each layer's Fisher by what this minibatch measures under its noise."""
    parameters, noise = state.parameters, state.xi.split(cohort.sizes, 1)
    along = collected([g * xi for g, xi in zip(gradient, noise, strict=True)], parameters.sigma)
    for deviation, g in zip(parameters.deviations, along, strict=True):
        log_scale, fisher = deviation.memory
        log_scale.copy_(rescaled(log_scale, time.newest, deviation.sigma, g, fisher))
