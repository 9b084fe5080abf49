"""Adam, elementwise and in place, with the rates and constants of every network of a cohort."""

from __future__ import annotations

import torch
from torch import Tensor

from ebayes_core.engine.ingredients import Time
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.parameters import Adam, Curvature


def adam(
    f: Formulas, p: Tensor, memory: Adam | Curvature, gradient: Tensor, rate: Tensor, time: Time, alive: Tensor
) -> Tensor:
    """Move a parameter by Adam (Kingma and Ba), as torch.optim.Adam computes it; returns its new value."""
    mean, square = memory
    mean = f.beta1 * mean + (1 - f.beta1) * gradient  # no lerp: inf - inf would turn an overflow into a NaN
    square = torch.addcmul(f.beta2 * square, (1 - f.beta2) * gradient, gradient)
    # one division per network instead of two per synapse
    mean_factor, square_factor = 1 / time.mean_correction, 1 / time.square_correction
    root = (square * square_factor).sqrt_().add_(f.epsilon)
    moved = torch.addcdiv(p, -rate * time.schedule * mean_factor * mean, root)
    moved = torch.where(alive, moved, p)
    for place, value in zip((p, *memory), (moved, mean, square), strict=True):
        place.copy_(value)
    return moved
