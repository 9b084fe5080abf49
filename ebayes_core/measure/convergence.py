"""Convergence: how far a trained network is from its optimum, measured without computing a Hessian.

For Gaussian xi, integration by parts gives E[g_i xi_i] = sigma_i E[d2L/dw_i2] (Stein's lemma). Where the objective is
stationary, E[g_i xi_i] = -d penalty / d sigma_i holds for every synapse. Both sides are multiplied by sigma_i and
summed over a layer; the left side divided by the right is the balance B: 1 at the optimum, below 1 while the energy
still drives sigma up. With homogeneous noise only the sum over all layers has to balance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.evaluation import sampled_weights
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import CHOICE, generator

#: Training examples per pair of sampled networks, and smallest number of pairs. They do not depend on the size of the
#: minibatches, so that the estimate does not either, and a single pair would be too noisy.
EXAMPLES, PAIRS = 20, 100
#: Smallest number of minibatches whose gradients are averaged.
MINIBATCHES = 10


@dataclass
class Projections:
    """Inner products with the gradient that pairs of sampled networks have on their part of the training set, per
    example.

    Averages are weighted by `share`: the last chunk of a pass is smaller if the set does not divide evenly.
    """

    share: Tensor  #: (pair,): fraction of all examples; sums to 1
    along_sigma: Tensor  #: (pair, layer, member): sum_i sigma_i g_i xi_i
    along_mu: Tensor  #: (pair, layer, member): sum_i mu_i g_i
    added: Tensor  #: (pair, member): the loss that noise adds to that of the mean weights
    nll_mean: Tensor  #: (member,): loss with the mean weights, over the whole training set


def projections(cohort: Cohort, p: Parameters, noise: torch.Generator) -> Projections:
    """Passes over the training set, a few examples at a time, each chunk with two sampled networks mu +- sigma xi."""
    pair, found, sizes = _Pair(cohort, p), [], []
    for x, y in _chunks(cohort):
        pair.draw(noise)
        found.append(pair.measure(x, y))
        sizes.append(len(x))
    share = torch.tensor(sizes, dtype=torch.float64, device=cohort.device) / sum(sizes)
    along_sigma, along_mu, added, nll_mean = map(torch.stack, zip(*found, strict=True))
    return Projections(share, along_sigma, along_mu, added, average(share, nll_mean)[0])


class _Pair:
    """Two sampled networks mu +- sigma xi, with buffers for their gradients, because allocating memory is slow.

    The pair is antithetic: in the difference of its gradients the mean gradient cancels, which is most of the variance
    of g xi.
    """

    def __init__(self, cohort: Cohort, p: Parameters) -> None:
        self.cohort, self.mu, self.sigma = cohort, p.mu, cohort.formulas.sigmas(p.mu, p.phi)
        self.steps, self.weights, self.plus, self.minus = ([torch.empty_like(m) for m in p.mu] for _ in range(4))

    def draw(self, noise: torch.Generator) -> None:
        """Sample a new sigma xi."""
        for step, s, xi in zip(
            self.steps, self.sigma, self.cohort.draw(noise).split(self.cohort.sizes, 1), strict=True
        ):
            torch.mul(s, xi, out=step)

    def measure(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Results for one chunk of examples, per example: the fields of Projections, without the axis of pairs."""
        at_mean = _mean_loss(self.cohort, self.cohort.network.forward(self.cohort.layered(self.mu), x), y)
        nll = (self._loss_and_gradient(1, x, y, self.plus) + self._loss_and_gradient(-1, x, y, self.minus)) / 2
        along_sigma = (_dots(self.steps, self.plus) - _dots(self.steps, self.minus)) / 2
        along_mu = (_dots(self.mu, self.plus) + _dots(self.mu, self.minus)) / 2
        return along_sigma, along_mu, nll - at_mean, at_mean

    def _loss_and_gradient(self, sign: int, x: Tensor, y: Tensor, out: list[Tensor]) -> Tensor:
        """Mean loss (member,) at mu + sign sigma xi; its gradient goes into out."""
        for w, m, step in zip(self.weights, self.mu, self.steps, strict=True):
            torch.add(m, step, alpha=sign, out=w)
        return _gradients(self.cohort, self.weights, x, y, out)


