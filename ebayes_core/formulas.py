"""Closed forms of the paper that the engine, the plugins and the tests share; all are elementwise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def entropy_cost(sigma: Tensor) -> Tensor:
    """C_VI, minus the entropy of a Gaussian weight (Eq. 41)."""
    return -sigma.log() - 0.5 * math.log(2 * math.pi * math.e)
