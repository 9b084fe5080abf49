"""The training loop, on one screen: K networks that share a seed take every step together."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Classification, Task
from ebayes_core.engine import divergence
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.evaluation import snapshot

log = logging.getLogger("ebayes")


@torch.no_grad()
def train(cohort: Cohort, state: State) -> Iterator[State]:
    """Train to the end of the spec's epochs, yielding after each step; `state` says where to go on.

    The objective is the negative log-likelihood of the whole training set plus the inference's terms (Eq. 2-4), per
    datapoint: a minibatch's mean loss estimates it without bias.
    """
    data, sizes = cohort.data, cohort.sizes
    slopes = [torch.zeros_like(w) for w in state.weights]
    layered_weights, layered_slopes = cohort.layered(state.weights), cohort.layered(slopes)
    update = cohort.update(state, slopes)
    if not state.curves:
        state.curves.append(_curve_point(cohort, state))
    for epoch in range(state.epoch, cohort.training.epochs):
        order = cohort.order(epoch)
        while state.batch < cohort.batches:
            x, y = data.x[order[state.batch]], data.y[order[state.batch]]
            scale = 1 / len(x)
            outputs = cohort.network.gradients(
                layered_weights, x, lambda o, y=y, scale=scale: scale * data.task.residual(o, y), layered_slopes
            )
            clock = cohort.clock(state.step + 1)
            cohort.follow(state, slopes, clock)
            squares, bounds = cohort.squares(state, x), cohort.bounds(state)
            _account(state, data.task, outputs, y)
            xi_next = cohort.draw(state.noise)
            now, after = state.xi.split(sizes, 1), xi_next.split(sizes, 1)
            update(state.parameters.lists(), state.weights, slopes, squares, bounds, now, after, clock, state.alive)
            state.xi, state.step, state.batch = xi_next, state.step + 1, state.batch + 1
            yield state
        state.curves.append(_curve_point(cohort, state))
        _report_the_dead(cohort, state, "the loss")
        _freeze_the_overflown(state)
        _report_the_dead(cohort, state, "the squared gradient")
        state.epoch, state.batch = epoch + 1, 0
        state.loss, state.correct = torch.zeros_like(state.loss), torch.zeros_like(state.correct)
        yield state


def _account(state: State, task: Task, outputs: Tensor, y: Tensor) -> None:
    """Add a minibatch to the epoch's sums; a member whose loss is no longer finite is frozen where it stands."""
    nll = task.nll(outputs, y).mean(-1)
    state.loss += nll
    if y.dtype == torch.int64:
        state.correct += (outputs.argmax(-1) == y).to(nll.dtype).mean(-1)
    state.alive &= nll.isfinite()[:, None]


def _curve_point(cohort: Cohort, state: State) -> dict[str, Tensor]:
    """The loss terms apart, accuracy and sigma now; the training loss is the mean over the epoch's steps."""
    done = state.batch or math.nan
    right = state.correct / done if isinstance(cohort.data.task, Classification) else state.correct * math.nan
    return {"nll": state.loss / done, "accuracy_train": right, **snapshot(cohort, state.parameters)}


def _freeze_the_overflown(state: State) -> None:
    """Freeze members with an infinite second moment: Adam would divide by it for good, and never move again."""
    for moment in (*state.parameters.mu_second, *state.parameters.phi_second):
        state.alive &= moment.isfinite().all(-1, keepdim=True)


def _report_the_dead(cohort: Cohort, state: State, seen: str) -> None:
    """Note when a member was found frozen and what of it was not finite, and say it once."""
    for member in (~state.alive[:, 0]).nonzero()[:, 0].tolist():
        if member not in state.died:
            cause = divergence.cause(cohort, state, member, seen)
            state.died[member] = f"at step {state.step}: {cause} is not finite"
            log.warning("a network has diverged by step %d: %s is not finite; it is frozen", state.step, cause)
