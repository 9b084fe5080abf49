"""Mean, standard deviation and gradients of drawn weights, as integrals over xi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.slots import Noise
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Formula, attempt

MEANS = torch.tensor([[0.4, -1.1, 0.07, -0.003]], dtype=torch.float64)
SHIFTS = (-1.0, 0.0, 1.0)  #: of the free parameters from their initial values
FINE, COARSE = 60_001, 40_000  #: numbers of nodes, of which none coincide where a discrete weight jumps
REACH, TAIL = 8.0, 7.0  #: of a normal xi, and where its tail begins
LAST = 10  #: nodes at either end that are the tail of a uniform xi
HEAVY = 1e-3  #: a synapse of which the tail makes up more of the variance is left out
MOMENT, SLOPE = 2e-3, 5e-3  #: relative errors that are allowed
Free = dict[str, Tensor]


class Rule(NamedTuple):
    """A rule of integration over xi, by which nothing depends on chance."""

    xi: Tensor
    weight: Tensor
    tail: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """The expectation of (..., nodes)."""
        return (values * self.weight).sum(-1)


def rule(base: str, count: int) -> Rule:
    """The rule of this many nodes: evenly spaced for a normal xi, and closer to the ends for a uniform one."""
    if base == "normal":
        xi = torch.linspace(-REACH, REACH, count, dtype=torch.float64)
        density = (-xi * xi / 2).exp()
        return Rule(xi, density / density.sum(), xi.abs() > TAIL)
    number = torch.arange(count)
    t = (number.double() + 0.5) / count
    density = t * (1 - t)
    return Rule(t * t * (3 - 2 * t), density / density.sum(), (number < LAST) | (number >= count - LAST))


class Moments:
    """Compares drawn weights with the mean and sigma that a noise states, at several means and free parameters."""

    def __init__(self, cls: type[Noise]) -> None:
        self.name, self.seen = f"{cls.__name__}.draw", False
        self.noisy = False
        self.rules = [rule(cls.base, count) for count in (FINE, COARSE)]

    def hold(self, plugin: Noise) -> None:
        """Check one plugin."""
        self.noisy = True
        together = stack([plugin], torch.float64)
        start = together.init(MEANS)
        for shift in SHIFTS:
            self._hold(together, {name: (value + shift).expand_as(MEANS) for name, value in start.items()})

    def some_seen(self) -> None:
        """Raise AssertionError if there was no plugin whose variance could be computed."""
        converges = self.seen or not self.noisy
        assert converges, f"{self.name}: the variance of the drawn weights does not converge: does it exist?"

    def _hold(self, together: Noise, free: Free) -> None:
        sigma = together.sigma(MEANS, free).expand_as(MEANS)
        found = [self._moments(together, free, r) for r in self.rules]
        (mean, sd, tail), (rough_mean, rough_sd, _) = found
        light = (tail <= HEAVY) & (sd > 0)
        self.seen |= bool(light.any())
        for what, value, rough, stated in (
            ("mean", mean, rough_mean, MEANS),
            ("standard deviation", sd, rough_sd, sigma),
        ):
            off = light & ~((value - stated).abs() <= 5 * (value - rough).abs() + MOMENT * sigma)
            said = "mu" if what == "mean" else "sigma"
            assert not bool(off.any()), (
                f"{self.name}: the {what} of the drawn weights is {value[off][0]:.6g} where {said} is "
                f"{stated[off][0]:.6g}, at mu = {MEANS[off][0]:.6g}: draw must give weights of this mean and sigma"
            )
        self._slopes_hold(together, free, light)

    def _drawn(self, together: Noise, mu: Tensor, free: Free, r: Rule) -> Tensor:
        """Weights (1, synapses, nodes)."""
        wide: Formula = lambda t: t[..., None].expand(*t.shape, len(r.xi)).flatten(1)
        xi = r.xi.expand(1, mu.shape[1], -1).flatten(1)
        drawn: Tensor = attempt(self.name, together.draw, wide(mu), {n: wide(v) for n, v in free.items()}, xi)
        found: Tensor = drawn.unflatten(1, (mu.shape[1], -1))
        return found

    def _moments(self, together: Noise, free: Free, r: Rule) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, standard deviation, and the share of the variance that comes from the tail of xi."""
        with torch.no_grad():
            w = self._drawn(together, MEANS, free, r)
        assert bool(w.isfinite().all()), f"{self.name} is not finite for some xi that are {together.base}"
        self._signs_hold(together, w)
        mean = r.mean(w)
        square = (w - mean[..., None]) ** 2
        variance = r.mean(square)
        return mean, variance.sqrt(), r.mean(square * r.tail) / variance.clamp_min(1e-300)

    def _signs_hold(self, together: Noise, w: Tensor) -> None:
        wrong = (w * MEANS.sign()[..., None] < 0) & (together.signs != "free")
        mu = MEANS[..., None].expand_as(w)[wrong]
        assert not len(mu), (
            f"{self.name} returned {w[wrong][0]:.6g} for a mean of {mu[0]:.6g}, although {type(together).__name__} "
            f'declares signs = "{together.signs}"'
        )

    def _slopes_hold(self, together: Noise, free: Free, light: Tensor) -> None:
        """Compare gradients of the expectation of (w - target)^2 / 2, which is ((mu - target)^2 + sigma^2) / 2."""
        places = {"mu": MEANS, **free}
        sigma: Formula = lambda p: together.sigma(p["mu"], {n: v for n, v in p.items() if n != "mu"}).expand_as(MEANS)
        target = MEANS + sigma(places) / 2
        fine, rough = (self._slopes(together, places, target, r) for r in self.rules)
        loss: Formula = lambda p: ((p["mu"] - target) ** 2 + sigma(p) ** 2) / 2
        for name, a, b in zip(places, fine, rough, strict=True):
            step = 1e-5 * (1e-2 + places[name].abs())
            ends = [{**places, name: places[name] + by} for by in (step, -step)]
            expected, change = ((f(ends[0]) - f(ends[1])) / (2 * step) for f in (loss, sigma))
            size = sigma(places) * (change.abs() + (1 if name == "mu" else 0))
            off = light & ~((a - expected).abs() <= 5 * (a - b).abs() + SLOPE * size + 1e-12)
            assert not bool(off.any()), (
                f"{self.name}: the gradient in {name} of the expected quadratic loss is {a[off][0]:.6g} where its "
                f"values change by {expected[off][0]:.6g}, at mu = {MEANS[off][0]:.6g}; for a draw without a "
                "derivative use surrogate of ebayes_core.contract.functions"
            )

    def _slopes(self, together: Noise, places: Free, target: Tensor, r: Rule) -> Sequence[Tensor]:
        leaves = {name: value.clone().requires_grad_() for name, value in places.items()}
        free = {name: value for name, value in leaves.items() if name != "mu"}
        w = self._drawn(together, leaves["mu"], free, r)
        loss = r.mean((w - target[..., None]) ** 2 / 2).sum()
        if not loss.requires_grad:
            return [torch.zeros_like(value) for value in places.values()]
        return torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
