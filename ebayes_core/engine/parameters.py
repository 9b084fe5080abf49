"""What training moves: the means and the standard deviations of a cohort's weights, with what is remembered of each.

The records hold tensors that a step writes in place. They are named tuples, which torch traces through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


class Adam(NamedTuple):
    """Adam's running moments of a gradient, each shaped as the parameter (Kingma and Ba)."""

    mean: Tensor  #: of the gradient
    square: Tensor  #: of its square


class Curvature(NamedTuple):
    """What the solver remembers of the curvature along a sigma."""

    log_scale: Tensor  #: (member, 1), log of the factor between Fisher and curvature
    fisher: Tensor  #: running mean of the true Fisher per datapoint, shaped as phi


class Mean(NamedTuple):
    """The means of one layer's weights, (member, synapses)."""

    mu: Tensor
    memory: Adam


class Deviation(NamedTuple):
    """The standard deviations of one layer, (member, synapses), or one that all layers share, (member, 1).

    sigma and its derivative are carried from the step that last moved phi: to compute them twice costs more.
    """

    phi: Tensor  #: the free parameter
    memory: Adam | Curvature  #: of the descent on phi, or of the solver for sigma
    sigma: Tensor
    derivative: Tensor  #: d sigma / d phi


class Parameters(NamedTuple):
    """All free parameters of a cohort: a Mean per layer; a Deviation per layer, one that all share, or none."""

    means: list[Mean]
    deviations: list[Deviation]

    @classmethod
    def fresh(cls, mu: Sequence[Tensor], phi: Sequence[Tensor], solves: bool = False) -> Parameters:
        """Parameters at these values before the first step; sigma is left at 0, for `Formulas.spread` to fill in."""
        means = [Mean(m, Adam(torch.zeros_like(m), torch.zeros_like(m))) for m in mu]
        return cls(means, [_fresh(p, solves) for p in phi])

    @property
    def mu(self) -> list[Tensor]:
        """The means, per layer (member, synapses)."""
        return [mean.mu for mean in self.means]

    @property
    def phi(self) -> list[Tensor]:
        """The free parameters of the standard deviations."""
        return [deviation.phi for deviation in self.deviations]

    @property
    def sigma(self) -> list[Tensor]:
        """The standard deviations as carried: one that all layers share stands once."""
        return [deviation.sigma for deviation in self.deviations]

    def tensors(self) -> list[Tensor]:
        """Every tensor of every record."""
        return tree_leaves(self)


def _fresh(phi: Tensor, solves: bool) -> Deviation:
    zeros = lambda: torch.zeros_like(phi)
    memory = Curvature(phi.new_zeros(len(phi), 1), zeros()) if solves else Adam(zeros(), zeros())
    return Deviation(phi, memory, zeros(), zeros())
