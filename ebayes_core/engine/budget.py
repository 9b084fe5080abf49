"""Energy budgets: what the synapses that share one spend, and sigmas with which they spend what they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ebayes_core.engine.fixed_point import LARGEST
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.parameters import Parameters, Spread
from ebayes_core.engine.step import respread
from ebayes_core.errors import UserError

#: At the start: corrections of the logarithm of sigma, the multiple of the excess that each takes away at first if the
#: cost is no power law, the largest, the excess that is small enough, and the change of it that ends them too.
ATTEMPTS, TAKEN, FARTHEST, CLOSE, STILL = 400, 1.0, 0.5, 1e-4, 1e-6
LEAST = 1e-6  #: a share of the budget that counts as next to nothing


class Cohort(Protocol):
    """What budgets need to know of a cohort, which itself begins with sigmas that keep to them."""

    member: Any
    formulas: Formulas
    shapes: Any  #: of each layer's weights
    sizes: Any  #: number of synapses of each layer
    copies: Any  #: how many synapses share each of them
    device: Any


def energies(cohort: Cohort, p: Parameters) -> list[Tensor]:
    """The energy of each synapse before the multiplier, times how many share it; per layer (member, synapses)."""
    f = cohort.formulas
    each = zip(p.mu, p.freely(), f.copies, strict=True)
    return [n * f.cost.given(f.quanta(mu, free))(f.sigma(mu, free), mu) for mu, free, n in each]


def shared(cohort: Cohort, parts: list[Tensor]) -> list[Tensor]:
    """Means over the synapses that share a budget; per layer (member, synapses), or (member, 1) if all are in one."""
    counts, per = [n * size for n, size in zip(cohort.copies, cohort.sizes, strict=True)], _per(cohort)
    if per == "network":
        whole = torch.stack([t.sum(-1, keepdim=True) for t in parts]).sum(0) / sum(counts)
        return [whole] * len(parts)
    if per == "layer":
        return [t.sum(-1, keepdim=True) / n for t, n in zip(parts, counts, strict=True)]
    if per == "synapse":
        return [t / n for t, n in zip(parts, cohort.copies, strict=True)]
    each = zip(parts, cohort.shapes, cohort.copies, strict=True)
    return [_of_neurons(t, shape[0]) / n for t, shape, n in each]


def _of_neurons(t: Tensor, neurons: int) -> Tensor:
    """The mean over the synapses onto a neuron, for each of these synapses."""
    by_neuron = t.unflatten(-1, (neurons, -1))
    means: Tensor = by_neuron.mean(-1, keepdim=True).expand_as(by_neuron)
    return means.flatten(1)


def _per(cohort: Cohort) -> str:
    allowance = cohort.formulas.inference.allowance
    assert allowance is not None
    return str(allowance.per)


def excess(cohort: Cohort, p: Parameters) -> list[Tensor]:
    """What each unit spends relative to what it may, shaped as `shared` returns."""
    allowance = cohort.formulas.inference.allowance
    assert allowance is not None
    return [t / allowance.energy for t in shared(cohort, energies(cohort, p))]


def log_excess(cohort: Cohort, p: Parameters) -> list[Tensor]:
    """Its logarithm; far below 0 for units that spend nothing, and linear for less, where a cost may be negative."""
    return [t.clamp_min(LEAST).log() + (t - LEAST).clamp_max(0) for t in excess(cohort, p)]


def _check(cohort: Cohort, p: Parameters) -> None:
    """Raise UserError if one sigma would have to keep many budgets."""
    one = any(len(parts) == 1 and parts[0].value.shape[-1] == 1 for parts in p.free.values())
    if one and sum(cohort.sizes) > 1 and _per(cohort) != "network":
        raise UserError(
            f"the noise '{cohort.member.noise.kind}' trains one number for all synapses, which cannot keep a budget "
            f'for each {_per(cohort)}; set  inference.per = "network", or choose a noise with a sigma for each synapse'
        )


def budgeted(cohort: Cohort, p: Parameters) -> Parameters:
    """The parameters with multipliers of 1, and sigmas scaled so that each unit spends what it may, if it can."""
    if cohort.formulas.inference.allowance is None or not p.noisy:
        return p
    _check(cohort, p)
    p = p._replace(multipliers=[torch.ones_like(t).contiguous() for t in shared(cohort, p.mu)])
    rho: Any = cohort.formulas.exponent
    shares, before = [torch.full_like(c, TAKEN) if rho is None else 1 / rho for c in p.multipliers], None
    for _ in range(ATTEMPTS if len(p.free) == 1 else 0):
        logs = log_excess(cohort, p)
        if _largest(logs) < CLOSE or (before and _largest(torch._foreach_sub(logs, before)) < STILL):
            break
        shares = _turned(shares, logs, before or logs)
        scale(cohort, p, [(share * t).clamp(-FARTHEST, FARTHEST) for share, t in zip(shares, logs, strict=True)])
        before = logs
    return p


def _largest(parts: Sequence[Tensor]) -> float:
    return max(float(t.abs().max()) for t in parts)


def _turned(shares: list[Tensor], logs: list[Tensor], before: list[Tensor]) -> list[Tensor]:
    """Half of the share where the excess has grown, and back if sigma has passed the minimum of the energy."""
    pairs = list(zip(logs, before, strict=True))
    grown = [now.abs() > last.abs() for now, last in pairs]
    turns = [-(now * last).sign() / 2 for now, last in pairs]
    return [share * torch.where(g, turn, 1) for share, g, turn in zip(shares, grown, turns, strict=True)]


def scale(cohort: Cohort, p: Parameters, logs: list[Tensor], alive: Tensor | None = None) -> None:
    """Move the logarithm of each sigma by about as much, in place, but not beyond the largest."""
    f = cohort.formulas
    ((_, parts),) = p.free.items()
    alive = torch.ones_like(parts[0].value[:, :1], dtype=torch.bool) if alive is None else alive
    for part, spread, by in zip(parts, f.spreads(p), logs, strict=False):
        part.value.copy_(torch.where(alive, part.value + _change(part.value, spread, by), part.value))
    respread(f, p, alive)


def _change(value: Tensor, spread: Spread, by: Tensor) -> Tensor:
    """By how much a free parameter changes; of one that sigmas share, the derivative is the sum of theirs."""
    sigma = largest = spread.sigma
    if sigma.shape != value.shape:
        sigma, largest = sigma.sum(-1, keepdim=True), sigma.amax(-1, keepdim=True)
    return by.minimum((LARGEST / largest).log().clamp_min(0)) * sigma / spread.derivative


def numbers(cohort: Cohort, p: Parameters) -> dict[str, Tensor]:
    """What a network spends and how far its budgets are met; (layer + 1, member), the last row for the network.

    energy: mean of a synapse. budget_excess: of the unit that is furthest from its budget, relative to it.
    """
    if not p.multipliers:
        return {}
    spent = torch.stack([t.double().sum(-1) for t in energies(cohort, p)])
    counts = [n * size for n, size in zip(cohort.copies, cohort.sizes, strict=True)]
    count = torch.tensor(counts, dtype=torch.float64, device=cohort.device)[:, None]
    over = torch.stack([_furthest(t.double() - 1) for t in excess(cohort, p)])
    return {
        "energy": torch.cat([spent / count, spent.sum(0, keepdim=True) / count.sum()]),
        "budget_excess": torch.cat([over, _furthest(over.T)[None]]),
    }


def _furthest(t: Tensor) -> Tensor:
    """The value of largest size of each row."""
    return t.gather(-1, t.abs().argmax(-1, keepdim=True))[:, 0]
