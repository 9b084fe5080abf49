"""The least energy at which n vesicles of quantal size q, released with probability p, give mu and sigma.

mu = n p q and sigma^2 = n p (1 - p) q^2 leave one variable free, the odds o = p / (1 - p). With the precision
S = mu^2 / sigma^2, n = S / o and q = |mu| (1 + o) / S. Calcium costs a o^(1/4), turnover f n, membrane b n q^(2/3) and
actin d n q^(1/3), together

    E(o) = a o^(1/4) + (F + B (1 + o)^(2/3) + D (1 + o)^(1/3)) / o,
    F = f S,  B = b |mu|^(2/3) S^(1/3),  D = d |mu|^(1/3) S^(2/3).

Each term is log-convex in log o, so there is one minimum. Newton's method finds it without a gradient: at the minimum
E does not depend on o, so that the derivatives at fixed o are those of the least energy (the envelope theorem). Only
second derivatives need to know how o moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.functions import SMALLEST_MEAN

#: Newton steps that leave a relative error of 2e-6 and of 1e-13 in the derivatives over twenty decades of S
STEPS = {torch.float32: 3}
MORE_STEPS = 4
#: odds within this of their bound are at it; those that are not have nearly no derivative there
ROUNDING = 1e-5


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
    membrane: Tensor  #: B
    actin: Tensor  #: D


class Spent(NamedTuple):
    """The four parts of the energy at some odds, and the probability that a vesicle is not released."""

    silence: Tensor  #: 1 - p = 1 / (1 + o), accurate where p is nearly 1
    calcium: Tensor
    turnover: Tensor
    membrane: Tensor
    actin: Tensor

    @property
    def total(self) -> Tensor:
        """E."""
        return self.calcium + self.turnover + self.membrane + self.actin

    @property
    def saved(self) -> Tensor:
        """What higher odds save: minus the derivative of all but calcium in log o."""
        return self.turnover + self._of_membrane * self.membrane + self._of_actin * self.actin

    @property
    def curved(self) -> Tensor:
        """The second derivative of all but calcium in log o."""
        bent = self.silence * (1 - self.silence) * (2 * self.membrane + self.actin) / 3
        return self.turnover + self._of_membrane**2 * self.membrane + self._of_actin**2 * self.actin + bent

    @property
    def _of_membrane(self) -> Tensor:
        """Minus the logarithmic derivative of membrane in o, 1 - 2p/3."""
        return (1 + 2 * self.silence) / 3

    @property
    def _of_actin(self) -> Tensor:
        """Minus the logarithmic derivative of actin in o, 1 - p/3."""
        return (2 + self.silence) / 3

    def in_precision(self) -> Tensor:
        """dE / d log S at fixed odds."""
        return self.turnover + self.membrane / 3 + 2 / 3 * self.actin

    def in_bound(self) -> Tensor:
        """dE / d log S where the odds are those of the least number of vesicles, and grow with S."""
        return self.calcium / 4 - self.silence * (2 * self.membrane + self.actin) / 3

    def in_square(self) -> Tensor:
        """dE / d log mu^2 at fixed odds and S."""
        return self.membrane / 3 + self.actin / 6


def as_prices(values: Sequence[Any], like: Tensor) -> Prices:
    """Prices as tensors of the type and device of another."""
    return Prices(*(torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values))


def scaled(mu: Tensor, sigma: Tensor, prices: Prices) -> Scaled:
    """The coefficients of E(o) of each synapse."""
    square = mu * mu + prices.floor + SMALLEST_MEAN**2
    ratio = square.sqrt() / sigma  # its square would overflow earlier
    precision = ratio * ratio
    root, size = (precision.log() / 3).exp(), (square.log() / 6).exp()
    turnover, membrane = prices.turnover * precision, prices.membrane * size * size * root
    return Scaled(square, precision, prices.calcium, turnover, membrane, prices.actin * size * root * root)


def spent(odds: Tensor, k: Scaled) -> Spent:
    """The parts of the energy at these odds."""
    size = (odds.log1p() / 3).exp()
    parts = (k.turnover / odds, k.membrane * size * size / odds, k.actin * size / odds)
    return Spent(1 / (1 + odds), k.calcium * odds.sqrt().sqrt(), *parts)


def least_odds(k: Scaled, n_min: int) -> Tensor:
    """The odds of least energy, with at least n_min vesicles."""
    odds = (4 * (k.turnover + k.membrane + k.actin) / k.calcium) ** 0.8
    for _ in range(STEPS.get(odds.dtype, MORE_STEPS)):
        odds = _newton(odds, k)
    return odds.minimum(k.precision / n_min) if n_min else odds


def _newton(odds: Tensor, k: Scaled) -> Tensor:
    """Odds nearer to where calcium costs 4 times what higher odds save; in logarithms, where that is nearly a line."""
    now = spent(odds, k)
    excess = (now.calcium / (4 * now.saved)).log()
    return odds * (-excess / (1 / 4 + (now.curved / now.saved))).exp()


def least_energy(mu: Tensor, sigma: Tensor, n_min: int, prices: Prices) -> Tensor:
    """The least energy of each synapse, with at least n_min vesicles, elementwise; it can be differentiated twice."""
    value: Tensor = _LeastEnergy.apply(mu, sigma, n_min, *prices)[0]
    return value


class _LeastEnergy(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(mu: Tensor, sigma: Tensor, n_min: int, *prices: Any) -> tuple[Tensor, Tensor]:
        k = scaled(mu, sigma, Prices(*prices))
        odds = least_odds(k, n_min)
        return spent(odds, k).total, odds

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        mu, sigma, ctx.n_min, *prices = inputs
        ctx.save_for_backward(mu, sigma, output[1], *prices)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
        mu, sigma, odds, *prices = ctx.saved_tensors
        in_mu, in_sigma = _slopes(mu, sigma, odds, ctx.n_min, Prices(*prices))
        return grad * in_mu, grad * in_sigma, *[None] * (1 + len(prices))


def _slopes(mu: Tensor, sigma: Tensor, odds: Tensor, n_min: int, prices: Prices) -> tuple[Tensor, Tensor]:
    """dE/dmu and dE/dsigma; they have derivatives in mu and sigma themselves if those are asked for."""
    k = scaled(mu, sigma, prices)
    if torch.is_grad_enabled():  # the step that is left moves nothing, but knows how the odds depend on mu and sigma
        odds = _newton(odds.detach(), k)
        odds = odds.minimum(k.precision / n_min) if n_min else odds
    now = spent(odds, k)
    in_precision = now.in_precision()
    if n_min:
        bound = odds >= (1 - ROUNDING) * k.precision / n_min
        in_precision = torch.where(bound, now.in_bound(), in_precision)
    return 2 * mu * (in_precision + now.in_square()) / k.square, -2 * in_precision / sigma
