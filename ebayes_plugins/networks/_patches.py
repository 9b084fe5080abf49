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
        return summed(slopes[0][..., :-1], ctx.shape, *ctx.geometry), None, None, None


def summed(patches: Tensor, shape: tuple[int, ...], size: int, stride: int, padding: int) -> Tensor:
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


def everywhere(x: Tensor, w: Tensor) -> Tensor:
    """Drives (member, batch, positions, post) of inputs ([member,] batch, positions, pre) that all positions send
    through the same weights (member, post, pre), or each through its own (member, positions, post, pre).
    """
    if w.ndim == 4:
        return (x.transpose(-3, -2) @ w.transpose(-2, -1)).transpose(-3, -2)
    # of shared inputs too: one product for all members would leave their drives apart in memory
    return torch.matmul(x.flatten(-3, -2), w.transpose(1, 2)).unflatten(1, x.shape[-3:-1])


def write_everywhere(delta: Tensor, x: Tensor, out: Tensor) -> None:
    """Write the gradients of weights to out, shaped as them, from slopes (member, batch, positions, post)."""
    if out.ndim == 3:
        out.baddbmm_(delta.flatten(1, 2).transpose(1, 2), x.flatten(-3, -2).expand(len(out), -1, -1), beta=0)
    else:
        each = x.transpose(-3, -2).expand(len(out), -1, -1, -1).flatten(0, 1)
        out.view(-1, *out.shape[2:]).baddbmm_(delta.permute(0, 2, 3, 1).flatten(0, 1), each, beta=0)


def pooled(x: Tensor, size: int, kind: str) -> Tensor:
    """Maximum or mean over squares of images (..., rows, columns, channels); the rest, at two edges, is left out."""
    if size == 1:
        return x
    squares = _squares(x, size)
    return squares.amax((-4, -2)) if kind == "max" else squares.mean((-4, -2))


def unpooled(slopes: Tensor, x: Tensor, size: int, kind: str) -> Tensor:
    """Derivatives in the images x from those in what `pooled` makes of them; equal maxima share theirs."""
    if size == 1:
        return slopes
    squares, each = _squares(x, size), slopes[..., :, None, :, None, :]
    if kind == "max":
        top = squares == squares.amax((-4, -2), keepdim=True)
        parts = each * top / top.sum((-4, -2), keepdim=True)
    else:
        parts = (each / size**2).expand_as(squares)
    found = torch.zeros_like(x)
    found[..., : size * slopes.shape[-3], : size * slopes.shape[-2], :] = parts.flatten(-5, -4).flatten(-3, -2)
    return found


def _squares(x: Tensor, size: int) -> Tensor:
    """Images as squares, (..., rows, size, columns, size, channels)."""
    rows, columns = (length // size for length in x.shape[-3:-1])
    return x[..., : rows * size, : columns * size, :].unflatten(-2, (columns, size)).unflatten(-4, (rows, size))
