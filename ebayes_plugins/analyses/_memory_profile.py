"""Where in a sequence the curvature of recurrent synapses comes from: how long a network keeps what noise does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebayes_plugins.analyses._rebuilt import rebuilt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood
    from ebayes_core.contract.slots import Dataset, Trace
    from ebayes_core.results.reader import Run
    from ebayes_core.trained.network import Trained

NETWORKS = 10  #: sampled networks, each with examples of its own
EXAMPLES = 500  #: in all
CLASSES = 100  #: largest number of outputs: there is one backward pass for each


def profile(run: Run, member: int, dataset: Dataset) -> np.ndarray:
    """Share of each step in the curvature of the recurrent synapses, (steps,), averaged over the noise.

    By Gauss-Newton, of a draw of the weights at that step alone: sum_k E[(L_k . d outputs/d drives)^2] E[h_(t-1)^2],
    summed over the synapses between units. NaN for a likelihood without roots, or if no step counts.
    """
    import torch

    net, task, x = rebuilt(run, member), dataset.task(), dataset.load("train")[0][:EXAMPLES].double()
    if not task.has_roots or task.outputs > CLASSES:
        return np.full(x.shape[1], np.nan)
    noise, found = torch.Generator().manual_seed(0), torch.zeros(x.shape[1], dtype=x.dtype)
    for few in x.chunk(NETWORKS):
        found += _squares(net, task, few, noise)
    return np.asarray((found / found.sum()).numpy())


def _squares(net: Trained, task: Likelihood, x: Tensor, noise: torch.Generator) -> Tensor:
    """Sum over examples and synapses of the squared gradient at each step, (steps,), of one sampled network."""
    import torch

    times = net.network.draws(tuple(x.shape[1:]), task.shape)
    with torch.enable_grad():
        leaves = [w.requires_grad_() for w in net.weights(net.xi(1, times, noise))]
        trace = net.network.trace(leaves, x)
    assert trace is not None, "a recurrent network has one"
    states = trace.inputs[0][..., x.shape[-1] : -1].detach().square().sum(-1)
    return torch.stack([(_slopes(trace, root) * states).sum((0, 1)) for root in _roots(task, trace)]).sum(0)


def _roots(task: Likelihood, trace: Trace) -> list[Tensor]:
    return list(task.curvature_roots(trace.outputs.detach()) or ())


def _slopes(trace: Trace, root: Tensor) -> Tensor:
    """Sum over units of the squared derivative in the drives of each step, (member, batch, step)."""
    import torch

    (slopes,) = torch.autograd.grad(trace.outputs, trace.drives[:1], root, retain_graph=True)
    return slopes.square().sum(-1)
