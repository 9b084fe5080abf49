"""What an inference remembers of one stage of training, such as one of several tasks in a row, for the next."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.slots import Stage
from ebayes_core.engine.cohort import CHUNK, Cohort, State
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.per_example import residual_of_sample, squared_gradients, takes_roots
from ebayes_core.engine.randomness import STAGES, generator


def end_stage(cohort: Cohort, state: State) -> None:
    """Let the inference remember the stage that has ended, if the next epoch begins another; in place.

    The solver for sigma forgets it: what it has averaged is the curvature of data that are shown no more.
    """
    ended, now = (cohort.stage(epoch) for epoch in (state.epoch - 1, state.epoch))
    if state.epoch >= cohort.training.epochs or ended == now:
        return
    if state.parameters.remembered:
        _remember(cohort.at_stage(ended), state, ended)
    if cohort.solves(state):
        ((_, parts),) = state.parameters.free.items()
        for known in (t for part in parts for t in part.memory):
            known.zero_()


def _remember(cohort: Cohort, state: State, stage: int) -> None:
    p, inference = state.parameters, cohort.formulas.inference
    fisher = _fisher(cohort, p, stage) if inference.needs_fisher else [torch.zeros_like(mu) for mu in p.mu]
    known = (Stage(*each) for each in zip(p.mu, cohort.formulas.sigmas(p), fisher, strict=True))
    for one, memory in zip(known, p.memories(), strict=True):
        with asking(cohort.member.inference, "what remember returned"):
            found = inference.remember(memory, one)
            for name, old in memory.items():
                old.copy_(torch.where(state.alive, found[name], old))


def has_fisher(task: Likelihood) -> bool:
    """Whether a likelihood offers what the Fisher information of a stage takes."""
    return task.can_sample or takes_roots(task)


def _fisher(cohort: Cohort, p: Parameters, stage: int) -> list[Tensor]:
    """The diagonal of the true Fisher information of the means, summed over the examples of the stage.

    Exact over labels where the likelihood knows its roots, otherwise with one label sampled for each example (Eq. 31).
    Of each copy, its share: the costs of all copies are charged.
    """
    task, weights, exact = cohort.data.task, cohort.layered(cohort.repeated(p.mu)), takes_roots(cohort.data.task)
    noise = generator(cohort.seed, STAGES, stage, device=cohort.device)
    totals = [torch.zeros_like(mu) for mu in p.mu]
    for x, y in zip(cohort.data.x.split(CHUNK), cohort.data.y.split(CHUNK), strict=True):

        def deltas(outputs: Tensor, y: Tensor = y) -> Iterator[Tensor]:
            roots = task.curvature_roots(outputs, y) if exact else None
            yield from roots or [residual_of_sample(task, outputs, noise, y)]

        found = squared_gradients(cohort.network, weights, x, deltas, of_mean=True)
        for total, squares in zip(totals, found, strict=True):
            total += squares.flatten(1)
    return [total / n for total, n in zip(totals, cohort.copies, strict=True)]
