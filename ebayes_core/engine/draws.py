"""Weights that a forward pass draws several times, as a kernel at each position: an axis before the synapses."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ebayes_core.contract.slots import Noise


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


def drawn(noise: Noise, mu: Tensor, free: Mapping[str, Tensor], xi: Tensor) -> Tensor:
    """Weights of a layer, (member, synapses), or (member, draws, synapses) where xi has an axis of draws."""
    if not free:
        return over(mu, xi) + 0 * xi
    if xi.ndim == mu.ndim:
        return noise.draw(mu, free, xi)
    # fields are (member, 1): they would be taken for (draws, 1) beside an axis of draws
    several = {name: abreast(t, xi) for name, t in free.items()}
    side_by_side: Tensor = noise.draw(abreast(mu, xi), several, xi.flatten(1)).unflatten(1, xi.shape[1:])
    return side_by_side
