"""Per-example squared gradients, summed over a batch: the ingredients of every diagonal Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.slots import Network, Trace

Deltas = Callable[[Tensor], Iterable[Tensor]]


def residual_of_sample(task: Likelihood, outputs: Tensor, noise: torch.Generator, y: Tensor) -> Tensor:
    """The residual of one target per example, sampled from the model: its square estimates the Fisher (Eq. 31).

    y: the targets of the data; those that are missing are not sampled either.
    """
    sampled = task.sample(outputs, noise, y)
    assert sampled is not None, "the preflight has refused likelihoods that cannot be sampled"
    return task.residual(outputs, sampled)


def squared_gradients(network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas) -> list[Tensor]:
    """Squared per-example gradients, summed over the batch and over deltas; per layer (member, *shape).

    deltas maps the outputs (member, batch, outputs) to derivatives of a loss in them. For linear layers the square of
    an outer product is the outer product of squares, so one matrix product suffices for the whole batch and all deltas
    (Goodfellow 2015); for a network without a trace torch.func is used.
    """
    with torch.enable_grad():
        leaves = [w.detach().requires_grad_() for w in weights]
        trace = network.trace(leaves, x)
    if trace is None:
        return _squared_by_vmap(network, weights, x, deltas)
    squares = [torch.zeros(())] * len(weights)
    for delta in deltas(trace.outputs.detach()):
        squares = [s + d.square() for s, d in zip(squares, _backward(trace, delta), strict=True)]
    return [s.transpose(1, 2) @ a.detach().square() for s, a in zip(squares, trace.inputs, strict=True)]


def _backward(trace: Trace, delta: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(trace.outputs, trace.drives, delta, retain_graph=True)


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
