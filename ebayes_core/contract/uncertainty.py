"""What predictions of sampled networks are uncertain of: the data themselves, and the weights (Depeweg et al. 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Uncertainty(NamedTuple):
    """Uncertainty of each prediction, in two parts that add up to that of the averaged prediction."""

    aleatoric: Tensor  #: what each sampled network expects by itself, on average: noise of the targets
    epistemic: Tensor  #: what the sampled networks disagree in: noise of the weights
    units: str


def of_classes(log_p: Tensor) -> Uncertainty:
    """Mean entropy, and mutual information of class and weights (nat); log_p: (samples, ..., classes) normalised.

    Their sum is the entropy of the mean probabilities.
    """
    own = entropy(log_p.exp()).mean(0)
    whole = entropy(averaged(log_p).exp())
    return Uncertainty(own, (whole - own).clamp_min(0), "nat")  # never negative but for rounding


def of_numbers(means: Tensor, noise_sd: float) -> Uncertainty:
    """Variance of the noise, and of the means (samples, ..., outputs) of sampled networks (target^2)."""
    spread = means.var(0, correction=min(1, len(means) - 1))  # of a single network: zero
    return Uncertainty(torch.full_like(spread, noise_sd**2), spread, "target^2")


def averaged(log_p: Tensor) -> Tensor:
    """Logarithm of the mean probabilities over samples (samples, ...)."""
    n = torch.tensor(len(log_p), dtype=log_p.dtype, device=log_p.device)
    return log_p.logsumexp(0) - n.log()


def entropy(p: Tensor) -> Tensor:
    """Entropy of probabilities (..., classes), (...) in nat; 0 log 0 is 0."""
    found: Tensor = torch.special.entr(p).sum(-1)
    return found
