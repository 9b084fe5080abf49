"""What is noted while networks train: the sums of an epoch, the curves, and the networks that diverged."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.engine import divergence
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.evaluation import snapshot, stage_accuracies
from ebayes_core.engine.parameters import Parameters

log = logging.getLogger("ebayes")


def end_epoch(cohort: Cohort, state: State) -> None:
    """Add a point to the curves, stop and report the networks that diverged, and start the next epoch's sums."""
    state.curves.append(curve_point(cohort, state))
    _report_diverged(cohort, state, "the loss")
    _stop_overflown(state)
    _report_diverged(cohort, state, "the squared gradient")
    state.epoch, state.batch = state.epoch + 1, 0
    state.loss.zero_()
    state.correct.zero_()


def count(state: State, task: Likelihood, outputs: Tensor, y: Tensor) -> None:
    """Add a minibatch to the sums of the epoch; a network whose loss is no longer finite is stopped before its step."""
    nll = task.nll(outputs, y).mean(-1)
    state.loss += nll
    right = task.accuracy(outputs, y)
    state.correct += math.nan if right is None else right
    state.alive &= nll.isfinite()[:, None]


def curve_point(cohort: Cohort, state: State) -> dict[str, Tensor]:
    """The loss terms apart, accuracy and sigma now, (member,) each; the training loss is the mean over its steps.

    If training has stages, accuracies are those on the data of now, followed by those on the test data of every stage.
    """
    done = state.batch or math.nan
    averages = {"nll": state.loss / done, "accuracy_train": state.correct / done}
    p, now = state.parameters, cohort.at_stage(cohort.stage(state.epoch))
    return {**averages, **snapshot(now, p), **learning(cohort, p), **stage_accuracies(cohort, p, "accuracy_test")}


def learning(cohort: Cohort, p: Parameters) -> dict[str, Tensor]:
    """The energy of learning: what the means have changed by until now, added up over steps and synapses.

    That of every step, and the least that could have led here; (member,) each, in double precision. Every change of a
    weight costs energy in proportion to its size (Li and van Rossum 2020).
    """
    each = zip(p.mu, cohort.beginnings, cohort.copies, strict=True)
    moved = [n * (mu - start).abs().double().sum(-1) for mu, start, n in each]
    return {"mu_travelled": p.travelled[0][:, 0].clone(), "mu_moved": torch.stack(moved).sum(0)}


def _stop_overflown(state: State) -> None:
    """Stop networks whose optimizer remembers infinity: Adam would divide by it, and never move again."""
    for parameter in state.parameters.all():
        for remembered in parameter.memory:
            state.alive &= remembered.isfinite().all(-1, keepdim=True)


def _report_diverged(cohort: Cohort, state: State, seen: str) -> None:
    """Record when a network diverged and which term was not finite, and log it once."""
    for member in (~state.alive[:, 0]).nonzero()[:, 0].tolist():
        if member not in state.died:
            cause = divergence.cause(cohort, state, member, seen)
            state.died[member] = f"at step {state.step}: {cause} is not finite"
            log.warning("a network diverged by step %d: %s is not finite; its training stops there", state.step, cause)
