"""Functions that the update spends most of its time in, written for it: one exponential each and plain arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Softplus(torch.autograd.Function):
    """log(1 + e) as a series: in the compiled update a call of log1p costs more than everything else here."""

    generate_vmap_rule = True

    @staticmethod
    def forward(phi: Tensor) -> Tensor:
        e = (-phi.abs()).exp()
        z = e / (2 + e)  # log(1 + e) = 2 artanh(z), and z <= 1/3: eight terms are exact to 2e-9
        y = z * z
        rest = 1 / 3 + y * (1 / 5 + y * (1 / 7 + y * (1 / 9 + y * (1 / 11 + y * (1 / 13 + y * (1 / 15))))))
        return phi.clamp_min(0) + 2 * (z + z * y * rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (phi,) = ctx.saved_tensors
        e = (-phi.abs()).exp()
        return grad * torch.where(phi < 0, e, 1.0) / (1 + e)


def _exact(phi: Tensor) -> Tensor:
    """For float64, of which the series would lose half of the digits."""
    size = phi.abs()  # (phi + |phi|) / 2 and not a clamp: its derivative is right at zero as well
    return (phi + size) / 2 + (-size).exp().log1p()


def softplus(phi: Tensor) -> Tensor:
    """log(1 + exp(phi)), elementwise, without overflow, to 4e-7 of itself in float32, and so is its derivative.

    It is exact far below zero too: networks start at sigma = 1e-4, phi = -9.2.
    """
    return _Softplus.apply(phi) if phi.dtype == torch.float32 else _exact(phi)
