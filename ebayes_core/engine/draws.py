"""Weights that a forward pass draws several times, as a kernel at each position: an axis before the synapses."""

from __future__ import annotations

from torch import Tensor


def over(t: Tensor, drawn: Tensor) -> Tensor:
    """A quantity of each synapse, (member, synapses), as it broadcasts with drawn weights or their xi."""
    return t[:, None] if drawn.ndim > t.ndim else t


def abreast(t: Tensor, xi: Tensor) -> Tensor:
    """A quantity of each synapse, repeated for each draw of xi, (member, draws * synapses); a shared one as it is."""
    shared = t.shape[1] == 1 and xi.shape[2] > 1
    return t if shared else t[:, None].expand(-1, xi.shape[1], -1).flatten(1)


def over_draws(t: Tensor) -> Tensor:
    """The sum over a layer's draws, (member, synapses)."""
    return t.sum(1) if t.ndim == 3 else t
