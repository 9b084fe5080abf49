"""The training loop, on one screen: K networks that share a seed take every step together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ebayes_core.engine.bookkeeping import count, curve_point, end_epoch
from ebayes_core.engine.capture import captured
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.ingredients import Ingredients
from ebayes_core.engine.kernel import kernel
from ebayes_core.engine.minibatch import ingredients, shuffle, with_fisher
from ebayes_core.engine.multipliers import keep
from ebayes_core.engine.stages import end_stage


@torch.no_grad()
def train(cohort: Cohort, state: State) -> Iterator[State]:
    """Train to the end of the spec's epochs, yielding after each step; starting from where `state` is.

    The objective is the negative log-likelihood of the whole training set plus the inference's terms (Eq. 2-4), per
    datapoint: a minibatch's mean loss estimates it without bias.
    """
    given, next_xi = ingredients(cohort, state)
    index = torch.zeros(cohort.batch_size, dtype=torch.int64, device=cohort.device)
    step = captured(one_step(cohort, state, given, next_xi, index), state)
    if not state.curves:
        state.curves.append(curve_point(cohort, state))
    while state.epoch < cohort.training.epochs:
        order, before = cohort.order(state.epoch), cohort.steps_before(state.epoch)
        while state.batch < cohort.batches:
            index.copy_(order[state.batch])
            given.clock.fill_(state.step + 1)
            given.in_stage.fill_(state.step + 1 - before)
            step()
            state.step, state.batch = state.step + 1, state.batch + 1
            yield state
        end_epoch(cohort, state)
        end_stage(cohort, state)
        yield state


def one_step(cohort: Cohort, state: State, given: Ingredients, next_xi: Tensor, index: Tensor) -> Callable[[], None]:
    """A step with the examples of an index, on tensors that lie in the same memory each time."""
    data, task, scale = cohort.data, cohort.data.task, 1 / len(index)
    weights, gradient = cohort.layered(state.weights), cohort.layered(given.gradient)
    step = kernel(cohort, state, given)

    def taken() -> None:
        x, y = data.x.index_select(0, index), data.y.index_select(0, index)
        outputs = cohort.network.gradients(weights, x, lambda o: scale * task.residual(o, y), gradient)
        count(state, task, outputs, y)
        cohort.noise.fill(next_xi, given.clock)
        keep(cohort, state, given)
        shuffle(cohort, state, given)
        step(with_fisher(cohort, state, given, x, y))
        state.xi.copy_(next_xi)

    return taken