def average(share: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of values (pair, ...) weighted by share, and its standard error, which is conservative.

    The difference between examples counts as random here, although every pass includes them all.
    """
    weights = share.view(-1, *[1] * (values.ndim - 1))
    mean = (weights * values).sum(0)
    return mean, ((weights * (values - mean)).square().sum(0) * len(share) / (len(share) - 1)).sqrt()


def _chunks(cohort: Cohort) -> Iterator[tuple[Tensor, Tensor]]:
    """Passes over the training set in random order, in chunks of EXAMPLES."""
    data, chance = cohort.data, generator(cohort.seed, CHOICE)
    enough = math.ceil(PAIRS / math.ceil(data.examples / EXAMPLES))
    for _ in range(max(cohort.member.measurement.balance_passes, enough)):
        order = torch.randperm(data.examples, generator=chance).to(cohort.device)
        for few in order.split(EXAMPLES):
            yield data.x[few], data.y[few]


def expected_loss(cohort: Cohort, found: Projections) -> tuple[Tensor, Tensor]:
    """Expected loss summed over the training set (nat), with its standard error; (member,) each.

    Only what the noise adds is estimated by sampling: the loss of the mean weights is exact.
    """
    added, error = average(found.share, found.added)
    return cohort.data.examples * (found.nll_mean + added), cohort.data.examples * error


def absolute_gradients(cohort: Cohort, p: Parameters, noise: torch.Generator) -> list[Tensor]:
    """Mean |gradient| of training minibatches at noisy weights, per layer (member, synapses).

    As in training, the examples that do not fill a minibatch are left out: a smaller one has larger gradients.
    """
    totals, found = [torch.zeros_like(m) for m in p.mu], [torch.empty_like(m) for m in p.mu]
    networks, data, passes = sampled_weights(cohort, p, noise), cohort.data, math.ceil(MINIBATCHES / cohort.batches)
    for batch in (batch for epoch in range(passes) for batch in cohort.order(epoch)):
        _gradients(cohort, next(networks), data.x[batch], data.y[batch], found)
        for total, g in zip(totals, found, strict=True):
            total += g.abs_()
    return [total / (passes * cohort.batches) for total in totals]


def _gradients(cohort: Cohort, weights: list[Tensor], x: Tensor, y: Tensor, out: list[Tensor]) -> Tensor:
    """Mean loss (member,) of a minibatch; writes its gradient to out, per layer (member, synapses)."""
    task = cohort.data.task
    outputs = cohort.network.gradients(
        cohort.layered(weights), x, lambda o: task.residual(o, y) / len(x), cohort.layered(out)
    )
    return _mean_loss(cohort, outputs, y)


def _mean_loss(cohort: Cohort, outputs: Tensor, y: Tensor) -> Tensor:
    return cohort.data.task.nll(outputs, y).mean(-1, dtype=torch.float64)


def _dots(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Inner products of each layer: (layer, member)."""
    return torch.stack([(u * v).sum(-1).double() for u, v in zip(a, b, strict=True)])


def cost_derivatives(cohort: Cohort, p: Parameters) -> tuple[Tensor, Tensor]:
    """-sum sigma d penalty/d sigma and sum mu d penalty/d mu, (layer, member): the denominators of the balances."""
    down, up = [], []
    for mu, sigma in zip(p.mu, cohort.formulas.sigmas(p.mu, p.phi), strict=True):
        with torch.enable_grad():
            m, s = mu.detach().requires_grad_(), sigma.detach().clone().requires_grad_()
            penalty = cohort.formulas.penalty(m, s, bool(p.phi)).sum()
            g_mu, g_sigma = torch.autograd.grad(penalty, (m, s), allow_unused=True, materialize_grads=True)
        down.append(-(sigma * g_sigma).sum(-1).double())
        up.append((mu * g_mu).sum(-1).double())
    return torch.stack(down), torch.stack(up)


def balance(cohort: Cohort, p: Parameters, found: Projections) -> dict[str, Tensor]:
    """B with its standard error, and the magnitude balance; (layer + 1, member), the last row for the network.

    NaN if the denominator is zero: without noise, or without a magnitude cost.
    """
    n = cohort.data.examples
    down, up = (_with_total(t) for t in cost_derivatives(cohort, p))
    down = down if p.phi else torch.full_like(down, torch.nan)
    along_sigma, error = average(found.share, _with_total(found.along_sigma, 1))
    along_mu, _ = average(found.share, _with_total(found.along_mu, 1))
    return {
        "balance": n * along_sigma / down,
        "balance_error": n * error / down.abs(),
        "magnitude_balance": -n * along_mu / torch.where(up == 0, torch.nan, up),
    }


def _with_total(t: Tensor, dim: int = 0) -> Tensor:
    return torch.cat([t, t.sum(dim, keepdim=True)], dim)


def motion(log_sigma: Tensor) -> Tensor:
    """Change of mean log sigma over the last tenth of training: 0.1 means that sigma still grew by a tenth.

    log_sigma: (epochs + 1, member), initial value first.
    """
    last = len(log_sigma) - 1
    at = 0.9 * last
    low = min(int(at), last - 1)
    before = torch.lerp(log_sigma[low], log_sigma[low + 1], at - low)
    return log_sigma[-1] - before
