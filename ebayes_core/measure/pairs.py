"""Two networks drawn with opposite noise, and what their gradients on a few examples say about the balance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebayes_core.contract.slots import Trace
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.parameters import Parameters, layered

#: of a few examples, per example: sum_i sigma_i g_i xi_i and sum_i mu_i g_i, (layer, member) each; the loss that noise
#: adds to that of the mean weights, and that loss, (member,) each
Measured = tuple[Tensor, Tensor, Tensor, Tensor]


def pair(cohort: Cohort, p: Parameters) -> Pair | TracedPair:
    """The cheapest way to measure pairs of these networks."""
    if cohort.formulas.carries and _once(cohort, p):
        return TracedPair(cohort, p)
    return Pair(cohort, p)


def _once(cohort: Cohort, p: Parameters) -> bool:
    """Whether every layer is a linear map that an example uses once."""
    trace = cohort.network.trace(cohort.layered(cohort.repeated(p.mu)), cohort.data.x[:1])
    return trace is not None and all(drives.ndim == 3 for drives in trace.drives)


class Pair:
    """Two networks drawn with opposite xi, such as mu +- sigma xi, and their gradients.

    The pair is antithetic: in the difference of its gradients the mean gradient cancels, which is most of the variance
    of g xi.
    """

    def __init__(self, cohort: Cohort, p: Parameters) -> None:
        self.cohort, self.mu = cohort, p.mu
        self.means, free = cohort.formulas.place(p)
        self.free = layered(free, len(self.means))
        self.wide = cohort.repeated(p.mu)
        self.gradient = [torch.empty_like(m.contiguous()) for m in self.wide]  # allocating memory is slow

    def draw(self, noise: torch.Generator) -> None:
        """Draw a new pair."""
        self.xi = self.cohort.draw(noise)
        normal = self.cohort.formulas.noise.base == "normal"
        self.pair = self.xi, -self.xi if normal else 1 - self.xi

    def measure(self, x: Tensor, y: Tensor) -> Measured:
        """What the pair says of a few examples."""
        at_mean = mean_loss(self.cohort, self.cohort.network.forward(self.cohort.layered(self.wide), x), y)
        one, other = (self._one(xi, x, y) for xi in self.pair)
        along_sigma, along_mu, nll = ((a + b) / 2 for a, b in zip(one, other, strict=True))
        return along_sigma, along_mu, nll - at_mean, at_mean

    def _one(self, xi: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """sum sd g xi, with xi the standardised draw; sum mu dL/dmu; and the mean loss; for one network of the pair."""
        f, parts, means = self.cohort.formulas, self.cohort.by_layer(xi), [m.detach() for m in self.means]
        with torch.enable_grad():
            leaves = [m.requires_grad_(not f.carries) for m in means]
            weights = f.drawn(leaves, self.free, parts)
        loss = gradients(self.cohort, [w.detach() for w in weights], x, y, self.gradient)
        off = [w.detach() - m for w, m in zip(weights, self.wide, strict=True)]
        along_sigma = _dots(off, self.gradient)
        if f.carries:  # there dw/dmu = 1
            return along_sigma, _dots(self.wide, self.gradient), loss
        slopes = torch.autograd.grad(weights, leaves, self.gradient, allow_unused=True, materialize_grads=True)
        return along_sigma, _dots(self.mu, list(slopes)), loss


class TracedPair:
    """The same for weights mu +- sigma xi of layers that are linear maps, without the gradient in the weights.

    Its inner product with any v of their shape is that of the slopes of the loss, in the layer's drives, with what v
    makes of the layer's inputs: for a few examples that is far less than a gradient.
    """

    def __init__(self, cohort: Cohort, p: Parameters) -> None:
        self.cohort, self.mu, (_, free) = cohort, p.mu, cohort.formulas.place(p)
        self.sigma = [s for (s,) in (values.values() for values in layered(free, len(p.mu)))]
        self.off = [torch.empty_like(m) for m in p.mu]
        self.both = [m.new_empty(2, *m.shape) for m in p.mu]

    def draw(self, noise: torch.Generator) -> None:
        """Draw a new pair, in place."""
        xi = self.cohort.by_layer(self.cohort.draw(noise))
        for mu, sigma, x, off, both in zip(self.mu, self.sigma, xi, self.off, self.both, strict=True):
            torch.mul(sigma, x, out=off)
            torch.add(mu, off, out=both[0])
            torch.sub(mu, off, out=both[1])

    def measure(self, x: Tensor, y: Tensor) -> Measured:
        """What the pair says of a few examples."""
        task, network, layered = self.cohort.data.task, self.cohort.network, self.cohort.layered
        at_mean = mean_loss(self.cohort, network.forward(layered(self.mu), x), y)
        with torch.enable_grad():
            leaves = [w.flatten(0, 1).requires_grad_() for w in layered(self.both)]
            trace = network.trace(leaves, x)
        assert trace is not None
        outputs = trace.outputs.detach()
        slopes = torch.autograd.grad(trace.outputs, trace.drives, task.residual(outputs, y) / len(x))
        (above, below), (mu_above, mu_below) = (_inner(trace, slopes, layered(v)) for v in (self.off, self.mu))
        nll = mean_loss(self.cohort, outputs, y).unflatten(0, (2, -1)).mean(0)
        return (above - below) / 2, (mu_above + mu_below) / 2, nll - at_mean, at_mean


def _inner(trace: Trace, slopes: Sequence[Tensor], v: list[Tensor]) -> Tensor:
    """Inner products of v (member, post, pre) with each layer's gradient, (network of the pair, layer, member)."""
    found = [
        (s.unflatten(0, (2, -1)) * _through(a.detach(), w)).sum((-2, -1)).double()
        for s, a, w in zip(slopes, trace.inputs, v, strict=True)
    ]
    return torch.stack(found, 1)


def _through(a: Tensor, v: Tensor) -> Tensor:
    """What v (member, post, pre) makes of a layer's inputs: (network, member, batch, post), or without the first axis
    if both networks share them, (batch, pre).
    """
    if a.ndim == 2:
        return (a @ v.flatten(0, 1).T).view(len(a), *v.shape[:2]).transpose(0, 1)
    return torch.matmul(a.view(2, -1, *a.shape[1:]), v.transpose(1, 2))


def gradients(cohort: Cohort, weights: list[Tensor], x: Tensor, y: Tensor, out: list[Tensor]) -> Tensor:
    """Mean loss (member,) of a minibatch; writes its gradient to out, per layer (member, synapses)."""
    task = cohort.data.task
    outputs = cohort.network.gradients(
        cohort.layered(weights), x, lambda o: task.residual(o, y) / len(x), cohort.layered(out)
    )
    return mean_loss(cohort, outputs, y)


def mean_loss(cohort: Cohort, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean loss of a minibatch, (member,), in double precision."""
    return cohort.data.task.nll(outputs, y).mean(-1, dtype=torch.float64)


def _dots(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Inner products of each layer: (layer, member)."""
    return torch.stack([(u * v).flatten(1).sum(-1).double() for u, v in zip(a, b, strict=True)])
