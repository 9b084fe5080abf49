"""Patches of images as rows of a matrix, so that a layer of kernels is one product for each network.

Channels come last, and a patch is ordered (rows, columns, channels): copying it is then several times as fast as in
the order (channels, rows, columns), and the products are larger than those of a grouped convolution.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Patches(torch.autograd.Function):
    """Patches with a constant 1 last; its backward pass adds them up again, faster than that of `unfold`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
        padded = F.pad(x, (0, 0, padding, padding, padding, padding)) if padding else x
        windows = padded.unfold(-3, size, stride).unfold(-3, size, stride)  # (..., rows, columns, channels, size, size)
        windows = windows.movedim(-3, -1)
        found = x.new_empty(*windows.shape[:-3], size * size * x.shape[-1] + 1)
        found[..., :-1].unflatten(-1, windows.shape[-3:]).copy_(windows)
        found[..., -1] = 1
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int, int], output: Tensor) -> None:
        x, *ctx.geometry = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        return _summed(slopes[0][..., :-1], ctx.shape, *ctx.geometry), None, None, None


def _summed(patches: Tensor, shape: torch.Size, size: int, stride: int, padding: int) -> Tensor:
    """The sum of all patches at their places in images of this shape."""
    *outer, rows, columns, channels = shape
    high, wide = patches.shape[-3:-1]
    parts = patches.unflatten(-1, (size, size, channels))
    image = patches.new_zeros(*outer, rows + 2 * padding, columns + 2 * padding, channels)
    for i, j in itertools.product(range(size), range(size)):
        down, right = (slice(at, at + stride * (n - 1) + 1, stride) for at, n in ((i, high), (j, wide)))
        image[..., down, right, :] += parts[..., i, j, :]
    return image[..., padding : padding + rows, padding : padding + columns, :]


def patches(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """Patches of images (..., rows, columns, channels) as (..., rows, columns, size * size * channels + 1).

    A constant 1 comes last, the input of the biases.
    """
    found: Tensor = _Patches.apply(x, size, stride, padding)
    return found
