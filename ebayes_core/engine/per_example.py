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
MOST_ROOTS = 100  #: largest number of outputs at which roots are taken: each takes a backward pass


def takes_roots(task: Likelihood) -> bool:
    """Whether the curvature is taken exactly over targets, from the roots that the likelihood knows."""
    return task.has_roots and task.outputs <= MOST_ROOTS


def residual_of_sample(task: Likelihood, outputs: Tensor, noise: torch.Generator, y: Tensor) -> Tensor:
    """The residual of one target per example, sampled from the model: its square estimates the Fisher (Eq. 31).

    y: the targets of the data; those that are missing are not sampled either.
    """
    sampled = task.sample(outputs, noise, y)
    assert sampled is not None, "the preflight has refused likelihoods that cannot be sampled"
    return task.residual(outputs, sampled)


def squared_gradients(
    network: Network, weights: list[Tensor], x: Tensor, deltas: Deltas, of_mean: bool = False
) -> list[Tensor]:
    """Squared per-example gradients, summed over the batch and over deltas; per layer (member, *shape).

    deltas maps the outputs (member, batch, *outputs) to derivatives of a loss in them. of_mean: as of `add_squares`.
    """
    sums: dict[str, list[Tensor]] = {}
    add_squares(sums, network, weights, x, {"": deltas}, of_mean)
    return sums[""]


def add_squares(
    sums: dict[str, list[Tensor]],
    network: Network,
    weights: list[Tensor],
    x: Tensor,
    estimators: dict[str, Deltas],
    of_mean: bool = False,
) -> None:
    """Add `squared_gradients` of a batch to the sums of each estimator, by name; those that are missing start at 0.

    The square of an outer product is the outer product of squares, so that for a layer that an example uses once, one
    matrix product suffices for the whole batch and all deltas (Goodfellow 2015). So it does if an example uses a layer
    at several positions and each has a draw of the weights to itself. Positions that share a draw are summed first, and
    then squared. The estimators share a forward pass. For a network without a trace torch.func is used.

    of_mean: the gradients are those in the mean, which all draws share. A sigma is not shared like that: draws are
    independent, so that only the squares of each add to its curvature.
    """
    with torch.enable_grad():
        leaves = [w.detach().requires_grad_() for w in weights]
        trace = network.trace(leaves, x)
    outputs = network.forward(weights, x).detach() if trace is None else trace.outputs.detach()
    draws = network.draws(tuple(x.shape[1:]), tuple(outputs.shape[2:]))
    for name, deltas in estimators.items():
        if name not in sums:
            sums[name] = [torch.zeros_like(w if n == 1 else w[:, 0]) for w, n in zip(weights, draws, strict=True)]
        totals = sums[name]
        if trace is None:
            _add_by_vmap(totals, network, weights, x, deltas(outputs), of_mean)
        else:
            _add(totals, weights, trace, deltas(outputs), of_mean)


def _add(totals: list[Tensor], weights: list[Tensor], trace: Trace, deltas: Iterable[Tensor], of_mean: bool) -> None:
    """Add the squares of the gradients that a trace determines, in place."""
    inputs = [a.detach() for a in trace.inputs]
    shared = [d.ndim == 4 and (of_mean or w.ndim == 3) for d, w in zip(trace.drives, weights, strict=True)]
    squares: list[Tensor | None] = [None] * len(totals)
    for delta in deltas:
        slopes = torch.autograd.grad(trace.outputs, trace.drives, delta, retain_graph=True)
        for layer, s in enumerate(slopes):
            if shared[layer]:
                _add_summed(totals[layer], s, inputs[layer])
            else:
                before = squares[layer]
                squares[layer] = s.square() if before is None else before.addcmul_(s, s)
    for total, sum_of_squares, x in zip(totals, squares, inputs, strict=True):
        if sum_of_squares is not None:
            _add_product(total, sum_of_squares, x.square())


def _add_product(total: Tensor, slopes: Tensor, x: Tensor) -> None:
    """Add the sum over examples and positions of slope * x, (member, post, pre); in place, without a product apart."""
    if slopes.ndim == 4:
        slopes, x = slopes.flatten(1, 2), x.flatten(-3, -2)
    if x.ndim == 2:
        total.flatten(0, 1).addmm_(slopes.transpose(1, 2).flatten(0, 1), x)
    else:
        total.baddbmm_(slopes.transpose(1, 2), x)


def _add_summed(total: Tensor, slopes: Tensor, x: Tensor) -> None:
    """Add the sum over examples of (sum over positions of slope * x)**2, (member, post, pre).

    slopes: (member, batch, positions, post); x: ([member,] batch, positions, pre).
    """
    members, _, _, post = slopes.shape
    few = max(1, HELD // (members * post * x.shape[-1]))
    for some, inputs in zip(slopes.split(few, 1), x.split(few, -3), strict=True):
        for gradient in _gradients(some, inputs):
            total.addcmul_(gradient, gradient)  # one pass over memory, where a square and a sum take three


def _gradients(slopes: Tensor, x: Tensor) -> Tensor:
    """Gradients (batch, member, post, pre); if all members share the inputs, as one product for each example."""
    across = slopes.permute(1, 0, 3, 2)
    if x.ndim == 3:
        return torch.bmm(across.flatten(1, 2), x).view(*across.shape[:3], -1)
    return torch.matmul(across, x.transpose(0, 1))


def _add_by_vmap(
    totals: list[Tensor], network: Network, weights: list[Tensor], x: Tensor, deltas: Iterable[Tensor], of_mean: bool
) -> None:
    def loss(w: list[Tensor], example: Tensor, delta: Tensor) -> Tensor:
        return (network.forward(w, example[None])[:, 0] * delta).sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 1), chunk_size=32)
    for delta in deltas:
        for total, g in zip(totals, per_example(weights, x, delta), strict=True):
            drawn = g.ndim - 1 > total.ndim
            g = g.sum(2, keepdim=True) if drawn and of_mean else g
            total += g.square().sum((0, 2) if drawn else 0)
