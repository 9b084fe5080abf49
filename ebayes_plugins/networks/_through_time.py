"""Backpropagation through time, written out: the derivatives of a loss in the drives of a recurrent layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ebayes_plugins.networks._linear import outer


def through_time(slopes: Tensor, states: Tensor, recurrent: Tensor, activation: str) -> Tensor:
    """Derivatives in the drives, (member, step, batch, post), through all later steps.

    slopes: derivatives in the states where they are read out, (member, step or 1, batch, post); one step is the last.
    recurrent: (member, post, post), or (member, step, post, post) if every step has its own draw.
    """
    found, last = states.new_empty(states.shape), states.shape[1] - 1
    for step in range(last, -1, -1):
        parts = [slopes[:, step - last - 1]] if step == last or slopes.shape[1] > 1 else []
        if step < last:
            parts.append(found[:, step + 1] @ (recurrent[:, step + 1] if recurrent.ndim == 4 else recurrent))
        found[:, step] = sum(parts[1:], parts[0]) * _slope(activation, states[:, step])
    return found


def _slope(activation: str, state: Tensor) -> Tensor:
    """Derivative of the activation where its value is known."""
    if activation == "tanh":
        return 1 - state * state
    return state.new_ones(()) if activation == "linear" else (state > 0).to(state.dtype)


class _Drives(torch.autograd.Function):
    """Known drives as a function of the weights, for given inputs: a second product would cost a fifth of a pass."""

    @staticmethod
    def forward(w: Tensor, inputs: Tensor, drives: Tensor) -> Tensor:
        return drives.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        w, x, _ = inputs
        ctx.shape = w.shape
        ctx.save_for_backward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        found = slopes.new_empty(ctx.shape)
        (x,) = ctx.saved_tensors
        write_outer(slopes, x, found)
        return found, None, None


def drives_of(w: Tensor, inputs: Tensor, drives: Tensor) -> Tensor:
    """The drives (member, step, batch, post) of these inputs, in the graph of the weights."""
    found: Tensor = _Drives.apply(w, inputs, drives)
    return found


class _States(torch.autograd.Function):
    """Known states as a function of their drives, in which a drive acts on the later ones too."""

    @staticmethod
    def forward(drives: Tensor, states: Tensor, recurrent: Tensor, activation: str) -> Tensor:
        return states.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
        _, states, recurrent, ctx.activation = inputs
        ctx.save_for_backward(states, recurrent)

    @staticmethod
    @once_differentiable  # a second derivative would miss that the drives also depend on the weights through the states
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None, None]:
        states, recurrent = ctx.saved_tensors
        return through_time(slopes, states, recurrent, ctx.activation), None, None, None


def states_of(drives: Tensor, states: Tensor, recurrent: Tensor, activation: str) -> Tensor:
    """The states (member, step, batch, post), in the graph of their drives; recurrent as in `through_time`."""
    found: Tensor = _States.apply(drives, states, recurrent.detach(), activation)
    return found


def write_outer(delta: Tensor, x: Tensor, out: Tensor) -> None:
    """Write delta^T x to out: of each step if it has a draw of its own, otherwise summed over the steps."""
    if out.ndim == 4:
        delta, x, out = delta.flatten(0, 1), x.flatten(0, 1), out.view(-1, *out.shape[2:])
    elif x.ndim == 4:
        delta, x = delta.flatten(1, 2), x.flatten(1, 2)
    outer(delta, x, out)
