"""Elementwise functions shared by the engine, the plugins and the tests, and the compiled form of softplus.

The training step spends most of its time in them, so each has a derivative that is cheap to compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

aten = torch.ops.aten


def softplus(phi: Tensor) -> Tensor:
    """log(1 + exp(phi)), elementwise, without overflow. In float32 it and its derivative have a relative error below
    5e-7.

    That also holds far below zero: training starts at sigma = 1e-4, phi = -9.2.
    """
    return F.softplus(phi, threshold=40)  # beyond the threshold softplus equals phi, in float64 too


def entropy_cost(sigma: Tensor) -> Tensor:
    """Entropic cost C_VI, minus the entropy of a Gaussian weight (Eq. 41), elementwise, in nats."""
    return -sigma.log() - 0.5 * math.log(2 * math.pi * math.e)


def elasticity(energy: Callable[[Tensor], Tensor], sigma: Tensor) -> Tensor:
    """-sigma d energy / d sigma, elementwise: 1 everywhere for the entropic cost."""
    with torch.enable_grad():
        leaf = sigma.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(leaf).sum(), leaf)
        return -sigma * slope


def power(x: Tensor, exponent: Tensor | float) -> Tensor:
    """x ** exponent for x >= 0 and a constant exponent, elementwise.

    In float32 it and its derivative have a relative error below 4e-7 + 1.8e-7 |exponent log x|. The derivative is
    computed as a power again and not, as autograd would, as a quotient by x; this saves a division.
    """
    value: Tensor = _Power.apply(x, torch.as_tensor(exponent, dtype=x.dtype, device=x.device))
    return value


class _Power(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, exponent: Tensor) -> Tensor:
        return (exponent * x.log()).exp()  # vectorised exp and log are faster than pow

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, exponent = ctx.saved_tensors
        return grad * exponent * ((exponent - 1) * x.log()).exp(), None


#: below this, the size of a mean counts as this, so that a root of it has a derivative
SMALLEST_MEAN = 1e-8


def modulus(mu: Tensor) -> Tensor:
    """|mu|, elementwise, rounded at 0 where it has no derivative: (mu^2 + 1e-16)^(1/2)."""
    return (mu * mu + SMALLEST_MEAN**2).sqrt()


def surrogate(w: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """A drawn weight w, with the gradient of its moments: dw/dmean = 1, dw/dsd = (w - mean)/sd, elementwise.

    For draws without a derivative. The expected gradient is exact for a quadratic loss, whatever the distribution; it
    lacks what third and higher derivatives of the loss add.
    """
    with torch.no_grad():
        xi = (w - mean) / sd
    moved = mean + sd * xi
    return moved + (w - moved).detach()  # w to the bit: a silent synapse transmits exactly 0


def expected_abs(mu: Tensor, sigma: Tensor) -> Tensor:
    """E|w| for w ~ N(mu, sigma^2), the mean of the folded normal distribution; |mu| if sigma is 0.

    The strict form of the bound in Eq. 49 contains E|w| instead of |mu| (Jensen's inequality). Its derivatives are
    erf(mu / (sigma sqrt 2)) in mu and sqrt(2 / pi) exp(-mu^2 / 2 sigma^2) in sigma; the other terms that autograd would
    compute cancel.
    """
    value: Tensor = _FoldedMean.apply(*torch.broadcast_tensors(mu, sigma))
    return value


class _FoldedMean(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(mu: Tensor, sigma: Tensor) -> Tensor:
        sign, density = _folded(mu, sigma)
        return sigma * density + mu * sign

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        sign, density = _folded(*ctx.saved_tensors)
        return grad * sign, grad * density


def _folded(mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of the folded mean in mu and sigma; their limits if sigma is 0."""
    z = mu / (math.sqrt(2) * sigma.clamp_min(1e-30))
    return z.erf(), math.sqrt(2 / math.pi) * (-z * z).exp()


def _softplus_series(phi: Tensor, beta: float = 1, threshold: float = 20) -> Tensor | Any:
    """softplus with log(1 + e) as a series, because a call of log1p costs more than everything else here.

    In float64 torch's own is used: the series would lose half of the digits.
    """
    if phi.dtype != torch.float32 or beta != 1:
        return NotImplemented
    e = (-phi.abs()).exp()
    z = e / (2 + e)  # log(1 + e) = 2 artanh(z), and z <= 1/3: eight terms are exact to 2e-9
    y = z * z
    rest = 1 / 3 + y * (1 / 5 + y * (1 / 7 + y * (1 / 9 + y * (1 / 11 + y * (1 / 13 + y * (1 / 15))))))
    return phi.clamp_min(0) + 2 * (z + z * y * rest)


def _softplus_slope(grad: Tensor, phi: Tensor, beta: float, threshold: float) -> Tensor | Any:
    """The derivative of softplus, the logistic function, from the same exponential."""
    if phi.dtype != torch.float32 or beta != 1:
        return NotImplemented
    e = (-phi.abs()).exp()
    return grad * torch.where(phi < 0, e, 1.0) / (1 + e)


#: what the compiled update computes instead of torch's own
DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.softplus.default: _softplus_series,
    aten.softplus_backward.default: _softplus_slope,
}
