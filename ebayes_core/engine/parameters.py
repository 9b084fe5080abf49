"""What training moves: the means of a cohort's weights and the free parameters of their noise, with what is remembered.

The records hold tensors that a step writes in place. They are named tuples, which torch traces through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


class Parameter(NamedTuple):
    """A parameter of each synapse of a layer, (member, synapses), or one that all layers share, (member, 1)."""

    value: Tensor
    memory: tuple[Tensor, ...]  #: of the optimizer, or a Curvature if the solver for sigma moves it


class Curvature(NamedTuple):
    """What the solver remembers of the curvature along a sigma."""

    log_fresh: Tensor  #: (member, 1), log of the factor by which new minibatches exceed the running Fisher
    curved: Tensor  #: (member, 1), running mean of the sum of sigma**2 E[H]
    expected: Tensor  #: (member, 1), running mean of the sum of sigma**2 times the new minibatches' Fisher
    fisher: Tensor  #: running mean of the true Fisher per datapoint, shaped as the free parameter


class Spread(NamedTuple):
    """sigma and its derivative in the only free parameter, shaped as that one.

    Where sigma does not depend on mu, they are carried from the step that last moved the parameter: to compute them
    twice costs more.
    """

    sigma: Tensor
    derivative: Tensor


class Parameters(NamedTuple):
    """All that training moves in a cohort: per layer the means, and by name the free parameters of the noise."""

    means: list[Parameter]  #: one for each layer
    free: dict[str, list[Parameter]]  #: by name, one for each layer or one that all share; empty without noise
    spreads: list[Spread]  #: as the only free parameter's list; empty if sigma depends on more than that
    #: of the energy under budgets, for each layer (member, synapses) or (member, 1); empty if the cost has its own
    multipliers: Sequence[Tensor] = ()
    #: one tensor, (member, 1) in double precision: the sum over steps and synapses of |d mu|
    travelled: Sequence[Tensor] = ()
    #: what the inference remembers of earlier stages, by name, per layer (member, synapses)
    remembered: Mapping[str, list[Tensor]] = {}  # never changed

    @property
    def mu(self) -> list[Tensor]:
        """The means, per layer (member, synapses)."""
        return [mean.value for mean in self.means]

    @property
    def priced(self) -> Sequence[Tensor | None]:
        """The multiplier of each layer, None if it is that of the cost."""
        return self.multipliers or [None] * len(self.means)

    @property
    def noisy(self) -> bool:
        """Whether the weights are drawn at random."""
        return bool(self.free)

    def freely(self) -> list[dict[str, Tensor]]:
        """The free parameters of each layer, by name."""
        return layered({name: [p.value for p in parts] for name, parts in self.free.items()}, len(self.means))

    def memories(self) -> list[dict[str, Tensor]]:
        """What is remembered of earlier stages, of each layer by name."""
        return [{name: parts[i] for name, parts in self.remembered.items()} for i in range(len(self.means))]

    def all(self) -> list[Parameter]:
        """Every parameter: the means first."""
        return [*self.means, *(p for parts in self.free.values() for p in parts)]

    def tensors(self) -> list[Tensor]:
        """Every tensor of every record."""
        return tree_leaves(self)


def layered(free: dict[str, list[Tensor]], layers: int) -> list[dict[str, Tensor]]:
    """Lists by name as a dictionary for each layer; what all layers share stands in each."""
    return [{name: parts[i % len(parts)] for name, parts in free.items()} for i in range(layers)]


def unsolved(p: Tensor) -> Curvature:
    """The memory of the solver before its first step."""
    zeros = lambda: p.new_zeros(len(p), 1)
    return Curvature(zeros(), zeros(), zeros(), torch.zeros_like(p))


def split(p: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """A parameter of the whole network by layers, (member, synapses) each; one for all layers stands alone."""
    return [p.clone()] if p.shape[1] == 1 and sum(sizes) > 1 else [t.clone() for t in p.split(list(sizes), 1)]
