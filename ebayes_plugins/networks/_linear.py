"""Layers of synapses: drives as linear maps of inputs, the activations, and the derivatives of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ebayes_core.contract.network import Shape

Activation = Literal["relu", "linear", "tanh", "softplus"]


def with_one(x: Tensor) -> Tensor:
    """Append the constant 1, the input of the bias synapse."""
    import torch

    return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)


def last_columns(shapes: list[Shape]) -> list[Tensor]:
    """Marks of the synapses from that constant, in layers of shape (post, pre + 1)."""
    import torch

    marked = [torch.zeros(shape, dtype=torch.bool) for shape in shapes]
    for layer in marked:
        layer[:, -1] = True
    return marked


def apart(weights: list[Tensor]) -> list[Tensor]:
    """Weight and bias of each layer as nn.Linear has them, from layers (post, pre + 1)."""
    return [part for w in weights for part in (w[:, :-1], w[:, -1])]


def together(parameters: list[Tensor]) -> list[Tensor]:
    """Layers (post, pre + 1), from weight and bias of each nn.Linear."""
    import torch

    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return [torch.cat([weight, bias[:, None]], 1) for weight, bias in pairs]


def as_module(activation: str) -> nn.Module:
    """The activation as a module of torch."""
    from torch import nn

    # beyond the threshold nn.Softplus is linear; at its own, 20, this would be seen in double precision
    known = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "softplus": nn.Softplus(threshold=40), "linear": nn.Identity()}
    return known[activation]


def linear(x: Tensor, w: Tensor) -> Tensor:
    """Drives (member, batch, post); if all members share the inputs, one large product is computed instead of K small
    ones.
    """
    from torch.nn.functional import linear

    if x.ndim == 2:
        return linear(x, w.flatten(0, 1)).unflatten(1, w.shape[:2]).transpose(0, 1)
    return x @ w.transpose(1, 2)


def outer(delta: Tensor, x: Tensor, out: Tensor) -> None:
    """Write the weights' gradient, delta^T x for each member, to out (member, post, pre + 1)."""
    if x.ndim == 2:
        out.flatten(0, 1).addmm_(delta.transpose(1, 2).flatten(0, 1), x, beta=0)
    else:
        out.baddbmm_(delta.transpose(1, 2), x, beta=0)


def activate(name: str, z: Tensor) -> Tensor:
    if name == "softplus":
        return z.logaddexp(z.new_zeros(()))
    return z if name == "linear" else getattr(z, name)()


def activity(name: str, z: Tensor) -> Tensor:
    """The activation of drives with the constant 1 appended, in few calls; without a gradient."""
    import torch

    found = z.new_empty(*z.shape[:-1], z.shape[-1] + 1)
    found.select(-1, -1).fill_(1)
    if name == "relu":
        torch.clamp_min(z, 0, out=found[..., :-1])
    else:
        found[..., :-1] = activate(name, z)
    return found


def through(activation: str, slopes: Tensor, drives: Tensor) -> Tensor:
    """Derivatives in the drives, from those in the activity."""
    import torch

    if activation == "relu":  # in one pass; comparing and multiplying take ten times as long
        return torch.ops.aten.threshold_backward(slopes, drives, 0)
    return slopes * slope(activation, drives)


def slope(name: str, z: Tensor) -> Tensor:
    """Derivative of the activation at the drive."""
    if name == "linear":
        return z.new_ones(())
    if name == "tanh":
        return 1 - z.tanh() ** 2
    return z.sigmoid() if name == "softplus" else (z > 0).to(z.dtype)
