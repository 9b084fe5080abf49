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
from ebayes_core.engine.draws import over_draws
from ebayes_core.engine.evaluation import sampled_weights
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import CHOICE, generator
from ebayes_core.measure.pairs import gradients
from ebayes_core.measure.pairs import pair as pair_of

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
    pair, found, sizes = pair_of(cohort, p), [], []
    for x, y in _chunks(cohort):
        pair.draw(noise)
        found.append(pair.measure(x, y))
        sizes.append(len(x))
    share = torch.tensor(sizes, dtype=torch.float64, device=cohort.device) / sum(sizes)
    along_sigma, along_mu, added, nll_mean = map(torch.stack, zip(*found, strict=True))
    return Projections(share, along_sigma, along_mu, added, average(share, nll_mean)[0])


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
    totals = [torch.zeros_like(m) for m in p.mu]
    found = [torch.empty_like(m.contiguous()) for m in cohort.repeated(p.mu)]
    networks, data, passes = sampled_weights(cohort, p, noise), cohort.data, math.ceil(MINIBATCHES / cohort.batches)
    for batch in (batch for epoch in range(passes) for batch in cohort.order(epoch)):
        gradients(cohort, next(networks), data.x[batch], data.y[batch], found)
        for total, g in zip(totals, found, strict=True):
            total += over_draws(g).abs_()
    return [total / (passes * cohort.batches) for total in totals]


def cost_derivatives(cohort: Cohort, p: Parameters) -> tuple[Tensor, Tensor]:
    """-sum d penalty/d log sigma and sum mu d penalty/d mu, (layer, member): the denominators of the balances.

    log sigma changes at fixed mu, and mu at fixed free parameters of the noise.
    """
    f, down, up = cohort.formulas, [], []
    for mu, free, n, c, memory in zip(p.mu, p.freely(), f.copies, p.priced, p.memories(), strict=True):
        down.append(-n * _in_log_sigma(f, mu, free, c, memory).sum(-1).double())
        with torch.enable_grad():
            leaf = mu.detach().requires_grad_()
            penalty = f.penalty(leaf, f.sigma(leaf, free), p.noisy, f.quanta(leaf, free), c, memory).sum()
            slopes = torch.autograd.grad(penalty, [leaf], allow_unused=True, materialize_grads=True)
        up.append(n * (mu * slopes[0]).sum(-1).double())
    return torch.stack(down), torch.stack(up)


def _in_log_sigma(
    f: Formulas, mu: Tensor, free: dict[str, Tensor], multiplier: Tensor | None, memory: dict[str, Tensor]
) -> Tensor:
    """d penalty/d log sigma of each synapse; NaN if sigma alone does not determine the cost."""
    if not free:
        return torch.full_like(mu, torch.nan)
    sigma = f.sigma(mu, free)
    if f.quantal:
        return _along_free(f, mu, free, sigma, multiplier, memory)
    with torch.enable_grad():
        leaf = sigma.detach().clone().requires_grad_()
        penalty = f.penalty(mu, leaf, True, None, multiplier, memory).sum()
        (slope,) = torch.autograd.grad(penalty, leaf, allow_unused=True, materialize_grads=True)
    return sigma * slope


def _along_free(
    f: Formulas,
    mu: Tensor,
    free: dict[str, Tensor],
    sigma: Tensor,
    multiplier: Tensor | None,
    memory: dict[str, Tensor],
) -> Tensor:
    """The same along the only free parameter of each synapse."""
    if len(free) > 1 or next(iter(free.values())).shape != mu.shape:
        return torch.full_like(mu, torch.nan)
    _, derivative = f.spread(mu, free)
    ((name, value),) = free.items()
    with torch.enable_grad():
        leaf = value.detach().requires_grad_()
        moved = {name: leaf}
        penalty = f.penalty(mu, f.noise.sigma(mu, moved), True, f.quanta(mu, moved), multiplier, memory).sum()
        (slope,) = torch.autograd.grad(penalty, leaf)
    return slope * sigma / derivative


def balance(cohort: Cohort, p: Parameters, found: Projections) -> dict[str, Tensor]:
    """B with its standard error, and the magnitude balance; (layer + 1, member), the last row for the network.

    NaN if the denominator is zero: without noise, or without a magnitude cost. The magnitude balance is that of means
    that are trained, and NaN for means that are held.
    """
    n = cohort.data.examples
    down, up = (_with_total(t) for t in cost_derivatives(cohort, p))
    along_sigma, error = average(found.share, _with_total(found.along_sigma, 1))
    along_mu, _ = average(found.share, _with_total(found.along_mu, 1))
    return {
        "balance": n * along_sigma / down,
        "balance_error": n * error / down.abs(),
        "magnitude_balance": -n * along_mu / torch.where((up == 0) | cohort.formulas.held, torch.nan, up),
    }


def margins(cohort: Cohort, p: Parameters, found: Projections) -> dict[str, Tensor]:
    """The loss that a unit of energy saves in each layer under a budget, relative to the network, (layer + 1, member).

    1 where layers pay equally at the margin. The last row is the largest divided by the smallest.
    """
    if not p.multipliers:
        return {}
    saved = average(found.share, found.along_sigma)[0]
    energy = cost_derivatives(cohort, p._replace(multipliers=()))[0]
    ratio = (saved / energy) / (saved.sum(0) / energy.sum(0))
    return {"margin": torch.cat([ratio, (ratio.amax(0) / ratio.amin(0))[None]])}


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
