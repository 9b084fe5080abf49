"""The bound of Appendix 4: minus the objective plus a constant is a lower bound of the ELBO."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebayes_core.contract.functions import elasticity, entropy_cost

Energy = Callable[[Tensor], Tensor]


def scale(energy: Energy, like: Tensor) -> Tensor:
    """The sigma at which energy and entropic cost have equal derivatives: s of Eq. 48, for any energy; NaN if there is
    none.

    energy: elementwise in sigma, of the shape of `like`, with an elasticity that decreases (every power law, every sum
    of power laws). Found by bisection on log sigma in float64, since s ranges over many decades.
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
    """const_i of Eq. 45: the smallest number with C_VI <= energy + const at every sigma; NaN if there is none.

    The two curves touch at sigma = s (Eq. 53).
    """
    s = scale(energy, like)
    return entropy_cost(s) - energy(s)
