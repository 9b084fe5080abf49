"""sigma from its condition of stationarity, instead of a descent that needs more steps than training has.

The objective is stationary in log sigma where N E[H] sigma^2 + dM = -dR: the curvature of the loss, averaged over the
noise, and the derivative of the magnitude cost M balance that of the reliability cost R. For a power law this is
sigma**(rho + 2) = c rho / N E[H], Eq. 29 averaged over the noise. The curvature is a running true Fisher times a
measured factor. Both lag behind means that still change; sigma reaches its optimum if a schedule brings the means to
rest. Both start anew where training begins another stage, with other data: steps are counted from there.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebayes_core.engine.ingredients import Fisher
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.parameters import Curvature, Parameters, Spread, layered

#: The largest change of log sigma in a step: a curvature estimated from a few minibatches must not move it further.
MOST = 0.1
#: The largest fall of log sigma in a step, of a sigma above its limit: the free parameter moves along its tangent,
#: which for softplus far above 0 would lead to far below 0, where hardly any sigma is left.
FALL = 0.5
#: A flat synapse has no optimum unless its energy has a minimum, and one that becomes active with a sigma far above
#: all others destabilises the network: sigma is limited to this multiple of its layer's mean, and to the largest
#: sigma_0 that a spec allows.
WIDE, LARGEST = 4.0, 10.0
#: Bound on the logarithms of the factors between Fisher and curvature: while sigma is small, they are all noise.
FAR = 1.4
#: The share of the steps so far, in a stage, over which the running means average: that of the Fisher, that of its
#: excess in new minibatches, and that of the curvature relative to it.
MEMORY, FRESH, LASTING = 0.2, 0.1, 0.5
#: How many steps it takes to outweigh the assumption that the curvature is the Fisher.
PRIOR = 30
TINY = 1e-30
#: Where what drives sigma up is less than this share of what holds it down, either the step is as long as it may be, or
#: the energy is near its minimum.
NEAR = 1 / 8


def collected(parts: list[Tensor], sigma: list[Tensor]) -> list[Tensor]:
    """A quantity of each synapse, per layer, as that of each free sigma: one that is shared takes the sum."""
    if len(sigma) == len(parts) and all(s.shape == q.shape for s, q in zip(sigma, parts, strict=True)):
        return parts
    return [reduce(torch.add, [q.sum(-1, keepdim=True) for q in parts])]


def newest(step: Any, memory: float = MEMORY) -> Any:
    """The weight of a step, counted from 1, in the running means: 1 at the first, then one over the steps averaged.

    A memory that grows with training averages over more and more steps, and still forgets the first ones.
    """
    return 1 / (1 + memory * (step - 1))


class Along(NamedTuple):
    """What a minibatch that did not set these sigmas says of the curvature along them; sums of a layer, (member, 1)."""

    curved: Tensor  #: sum of sigma g xi, whose mean is that of sigma**2 E[H] for any loss (Stein)
    fresh: Tensor  #: sum of sigma**2 times this minibatch's Fisher
    known: Tensor  #: sum of sigma**2 times the running Fisher, which has set sigma


def along(sigma: Tensor, gradient: Tensor, squares: Tensor, fisher: Tensor) -> Along:
    """These sums for a layer; sigma, g xi, squared gradients and their running mean are (member, synapses)."""
    weights = sigma * sigma
    return Along(_dot(sigma, gradient), _dot(weights, squares), _dot(weights, fisher))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    total: Tensor = torch.linalg.vecdot(a, b)
    return total[:, None]


def learn(k: Curvature, new: Along, step: Tensor) -> None:
    """Update what is known of the curvature along the sigmas of a layer, in place.

    A sigma that was set from the running Fisher is large where that happens to be small, and the running mean lags: a
    new minibatch measures both, precisely, so that few steps do. What the Fisher lacks, the kinks of relu and the
    residuals of the data, hardly changes during training, but a single step measures it with an error that may exceed
    it several times: many steps do.
    """
    excess = new.fresh / (k.log_fresh.exp() * new.known).clamp_min(TINY) - 1
    k.log_fresh.add_(newest(step, FRESH) * excess).clamp_(-FAR, FAR)
    k.curved.lerp_(new.curved, newest(step, LASTING))
    k.expected.lerp_(new.fresh, newest(step, LASTING))


def scale(k: Curvature, step: Tensor) -> Tensor:
    """The factor between the running Fisher of a layer and its curvature; (member, 1).

    The Fisher is right for a layer without kinks or residuals, so that is what the first steps are told.
    """
    prior = PRIOR * newest(step, LASTING)
    ratio = (prior + k.curved / k.expected.clamp_min(TINY)) / (prior + 1)
    factor: Tensor = k.log_fresh.exp() * ratio.clamp(math.exp(-FAR), math.exp(FAR))
    return factor


class Condition(NamedTuple):
    """The condition of stationarity of the sigmas of a layer, or of one that all layers share."""

    spread: Spread  #: sigma and its derivative in the free parameter, (member, synapses) or (member, 1)
    curvature: Tensor  #: E[H] per datapoint, of the same shape
    ceiling: Tensor  #: the largest sigma allowed, (member, 1)


def solved(f: Formulas, p: Parameters, fisher: Fisher, clock: Tensor, alive: Tensor) -> None:
    """Move the free parameter of each sigma by a Newton step toward the condition of stationarity, in place."""
    ((_, parts),) = p.free.items()
    spreads, known = f.spreads(p), [Curvature(*part.memory) for part in parts]
    new = collected(fisher.squared_gradients, [s.sigma for s in spreads])
    weight = newest(clock).to(new[0].dtype)
    means = [k.fisher.lerp(q, weight) for k, q in zip(known, new, strict=True)]
    conditions = [
        Condition(s, scale * mean, ceiling)
        for s, mean, scale, ceiling in zip(spreads, means, fisher.scales, fisher.ceilings, strict=True)
    ]
    for part, mean, u, spread in zip(parts, means, newton(f, p, conditions), spreads, strict=True):
        moved = part.value + u * spread.sigma / spread.derivative
        part.value.copy_(torch.where(alive, moved, part.value))
        Curvature(*part.memory).fisher.copy_(mean)


def newton(f: Formulas, p: Parameters, conditions: list[Condition]) -> list[Tensor]:
    """One Newton step of log sigma toward stationarity, bounded; a tensor per condition, shaped as its sigma.

    Where the energy rises with sigma, as that of a single vesicle may, the steps lead back to where it falls.
    """
    with torch.enable_grad():
        logs = [torch.zeros_like(k.spread.sigma).requires_grad_() for k in conditions]
        sigma = [k.spread.sigma.detach() * u.exp() for k, u in zip(conditions, logs, strict=True)]
        magnitude, reliability = _terms(f, p, conditions, logs, sigma)
        in_magnitude, in_reliability = _derivatives(magnitude, logs), _derivatives(reliability, logs)
        curved = [f.examples * k.curvature * s**2 for k, s in zip(conditions, sigma, strict=True)]
        excess = [
            _excess((h + m).clamp_min(TINY), -r) for h, m, r in zip(curved, in_magnitude, in_reliability, strict=True)
        ]
        derivatives = torch.autograd.grad(_total(excess), logs)
    return [
        (-e.detach() / d.clamp_min(1)).clamp(-MOST, MOST).minimum((k.ceiling / k.spread.sigma).log().clamp_min(-FALL))
        for e, d, k in zip(excess, derivatives, conditions, strict=True)
    ]


def _excess(holds: Tensor, drives: Tensor) -> Tensor:
    """A function of log sigma that is 0 where what holds sigma down equals what drives it up, and rises there.

    In log sigma the logarithm of their ratio is a line for a power law, so that one step reaches the solution. It ends
    where the energy has its minimum: from near there on, and beyond, the difference leads back.
    """
    near, size = holds * NEAR, (holds + drives.abs()).detach()
    ratio = holds.log() - drives.maximum(near.detach()).log()
    return torch.where(drives < near, (holds - drives) / size, ratio)


def _terms(
    f: Formulas, p: Parameters, conditions: list[Condition], logs: list[Tensor], sigma: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """What holds sigma down of each layer besides the loss, and reliability costs, at logarithms of sigma moved by so
    much.
    """
    moved = [sigma[i % len(sigma)].expand_as(mu) for i, mu in enumerate(p.mu)]
    free = _freely(p, conditions, logs) if f.quantal else p.freely()
    layers = list(zip(p.mu, moved, free, f.copies, p.memories(), strict=True))
    magnitude = [n * f.held_down(m, s, memory) for m, s, _, n, memory in layers]
    price = [f.price(f.quanta(m, free), c) for (m, _, free, *_), c in zip(layers, p.priced, strict=True)]
    reliability = [n * f.inference.reliability_cost(m, s, c) for (m, s, _, n, _), c in zip(layers, price, strict=True)]
    return magnitude, reliability


def _freely(p: Parameters, conditions: list[Condition], logs: list[Tensor]) -> list[dict[str, Tensor]]:
    """The free parameter of each layer, moved with the logarithm of its sigma."""
    ((name, parts),) = p.free.items()
    along = [(k.spread.sigma / k.spread.derivative).detach() for k in conditions]
    moved = [part.value.detach() + u * scale for part, u, scale in zip(parts, logs, along, strict=True)]
    return layered({name: moved}, len(p.means))


def ceiling(sigma: Tensor, rests: Tensor) -> Tensor:
    """The largest sigma that a synapse of a layer may have now, (member, 1), from the layer's, (member, synapses).

    rests: whether a flat synapse of this network comes to rest by itself, at its cheapest sigma, (member, 1). That is
    tiny where the mean is, and if it is for most synapses, the layer's mean says nothing of the few that matter.
    """
    return (WIDE * sigma.mean(-1, keepdim=True)).clamp_max(LARGEST).masked_fill(rests, LARGEST)


def _total(parts: list[Tensor]) -> Tensor:
    return reduce(torch.add, [part.sum() for part in parts])


def _derivatives(terms: list[Tensor], logs: list[Tensor]) -> tuple[Tensor, ...]:
    """Derivatives that can be differentiated once more; zeros if no term depends on sigma."""
    total = _total(terms)
    if not total.requires_grad:
        return tuple(torch.zeros_like(u) for u in logs)
    return torch.autograd.grad(total, logs, create_graph=True, allow_unused=True, materialize_grads=True)
