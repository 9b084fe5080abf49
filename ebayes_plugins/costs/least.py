"""The least energy at which n vesicles of quantal size q, released with probability p, give mu and sigma.

mu = n p q and sigma^2 = n p (1 - p) q^2 leave one variable free, the odds o = p / (1 - p). With the precision
S = mu^2 / sigma^2, n = S / o and q = |mu| (1 + o) / S. Calcium costs a o^(1/4), turnover f n, membrane b n q^(2/3) and
actin d n q^(1/3), together

    E(o) = a o^(1/4) + (F + B (1 + o)^(2/3) + D (1 + o)^(1/3)) / o,
    F = f S,  B = b |mu|^(2/3) S^(1/3),  D = d |mu|^(1/3) S^(2/3).

Each term is log-convex in log o, so there is one minimum. Without membrane and actin it is at o = (4 F / a)^(4/5).
Otherwise Newton's method finds w = (1 + o)^(1/3) - 1, of which the condition is a rational function but for o^(1/4):
where calcium pays 4 times what higher odds save, (a/4) o^(5/4) = G, in logarithms. No gradient is taken of steps: at
the minimum E does not depend on o, so that the derivatives at fixed o are those of the least energy (the envelope
theorem). Only second derivatives need to know how o moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.functions import SMALLEST_MEAN, power

#: Newton steps, and further ones with the logarithm as a rational function, which are cheaper near the end. Over twenty
#: decades of S they leave a relative error of 2e-6 in the derivatives in single precision, and of 1e-13 in double.
STEPS, MORE = 2, {torch.float32: 1, torch.float64: 2}
#: odds within this of their bound are at it; those that are not have nearly no derivative there
ROUNDING = 1e-5
THIRD = 1 / 3


class Prices(NamedTuple):
    """Prices of calcium, of a vesicle, its membrane and its actin, and the square that is added to mu^2."""

    calcium: Any
    turnover: Any
    membrane: Any
    actin: Any
    floor: Any


class Scaled(NamedTuple):
    """What E(o) of a synapse depends on, elementwise."""

    square: Tensor  #: mu^2, never 0
    precision: Tensor  #: S
    calcium: Tensor  #: a
    turnover: Tensor  #: F
    membrane: Any  #: B; 0 if only calcium and turnover have prices
    actin: Any  #: D; 0 likewise


class Spent(NamedTuple):
    """The four parts of the energy at some odds, and the probability that a vesicle is not released."""

    calcium: Tensor
    turnover: Tensor
    membrane: Any
    actin: Any
    silence: Tensor  #: 1 - p = 1 / (1 + o), accurate where p is nearly 1

    @property
    def total(self) -> Tensor:
        """E."""
        return self.calcium + self.turnover + self.membrane + self.actin

    def in_precision(self) -> Tensor:
        """dE / d log S at fixed odds."""
        return self.turnover + THIRD * self.membrane + 2 * THIRD * self.actin

    def in_bound(self) -> Tensor:
        """dE / d log S where the odds are those of the least number of vesicles, and grow with S."""
        return 1 / 4 * self.calcium - THIRD * self.silence * (2 * self.membrane + self.actin)

    def in_square(self) -> Any:
        """dE / d log mu^2 at fixed odds and S."""
        return THIRD * (self.membrane + self.actin / 2)


def as_prices(values: Sequence[Any], like: Tensor) -> Prices:
    """Prices as tensors of the type and device of another."""
    return Prices(*(torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values))


def scaled(mu: Tensor, sigma: Tensor, prices: Prices, bulky: bool) -> Scaled:
    """The coefficients of E(o) of each synapse; bulky: membrane or actin has a price."""
    square, inverse = mu * mu + prices.floor + SMALLEST_MEAN**2, 1 / sigma
    precision = square * inverse * inverse
    known = Scaled(square, precision, prices.calcium, prices.turnover * precision, 0.0, 0.0)
    if not bulky:
        return known
    root, size = (THIRD * precision.log()).exp(), (THIRD / 2 * square.log()).exp()
    return known._replace(membrane=prices.membrane * size * size * root, actin=prices.actin * size * root * root)


def spent(w: Tensor, k: Scaled, bulky: bool) -> Spent:
    """The parts of the energy at some odds, given as w if membrane or actin has a price."""
    odds, v = odds_of(w, bulky), 1 + w if bulky else 1.0
    per = 1 / odds
    return Spent(
        k.calcium * odds.sqrt().sqrt(), k.turnover * per, k.membrane * v * v * per, k.actin * v * per, 1 / (1 + odds)
    )


def odds_of(w: Tensor, bulky: bool) -> Tensor:
    """(1 + w)^3 - 1, accurate where it is small, or w itself if that stands for the odds."""
    return w * (3 + w * (3 + w)) if bulky else w


def largest(k: Scaled, n_min: int, bulky: bool) -> Tensor:
    """The odds of n_min vesicles, S / n_min, given like those of least energy."""
    odds = k.precision / n_min
    return (THIRD * odds.log1p()).expm1() if bulky else odds


def least(k: Scaled, n_min: int, bulky: bool) -> Tensor:
    """The odds of least energy with at least n_min vesicles, as w = (1 + o)^(1/3) - 1 if bulky."""
    odds = power(4 / k.calcium * (k.turnover + k.membrane + k.actin), 0.8)
    w = _newton((THIRD * odds.log1p()).expm1(), k) if bulky else odds
    return w.minimum(largest(k, n_min, bulky)) if n_min else w


def _newton(w: Tensor, k: Scaled) -> Tensor:
    """w where calcium pays 4 times what higher odds save, from a guess."""
    for _ in range(STEPS):
        ratio, slope = _condition(w, k)
        w = w * (-ratio.log() / slope).exp()
    for _ in range(MORE[w.dtype]):
        ratio, slope = _condition(w, k)
        excess, slope = ratio - 1, slope * (ratio + 1)
        w = w * (slope - excess) / (slope + excess)
    return w


def _condition(w: Tensor, k: Scaled) -> tuple[Tensor, Tensor]:
    """(a/4) o^(5/4) / G, which is 1 at the minimum, and the derivative of its logarithm in log w."""
    odds, v = odds_of(w, True), 1 + w
    u = 1 / v
    saved = k.turnover + THIRD * (k.membrane * (v * v + 2 * u) + k.actin * (2 * v + u * u))
    grows, one = 2 * THIRD * (v - u * u) * (k.membrane + k.actin * u), 1 / saved
    ratio = 1 / 4 * k.calcium * odds * odds.sqrt().sqrt() * one
    return ratio, 15 / 4 * v * v / (3 + w * (3 + w)) - w * grows * one


def least_energy(mu: Tensor, sigma: Tensor, prices: Prices, n_min: int, bulky: bool) -> Tensor:
    """The least energy of each synapse, with at least n_min vesicles, elementwise; it can be differentiated twice."""
    value: Tensor = _LeastEnergy.apply(mu, sigma, n_min, bulky, *prices)[0]
    return value


class _LeastEnergy(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(mu: Tensor, sigma: Tensor, n_min: int, bulky: bool, *prices: Any) -> tuple[Tensor, ...]:
        k = scaled(mu, sigma, Prices(*prices), bulky)
        w = least(k, n_min, bulky)
        return spent(w, k, bulky).total, w

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        mu, sigma, ctx.n_min, ctx.bulky, *prices = inputs
        ctx.save_for_backward(mu, sigma, output[1], *prices)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
        mu, sigma, w, *prices = ctx.saved_tensors
        k = scaled(mu, sigma, Prices(*prices), ctx.bulky)
        again = torch.is_grad_enabled()  # only then does a second derivative have to know how the odds move
        in_mu, in_sigma = _slopes(mu, sigma, k, _moving(w, k, ctx.n_min, ctx.bulky) if again else w, ctx)
        return grad * in_mu, grad * in_sigma, *[None] * (2 + len(prices))


def _moving(w: Tensor, k: Scaled, n_min: int, bulky: bool) -> Tensor:
    """The same w, as a function of what k depends on."""
    if not bulky:
        return least(k, n_min, bulky)
    ratio, slope = _condition(w.detach(), k)
    w = w.detach() * (1 - (ratio - 1) / slope.detach())
    return w.minimum(largest(k, n_min, bulky)) if n_min else w


def _slopes(mu: Tensor, sigma: Tensor, k: Scaled, w: Tensor, ctx: Any) -> tuple[Tensor, Tensor]:
    """dE/dmu and dE/dsigma."""
    now = spent(w, k, ctx.bulky)
    in_precision = now.in_precision()
    if ctx.n_min:
        bound = w >= (1 - ROUNDING) * largest(k, ctx.n_min, ctx.bulky)
        in_precision = torch.where(bound, now.in_bound(), in_precision)
    return 2 * mu * (in_precision + now.in_square()) / k.square, -2 * in_precision * (1 / sigma)
