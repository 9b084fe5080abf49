"""The training loop, on one screen: K networks that share a seed take every step together."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ebayes_core.engine.bookkeeping import count, curve_point, end_epoch
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.kernel import kernel
from ebayes_core.engine.minibatch import ingredients, with_fisher


@torch.no_grad()
def train(cohort: Cohort, state: State) -> Iterator[State]:
    """Train to the end of the spec's epochs, yielding after each step; starting from where `state` is.

    The objective is the negative log-likelihood of the whole training set plus the inference's terms (Eq. 2-4), per
    datapoint: a minibatch's mean loss estimates it without bias.
    """
    data, given, next_xi = cohort.data, *ingredients(cohort, state)
    weights, gradient = cohort.layered(state.weights), cohort.layered(given.gradient)
    step = kernel(cohort, state, given)
    if not state.curves:
        state.curves.append(curve_point(cohort, state))
    while state.epoch < cohort.training.epochs:
        order = cohort.order(state.epoch)
        while state.batch < cohort.batches:
            x, y = (t.index_select(0, order[state.batch]) for t in (data.x, data.y))
            scale = 1 / len(x)
            outputs = cohort.network.gradients(
                weights, x, lambda o, y=y, scale=scale: scale * data.task.residual(o, y), gradient
            )
            count(state, data.task, outputs, y)
            cohort.noise.fill(next_xi, given.clock.fill_(state.step + 1))
            step(with_fisher(cohort, state, given, x, y))
            state.xi.copy_(next_xi)
            state.step, state.batch = state.step + 1, state.batch + 1
            yield state
        end_epoch(cohort, state)
        yield state
