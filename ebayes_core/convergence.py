"""How far a trained network is from a stationary point, without computing a Hessian.

For Gaussian xi, integration by parts gives E[g_i xi_i] = sigma_i E[d2L/dw_i2] (Stein). So at any stationary point of
the objective, for every synapse, E[g_i xi_i] = -d penalty / d sigma_i. Weighted by sigma_i and summed over a layer,
the left over the right is the balance: 1 at a stationary point, below 1 while reliability cost still drives sigma up.
With one sigma for the whole network only the sum over all layers has to balance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from ebayes_core.engine import Cohort
from ebayes_core.probes import training_chunks
from ebayes_core.update import Parameters


@dataclass
class Slopes:
    """Averages over minibatches of the training set at noisy weights, per datapoint."""

    along_sigma: Tensor  #: (minibatch, layer, member): sum_i sigma_i g_i xi_i
    along_mu: Tensor  #: (minibatch, layer, member): sum_i mu_i g_i
    absolute: list[Tensor]  #: per layer (member, synapses): mean |minibatch gradient|
    nll: Tensor  #: (member,) mean loss per datapoint under the noise


def slopes(cohort: Cohort, p: Parameters, noise: torch.Generator) -> Slopes:
    """Passes over the training set in the minibatches of training, each at two weight samples mu +- sigma xi.

    The pair is antithetic: in the difference of its gradients the mean gradient drops out, which is most of the
    variance of g xi.
    """
    sigmas = cohort.formulas.sigmas(p.mu, p.phi)
    absolute = [torch.zeros_like(m) for m in p.mu]
    along_sigma, along_mu, losses = [], [], []
    steps, weights, plus, minus = ([torch.empty_like(m) for m in p.mu] for _ in range(4))  # new memory is slow memory
    passes = range(cohort.member.measurement.balance_passes)
    for x, y in chain.from_iterable(training_chunks(cohort, cohort.batch_size) for _ in passes):
        for step, s, xi in zip(steps, sigmas, cohort.draw(noise).split(cohort.sizes, 1), strict=True):
            torch.mul(s, xi, out=step)
        for sign, found in ((1, plus), (-1, minus)):
            for w, m, step in zip(weights, p.mu, steps, strict=True):
                torch.add(m, step, alpha=sign, out=w)
            losses.append(_gradients(cohort, weights, x, y, found))
        along_sigma.append((_dots(steps, plus) - _dots(steps, minus)) / 2)
        along_mu.append((_dots(p.mu, plus) + _dots(p.mu, minus)) / 2)
        for total, g in zip(absolute, plus, strict=True):
            total += g.abs_()
    n = len(along_mu)
    return Slopes(
        torch.stack(along_sigma), torch.stack(along_mu), [a / n for a in absolute], torch.stack(losses).mean(0)
    )


def _gradients(cohort: Cohort, weights: list[Tensor], x: Tensor, y: Tensor, out: list[Tensor]) -> Tensor:
    """Mean loss (member,) of a minibatch; its gradient in the weights goes into out, per layer (member, synapses)."""
    task = cohort.data.task
    outputs = cohort.network.gradients(
        cohort.layered(weights), x, lambda o: task.residual(o, y) / len(x), cohort.layered(out)
    )
    return task.nll(outputs, y).mean(-1)


def _dots(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Inner products of each layer: (layer, member)."""
    return torch.stack([(u * v).sum(-1).double() for u, v in zip(a, b, strict=True)])


def charges(cohort: Cohort, p: Parameters) -> tuple[Tensor, Tensor]:
    """-sum sigma d penalty/d sigma and sum mu d penalty/d mu, (layer, member): what the loss's slopes must meet."""
    down, up = [], []
    for mu, sigma in zip(p.mu, cohort.formulas.sigmas(p.mu, p.phi), strict=True):
        with torch.enable_grad():
            m, s = mu.detach().requires_grad_(), sigma.detach().clone().requires_grad_()
            penalty = cohort.formulas.penalty(m, s, bool(p.phi)).sum()
            g_mu, g_sigma = torch.autograd.grad(penalty, (m, s), allow_unused=True, materialize_grads=True)
        down.append(-(sigma * g_sigma).sum(-1).double())
        up.append((mu * g_mu).sum(-1).double())
    return torch.stack(down), torch.stack(up)


def balance(cohort: Cohort, p: Parameters, found: Slopes) -> dict[str, Tensor]:
    """The balance with its standard error and the magnitude's, (layer + 1, member); the last row is the network.

    NaN where nothing is charged: no noise, or no magnitude cost.
    """
    n = cohort.data.examples
    down, up = (_with_total(t) for t in charges(cohort, p))
    along_sigma, along_mu = _with_total(found.along_sigma, 1), _with_total(found.along_mu, 1)
    down = down if p.phi else torch.full_like(down, torch.nan)
    error = along_sigma.std(0) / len(along_sigma) ** 0.5 if len(along_sigma) > 1 else torch.full_like(down, torch.nan)
    return {
        "balance": n * along_sigma.mean(0) / down,
        "balance_error": n * error / down.abs(),
        "magnitude_balance": -n * along_mu.mean(0) / torch.where(up == 0, torch.nan, up),
    }


def _with_total(t: Tensor, dim: int = 0) -> Tensor:
    return torch.cat([t, t.sum(dim, keepdim=True)], dim)


def motion(log_sigma: Tensor) -> Tensor:
    """Change of mean log sigma in the last tenth of training: 0.1 means that sigma still moved by a tenth.

    log_sigma: (epochs + 1, member), the start first.
    """
    last = len(log_sigma) - 1
    at = 0.9 * last
    low = min(int(at), last - 1)
    before = torch.lerp(log_sigma[low], log_sigma[low + 1], at - low)
    return log_sigma[-1] - before
