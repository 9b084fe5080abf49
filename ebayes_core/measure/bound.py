"""Appendix 4: the energy of a network bounds a variational free energy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebayes_core.contract.functions import elasticity, entropy_cost

Energy = Callable[[Tensor], Tensor]


def scale(energy: Energy, like: Tensor) -> Tensor:
    """The sigma at which an energy is as steep as the entropy: s of Eq. 48, for any energy; NaN where there is none.

    energy: elementwise in sigma, shaped as `like`, with an elasticity that falls (every power law, every sum of them).
    Found by bisection on log sigma, in double: s ranges over many decades.
    """
    low, high = torch.full_like(like, -80.0), torch.full_like(like, 80.0)
    for _ in range(60):
        middle = (low + high) / 2
        steep = elasticity(energy, middle.exp()) > 1
        low, high = torch.where(steep, middle, low), torch.where(steep, high, middle)
    found = ((low + high) / 2).exp()
    close = (elasticity(energy, found) - 1).abs() < 1e-6
    return torch.where(close, found, torch.nan)


def constant(energy: Energy, like: Tensor) -> Tensor:
    """const_i of Eq. 45: the smallest number for which C_VI <= energy + const at every sigma; NaN where none is.

    The two curves touch at sigma = s (Eq. 53).
    """
    s = scale(energy, like)
    return entropy_cost(s) - energy(s)
