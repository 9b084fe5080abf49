"""Closed forms of the paper that the engine, the plugins and the tests share; all are elementwise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def expected_abs(mu: Tensor, sigma: Tensor) -> Tensor:
    """E|w| of w ~ N(mu, sigma^2), the folded normal's mean; |mu| where sigma is 0.

    The strict form of the bound in Eq. 49 charges this and not |mu| (Jensen).
    """
    safe = sigma.clamp(min=1e-30)  # at sigma = 0 the ratio below is then huge and both terms have their limits
    ratio = mu / safe
    return safe * math.sqrt(2 / math.pi) * (-0.5 * ratio**2).exp() + mu * (ratio / math.sqrt(2)).erf()


def entropy_cost(sigma: Tensor) -> Tensor:
    """C_VI, minus the entropy of a Gaussian weight (Eq. 41)."""
    return -sigma.log() - 0.5 * math.log(2 * math.pi * math.e)
