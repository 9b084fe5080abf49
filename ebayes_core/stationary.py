"""sigma from its own condition of stationarity, in place of a descent that takes more steps than training has.

Where the objective is stationary in log sigma, N E[H] sigma^2 + dM = -dR: the curvature of the loss, averaged over
the noise, and what the magnitude cost M charges for sigma hold what the reliability cost R pays for it. For a power
law that is sigma**(rho + 2) = c rho / N E[H], Eq. 29 with the noise in it. The curvature is a running true Fisher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ebayes_core.population import per_layer

if TYPE_CHECKING:
    from ebayes_core.update import Formulas

#: log sigma moves by at most so much in a step: a curvature that a few minibatches gave must not throw it.
MOST = 0.1
#: A synapse without curvature has no optimum; this is the largest sigma_0 that a spec may ask for.
LARGEST = 10.0
TINY = 1e-30


def collected(squares: list[Tensor], sigma: list[Tensor]) -> list[Tensor]:
    """Squared gradients of each free sigma: one that synapses share is held by the sum over them."""
    if len(sigma) == len(squares) and all(s.shape == q.shape for s, q in zip(sigma, squares, strict=True)):
        return squares
    return [sum(q.sum(-1, keepdim=True) for q in squares)]


def changes(formulas: Formulas, mu: list[Tensor], sigma: list[Tensor], curvature: list[Tensor]) -> list[Tensor]:
    """One Newton step of log sigma toward stationarity, bounded; lists as sigma's.

    curvature: E[H] per datapoint of each free sigma. In log sigma the logarithm of the condition is a line for a
    power law, so that one step lands on the solution; for any cost with a monotone derivative it converges.
    """
    with torch.enable_grad():
        logs = [torch.zeros_like(s).requires_grad_() for s in sigma]
        moved = [s.detach() * u.exp() for s, u in zip(sigma, logs, strict=True)]
        spread = per_layer(moved, mu)
        magnitude = sum(formulas.inference.magnitude_cost(m, s).sum() for m, s in zip(mu, spread, strict=True))
        reliability = sum(
            formulas.inference.reliability_cost(m, s, formulas.cost).sum() for m, s in zip(mu, spread, strict=True)
        )
        charged, paid = _slopes(magnitude, logs), _slopes(reliability, logs)
        held = [formulas.examples * h * s**2 + q for h, s, q in zip(curvature, moved, charged, strict=True)]
        excess = [a.clamp_min(TINY).log() - (-b).clamp_min(TINY).log() for a, b in zip(held, paid, strict=True)]
        steepness = torch.autograd.grad(sum(e.sum() for e in excess), logs)
    return [
        (-e.detach() / k.clamp_min(1)).clamp(-MOST, MOST).minimum((LARGEST / s).log())
        for e, k, s in zip(excess, steepness, sigma, strict=True)
    ]


def _slopes(total: Tensor, logs: list[Tensor]) -> tuple[Tensor, ...]:
    """Derivatives that can be differentiated once more; zeros of what does not depend on sigma."""
    if not total.requires_grad:
        return tuple(torch.zeros_like(u) for u in logs)
    return torch.autograd.grad(total, logs, create_graph=True, allow_unused=True, materialize_grads=True)
