"""sigma from its own condition of stationarity, in place of a descent that takes more steps than training has.

Where the objective is stationary in log sigma, N E[H] sigma^2 + dM = -dR: the curvature of the loss, averaged over
the noise, and what the magnitude cost M charges for sigma hold what the reliability cost R pays for it. For a power
law that is sigma**(rho + 2) = c rho / N E[H], Eq. 29 with the noise in it. The curvature is a running true Fisher on a
scale that is measured. Both lag behind means that move: where a schedule brings those to rest, sigma arrives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.stacking import per_layer

#: log sigma moves by at most so much in a step: a curvature that a few minibatches gave must not throw it.
MOST = 0.1
#: A synapse without curvature has no optimum, and one that wakes up with a sigma beyond all others' throws the network:
#: none goes further above its layer's mean than this factor, nor beyond the largest sigma_0 that a spec may ask for.
WIDE, LARGEST = 4.0, 10.0
#: How far the scale of a Fisher may go, as a logarithm: while sigma is small, what it meets is all noise.
FAR = 1.4
#: The share of the steps so far that the running means remember.
MEMORY = 0.2
TINY = 1e-30


def collected(parts: list[Tensor], sigma: list[Tensor]) -> list[Tensor]:
    """What belongs to each free sigma, of something that each synapse has: one that is shared takes the sum."""
    if len(sigma) == len(parts) and all(s.shape == q.shape for s, q in zip(sigma, parts, strict=True)):
        return parts
    return [sum(q.sum(-1, keepdim=True) for q in parts)]


def newest(step: int) -> float:
    """The weight of a step, counted from 1, in the running means: 1 at the first, then one over what they remember.

    A memory that grows with training averages more and more, and still forgets how it began.
    """
    return 1 / (1 + MEMORY * (step - 1))


def followed(log_scale: Tensor, weight: Tensor, sigma: Tensor, slope: Tensor, fisher: Tensor) -> Tensor:
    """Log of what a layer's Fisher must be multiplied by for its condition of stationarity to hold; (member, 1).

    sigma, slope, fisher: (member, synapses); slope is this minibatch's g xi, whose mean is sigma E[H] for whatever loss
    (Stein). It is too noisy to serve a synapse, but its sum over a layer is not; the Fisher tells synapses apart, but
    lacks what the kinks of relu and the residuals of the data add to the Hessian, and a sigma that was set by it is
    large where it happens to be small. What this sigma meets in a minibatch that it has not seen tells of both.
    """
    met, held = (sigma * slope).sum(-1, keepdim=True), log_scale.exp() * (sigma**2 * fisher).sum(-1, keepdim=True)
    return (log_scale + weight * (met / held.clamp_min(TINY) - 1)).clamp(-FAR, FAR)


def changes(
    formulas: Formulas, mu: list[Tensor], sigma: list[Tensor], curvatures: list[Tensor], ceilings: list[Tensor]
) -> list[Tensor]:
    """One Newton step of log sigma toward stationarity, bounded; lists as sigma's.

    curvatures: E[H] per datapoint of each free sigma; ceilings: the largest it may be. In log sigma the logarithm of
    the condition is a line for a power law, so that one step lands on the solution; for any cost with a monotone
    derivative it converges.
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
        held = [formulas.examples * h * s**2 + q for h, s, q in zip(curvatures, moved, charged, strict=True)]
        excess = [a.clamp_min(TINY).log() - (-b).clamp_min(TINY).log() for a, b in zip(held, paid, strict=True)]
        steepness = torch.autograd.grad(sum(e.sum() for e in excess), logs)
    return [
        (-e.detach() / k.clamp_min(1)).clamp(-MOST, MOST).minimum((most / s).log())
        for e, k, s, most in zip(excess, steepness, sigma, ceilings, strict=True)
    ]


def ceiling(sigma: Tensor) -> Tensor:
    """The largest sigma that a synapse of a layer (member, synapses) may have now; (member, 1)."""
    return (WIDE * sigma.mean(-1, keepdim=True)).clamp_max(LARGEST)


def _slopes(total: Tensor, logs: list[Tensor]) -> tuple[Tensor, ...]:
    """Derivatives that can be differentiated once more; zeros of what does not depend on sigma."""
    if not total.requires_grad:
        return tuple(torch.zeros_like(u) for u in logs)
    return torch.autograd.grad(total, logs, create_graph=True, allow_unused=True, materialize_grads=True)
