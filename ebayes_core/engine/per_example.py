"""Per-example squared gradients, summed over a batch: the ingredients of every diagonal Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.slots import Network, Trace

Deltas = Callable[[Tensor], Iterable[Tensor]]
#: numbers in the gradients that are held at a time where they cannot be squared before they are summed: 1 MiB, which
#: stays in the processor's cache
HELD = 2**18


def residual_of_sample(task: Likelihood, outputs: Tensor, noise: torch.Generator, y: Tensor) -> Tensor:
    """The residual of one target per example, sampled from the model: its square estimates the Fisher (Eq. 31).

    y: the targets of the data; those that are missing are not sampled either.
    """
    sampled = task.sample(outputs, noise, y)
    assert sampled is not None, "the preflight has refused likelihoods that cannot be sampled"
    return task.residual(outputs, sampled)


def squared_gradients(network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas) -> list[Tensor]:
    """Squared per-example gradients, summed over the batch and over deltas; per layer (member, *shape).

    deltas maps the outputs (member, batch, *outputs) to derivatives of a loss in them. The square of an outer product
    is the outer product of squares, so that for a layer that an example uses once, one matrix product suffices for the
    whole batch and all deltas (Goodfellow 2015). So it does if an example uses a layer at several positions and each
    has a draw of the weights to itself. Positions that share a draw are summed first, and then squared. For a network
    without a trace torch.func is used.
    """
    with torch.enable_grad():
        leaves = [w.detach().requires_grad_() for w in weights]
        trace = network.trace(leaves, x)
    if trace is None:
        return _squared_by_vmap(network, weights, x, deltas)
    inputs = [a.detach() for a in trace.inputs]
    summed = [d.ndim == 4 and w.ndim == 3 for d, w in zip(trace.drives, weights, strict=True)]
    found = [x.new_zeros(())] * len(weights)
    for delta in deltas(trace.outputs.detach()):
        slopes = zip(_backward(trace, delta), inputs, summed, strict=True)
        parts = [_summed_first(s, a) if sums else s.square() for s, a, sums in slopes]
        found = [f + part for f, part in zip(found, parts, strict=True)]
    return [f if sums else _product(f, a.square()) for f, a, sums in zip(found, inputs, summed, strict=True)]


def _backward(trace: Trace, delta: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(trace.outputs, trace.drives, delta, retain_graph=True)


def _product(slopes: Tensor, x: Tensor) -> Tensor:
    """Sum over examples and positions of slope * x, (member, post, pre)."""
    if slopes.ndim == 4:
        slopes, x = slopes.flatten(1, 2), x.flatten(-3, -2)
    return slopes.transpose(1, 2) @ x


def _summed_first(slopes: Tensor, x: Tensor) -> Tensor:
    """Sum over examples of (sum over positions of slope * x)**2, (member, post, pre).

    slopes: (member, batch, positions, post); x: ([member,] batch, positions, pre).
    """
    members, _, _, post = slopes.shape
    few = max(1, HELD // (members * post * x.shape[-1]))
    total = x.new_zeros(members, post, x.shape[-1])
    for some, inputs in zip(slopes.split(few, 1), x.split(few, -3), strict=True):
        for gradient in _gradients(some, inputs):
            total.addcmul_(gradient, gradient)  # one pass over memory, where a square and a sum take three
    return total


def _gradients(slopes: Tensor, x: Tensor) -> Tensor:
    """Gradients (batch, member, post, pre); if all members share the inputs, as one product for each example."""
    across = slopes.permute(1, 0, 3, 2)
    if x.ndim == 3:
        return torch.bmm(across.flatten(1, 2), x).view(*across.shape[:3], -1)
    return torch.matmul(across, x.transpose(0, 1))


def _squared_by_vmap(network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas) -> list[Tensor]:
    outputs = network.forward(weights, x).detach()

    def loss(w: list[Tensor], example: Tensor, delta: Tensor) -> Tensor:
        return (network.forward(w, example[None])[:, 0] * delta).sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 1), chunk_size=32)
    total = [torch.zeros_like(w) for w in weights]
    for delta in deltas(outputs):
        for t, g in zip(total, per_example(weights, x, delta), strict=True):
            t += g.square().sum(0)
    draws = network.draws(tuple(x.shape[1:]), tuple(outputs.shape[2:]))
    return [t.sum(1) if n > 1 else t for t, n in zip(total, draws, strict=True)]
