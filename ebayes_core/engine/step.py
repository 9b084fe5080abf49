"""One step of every synapse: gradients of the whole objective, the optimizer, and the next drawn weights.

All of it is elementwise but for the sums over what shares a parameter, so that one compiled pass over memory can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.slots import Slope
from ebayes_core.engine.fixed_point import solved
from ebayes_core.engine.ingredients import Ingredients, Time
from ebayes_core.engine.objective import Formulas, gradients
from ebayes_core.engine.parameters import Parameter, Parameters, layered

#: step(parameters, weights, given, alive) moves the parameters and writes the next drawn weights, all in place;
#: alive, (member, 1): the networks that still train
Named = dict[str, list[Tensor]]
Step = Callable[[Parameters, list[Tensor], Ingredients, Tensor], None]


class Gate(NamedTuple):
    """What a step of the free parameters may depend on besides their slopes; per layer, or empty."""

    release: list[Tensor]  #: release probabilities before the step
    of_mean: list[Tensor]  #: gradient of the loss in the mean


class Metric(NamedTuple):
    """What the step of a mean may be scaled by; per layer, or empty."""

    variances: Sequence[Tensor]  #: of other synapses, if they are shuffled
    release: list[Tensor]  #: release probabilities before the step


def make_step(f: Formulas) -> Step:
    """The step of a cohort with these formulas."""

    def step(p: Parameters, weights: list[Tensor], given: Ingredients, alive: Tensor) -> None:
        time, release = f.time(given.clock), _release(f, p)
        loss, rest = gradients(f, p, given.gradient, given.noise)
        if f.solves and p.noisy:
            solved(f, p, given.fisher, given.in_stage, alive)
        else:
            _descend(f, p, (loss[1], rest[1]), Gate(release, loss[0]), time, alive)
        respread(f, p, alive)
        if not f.held:
            _move_means(f, p, (loss[0], rest[0]), Metric(given.variances, release), time, alive)
        mu, free = f.place(p)
        _write(weights, f.drawn(mu, layered(free, len(mu)), given.next_noise))

    return step


def _release(f: Formulas, p: Parameters) -> list[Tensor]:
    """The release probability of each synapse, per layer, if the optimizer needs it."""
    if not f.optimizer.quantal:
        return []
    found = (f.noise.quanta(mu, free) for mu, free in zip(p.mu, p.freely(), strict=True))
    return [quanta.p.to(mu.dtype) for quanta, mu in zip(found, p.mu, strict=True) if quanta is not None]


def _descend(f: Formulas, p: Parameters, slopes: tuple[Named, Named], gate: Gate, time: Time, alive: Tensor) -> None:
    """Move the free parameters of the noise along their gradients."""
    for name, parts in p.free.items():
        for i, (parameter, loss, rest) in enumerate(zip(parts, *(s[name] for s in slopes), strict=True)):
            slope = _slope_in_free(f, p, i, loss, rest)
            if gate.release:
                slope = slope._replace(release=gate.release[i], of_mean=gate.of_mean[i])
            value, memory = parameter
            moved = f.optimizer.step_free(value, memory, slope, time.rate_free, time.constants)
            _keep(parameter, *moved, alive)


def _slope_in_free(f: Formulas, p: Parameters, i: int, loss: Tensor, rest: Tensor) -> Slope:
    """The slope in a free parameter; where sigma is carried, its gradients are in sigma."""
    if not f.carries:
        return Slope(loss + rest, loss, f.examples)
    sigma, derivative = p.spreads[i]
    slope = Slope((loss + rest) * derivative, loss * derivative, f.examples)
    if not f.optimizer.gaussian:
        return slope
    scale = sigma / derivative
    sharing = 1 if sigma.shape[-1] > 1 else f.synapses
    return slope._replace(metric=scale * scale / (2 * sharing), scale=scale)


def respread(f: Formulas, p: Parameters, alive: Tensor) -> None:
    """Renew what is carried of sigma."""
    for i, carried in enumerate(p.spreads):
        # the choice changes nothing, but for it inductor would walk memory a second time (other loop bounds)
        fresh = f.spread(p.means[i].value, p.freely()[i])
        _write(carried, [torch.where(alive, t, old) for t, old in zip(fresh, carried, strict=True)])


def _move_means(
    f: Formulas,
    p: Parameters,
    slopes: tuple[list[Tensor], list[Tensor]],
    metric: Metric,
    time: Time,
    alive: Tensor,
) -> None:
    changes = []
    for i, (mean, loss, rest) in enumerate(zip(p.means, *slopes, strict=True)):
        slope = Slope(loss + rest, loss, f.examples)
        if f.optimizer.gaussian:
            sigma = p.spreads[i % len(p.spreads)].sigma
            variance = metric.variances[i] if metric.variances else sigma * sigma
            slope = slope._replace(metric=variance.expand_as(loss))
        if metric.release:
            slope = slope._replace(release=metric.release[i], of_mean=loss)
        mu, memory = f.optimizer.step(mean.value, mean.memory, slope, time.rate, time.constants)
        if f.noise.signs == "fixed":  # a mean that would cross zero is halved
            mu = torch.where(mu * mean.value > 0, mu, mean.value / 2)
        changes.append(_keep(mean, mu, memory, alive))
    _count(f, p, changes)


def _count(f: Formulas, p: Parameters, changes: list[Tensor]) -> None:
    """Add what the means have changed by, in size and summed over synapses, to what they have changed by before."""
    for total in p.travelled:
        for change, n in zip(changes, f.copies, strict=True):
            total.add_(n * change.abs().sum(-1, keepdim=True).to(total.dtype))


def _keep(parameter: Parameter, value: Tensor, memory: Sequence[Tensor], alive: Tensor) -> Tensor:
    """Write a moved parameter, and return its change; a network that has stopped keeps its own."""
    kept = torch.where(alive, value, parameter.value)
    change = kept - parameter.value
    _write([parameter.value, *parameter.memory], [kept, *memory])
    return change


def _write(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for place, value in zip(places, values, strict=True):
        place.copy_(value)
