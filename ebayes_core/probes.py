"""What curvature, gradients and inputs each synapse saw, measured after training with the parameters held.

Everything is per datapoint: times the number of training examples it is the data-set sum of the paper's equations.
The suffix tells where: `_mean` at the mean weights, `_noise` averaged over the noise, which is what the stationarity
condition sigma**(rho + 2) = c rho / E_xi[H] knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ebayes_core.engine import Cohort
from ebayes_core.evaluation import sampled_weights
from ebayes_core.slots import Network
from ebayes_core.update import Parameters

Deltas = Callable[[Tensor], Iterable[Tensor]]
CLASSES_FOR_GAUSS_NEWTON = 100  #: its price is one backward pass per class


def squared_gradients(network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas) -> list[Tensor]:
    """Squared per-example gradients, summed over the batch and over deltas; per layer (member, *shape).

    deltas maps the outputs (member, batch, outputs) to derivatives of some loss in them. For linear layers the square
    of an outer product is the outer product of squares, so one matrix product serves the whole batch and all deltas
    (Goodfellow 2015); a network without a trace goes through torch.func.
    """
    with torch.enable_grad():
        leaves = [w.detach().requires_grad_() for w in weights]
        trace = network.trace(leaves, x)
    if trace is None:
        return _squared_by_vmap(network, weights, x, deltas)
    squares: list[Tensor | float] = [0.0] * len(weights)
    for delta in deltas(trace.outputs.detach()):
        squares = [s + d.square() for s, d in zip(squares, _backward(trace, delta), strict=True)]
    return [s.transpose(1, 2) @ a.detach().square() for s, a in zip(squares, trace.inputs, strict=True)]


def _backward(trace: object, delta: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(trace.outputs, trace.drives, delta, retain_graph=True)  # type: ignore[attr-defined]


def _squared_by_vmap(network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas) -> list[Tensor]:
    outputs = network.forward(weights, x).detach()

    def loss(w: list[Tensor], example: Tensor, delta: Tensor) -> Tensor:
        return (network.forward(w, example[None])[:, 0] * delta).sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 1), chunk_size=32)
    total = [torch.zeros_like(w) for w in weights]
    for delta in deltas(outputs):
        for t, g in zip(total, per_example(weights, x, delta), strict=True):
            t += g.square().sum(0)
    return total


def curvature(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, list[Tensor]]:
    """Six diagonals of curvature per layer: true and empirical Fisher and exact Gauss-Newton, at the mean and noisy.

    The true Fisher samples one label per example from the model (Eq. 31); the empirical one takes the data's labels,
    as the authors do, and underestimates where the fit is good. For softmax and Gaussian likelihoods Gauss-Newton is
    the true Fisher with its expectation over labels taken exactly. A fresh weight sample serves each chunk.
    """
    task, sums = cohort.data.task, {}
    networks = sampled_weights(cohort, p, noise)
    for x, y in training_chunks(cohort, cohort.member.measurement.probe_batch):
        for where, weights in (("mean", p.mu), ("noise", next(networks))):
            layered = cohort.layered(weights)
            for name, deltas in _estimators(task, y, noise).items():
                found = squared_gradients(cohort.network, layered, x, deltas)
                _add(sums, f"{name}_{where}", found)
    return {name: [t / _examples(cohort) for t in total] for name, total in sums.items()}


def _estimators(task, y: Tensor, noise: torch.Generator) -> dict[str, Deltas]:  # type: ignore[no-untyped-def]
    estimators: dict[str, Deltas] = {
        "fisher_true": lambda o: [task.residual(o, task.sample(o, noise))],
        "fisher_empirical": lambda o: [task.residual(o, y)],
    }
    if task.outputs <= CLASSES_FOR_GAUSS_NEWTON:
        estimators["gauss_newton"] = task.curvature_roots
    return estimators


def inputs(cohort: Cohort, p: Parameters, noise: torch.Generator) -> dict[str, list[Tensor]]:
    """Mean |x| and mean x^2 of each layer's inputs under noise, (member, pre + 1); nothing without a trace."""
    sums: dict[str, list[Tensor]] = {}
    networks = sampled_weights(cohort, p, noise)
    for x, _ in training_chunks(cohort, cohort.member.measurement.probe_batch):
        trace = cohort.network.trace(cohort.layered(next(networks)), x)
        if trace is None:
            return {}
        for name, function in (("input_abs", torch.abs), ("input_square", torch.square)):
            rates = [function(a).sum(-2).expand(len(cohort), -1) for a in trace.inputs]
            _add(sums, name, rates)
    return {name: [t / _examples(cohort) for t in total] for name, total in sums.items()}


def training_chunks(cohort: Cohort, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The training examples that the probes see, in chunks."""
    n = _examples(cohort)
    return zip(cohort.data.x[:n].split(size), cohort.data.y[:n].split(size), strict=True)


def _examples(cohort: Cohort) -> int:
    asked = cohort.member.measurement.probe_examples
    return min(asked or cohort.data.examples, cohort.data.examples)


def _add(sums: dict[str, list[Tensor]], name: str, parts: list[Tensor]) -> None:
    if name not in sums:
        sums[name] = [torch.zeros_like(t) for t in parts]
    for total, part in zip(sums[name], parts, strict=True):
        total += part
