"""Curvature and inputs of each synapse, measured after training at fixed parameters.

Everything is per training example; multiplied by the number of examples it is the sum over the data set of the paper's
equations. The suffix `_mean` means at the mean weights, `_noise` averaged over the noise, as in the condition of
stationarity sigma**(rho + 2) = c rho / E_xi[H].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.evaluation import sampled_weights
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.per_example import Deltas, add_squares, residual_of_sample, takes_roots
from ebayes_core.engine.randomness import CHOICE, generator
from ebayes_core.results.record import HELD_OUT

NETWORKS = 20  #: smallest number of sampled networks in an average over the noise, however large the chunks are


def curvature(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, list[Tensor]]:
    """Six diagonals of the curvature per layer: true Fisher, empirical Fisher and Gauss-Newton, at the mean and noisy.

    What the likelihood does not offer is left out: without samples the true Fisher, without roots Gauss-Newton.

    The true Fisher samples one label per example from the predictive distribution (Eq. 31). The empirical one uses the
    labels of the data, as the authors do, and underestimates the curvature where the fit is good. For softmax and
    Gaussian likelihoods Gauss-Newton equals the true Fisher with the exact expectation over labels. Each chunk has a
    new weight sample.
    """
    task = cohort.data.task
    sums: dict[str, list[Tensor]] = {}
    networks = sampled_weights(cohort, p, noise)
    for x, y in training_chunks(cohort):
        for where, weights in (("mean", cohort.repeated(p.mu)), ("noise", next(networks))):
            estimators = {f"{name}_{where}": deltas for name, deltas in _estimators(task, y, noise).items()}
            add_squares(sums, cohort.network, cohort.layered(weights), x, estimators)
    return {name: [t.div_(_examples(cohort)) for t in total] for name, total in sums.items()}


def held_out(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, list[Tensor]]:
    """Gauss-Newton averaged over the noise, on each half of the test examples; they have set neither mean nor sigma.

    Two independent estimates of one curvature: a slope on it can be found in spite of their errors. An empty dict if
    the likelihood does not offer it.
    """
    task, sums = cohort.data.task, dict[str, list[Tensor]]()
    if not takes_roots(task) or len(cohort.data.x_test) < 2:
        return sums
    networks = sampled_weights(cohort, p, noise)
    halves = _chosen(cohort, len(cohort.data.x_test)).tensor_split(2)
    for name, half in zip(HELD_OUT, halves, strict=True):
        for few in _chunks(cohort, half):
            x, y = cohort.data.x_test[few], cohort.data.y_test[few]
            roots: Deltas = partial(_curvature_roots, task, y)
            add_squares(sums, cohort.network, cohort.layered(next(networks)), x, {name: roots})
        sums[name] = [t.div_(len(half)) for t in sums[name]]
    return sums


def _curvature_roots(task: Likelihood, y: Tensor, outputs: Tensor) -> Iterable[Tensor]:
    return task.curvature_roots(outputs, y) or ()


def _estimators(task: Likelihood, y: Tensor, noise: torch.Generator) -> dict[str, Deltas]:
    estimators: dict[str, Deltas] = {}
    if task.can_sample:
        estimators["fisher_true"] = lambda o: [residual_of_sample(task, o, noise, y)]
    estimators["fisher_empirical"] = lambda o: [task.residual(o, y)]
    if takes_roots(task):
        estimators["gauss_newton"] = partial(_curvature_roots, task, y)
    return estimators


def inputs(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, list[Tensor]]:
    """Mean |x| and mean x^2 of each layer's inputs under noise, (member, pre); an empty dict without a trace.

    In a layer that an example uses at several positions, they are also means over these.
    """
    sums: dict[str, list[Tensor]] = {}
    networks = sampled_weights(cohort, p, noise)
    for x, _ in training_chunks(cohort):
        trace = cohort.network.trace(cohort.layered(next(networks)), x)
        if trace is None:
            return {}
        for name, function in (("input_abs", torch.abs), ("input_square", torch.square)):
            _add(sums, name, [_rates(function(a), d) for a, d in zip(trace.inputs, trace.drives, strict=True)])
    return {name: [t / _examples(cohort) for t in total] for name, total in sums.items()}


def _rates(values: Tensor, drives: Tensor) -> Tensor:
    """Sum over examples of the mean over positions of ([member,] batch, [positions,] pre), as (member, pre)."""
    if drives.ndim == 4:
        values = values.mean(-2)
    return values.sum(-2).expand(len(drives), -1)


def training_chunks(cohort: Cohort) -> Iterator[tuple[Tensor, Tensor]]:
    """The training examples that are measured, chosen at random if not all, in chunks that share a weight sample."""
    data = cohort.data
    for few in _chunks(cohort, _chosen(cohort, data.examples)):
        yield data.x[few], data.y[few]


def _chosen(cohort: Cohort, examples: int) -> Tensor:
    """Which of the examples of a split are measured, at random."""
    shuffled = torch.randperm(examples, generator=generator(cohort.seed, CHOICE))
    return shuffled[: cohort.member.measurement.probe_examples or examples].to(cohort.device)


def _chunks(cohort: Cohort, chosen: Tensor) -> tuple[Tensor, ...]:
    """Examples that share a weight sample; at least NETWORKS chunks."""
    size = min(cohort.member.measurement.probe_batch, max(1, len(chosen) // NETWORKS))
    return tuple(chosen.split(size))


def _examples(cohort: Cohort) -> int:
    asked = cohort.member.measurement.probe_examples
    return min(asked or cohort.data.examples, cohort.data.examples)


def _add(sums: dict[str, list[Tensor]], name: str, parts: list[Tensor]) -> None:
    if name not in sums:
        sums[name] = [torch.zeros_like(t) for t in parts]
    for total, part in zip(sums[name], parts, strict=True):
        total += part
