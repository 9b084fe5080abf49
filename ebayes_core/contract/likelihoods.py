"""Likelihoods: what the outputs of a network mean, with derivatives, samples and scores.

Shapes: outputs are (member, batch, outputs); quantities per example are (member, batch).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Classification:
    """Softmax likelihood over classes (Eq. 37); targets are (batch,) int64."""

    classes: int

    @property
    def outputs(self) -> int:
        """Number of network outputs: one logit per class."""
        return self.classes

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of each example (nat)."""
        return -outputs.log_softmax(-1).gather(-1, y.expand(outputs.shape[:-1])[..., None])[..., 0]

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: p - onehot(y); y (batch,) or (member, batch)."""
        return outputs.softmax(-1) - F.one_hot(y, self.classes).to(outputs.dtype)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Labels (member, batch) sampled from the predictive distribution, as the true Fisher information requires (Eq.
        31).

        Sampled with the Gumbel-max trick and one draw of noise for all members, so that members stay comparable.
        """
        uniform = torch.rand(outputs.shape[1:], generator=generator, device=outputs.device, dtype=outputs.dtype)
        return (outputs - (-(uniform.clamp_min(1e-30).log())).log()).argmax(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """The quantity that an ensemble averages: class probabilities."""
        return outputs.softmax(-1)

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Accuracy, Brier score and expected calibration error of probabilities (member, examples, classes)."""
        brier = ((prediction - F.one_hot(y, self.classes)) ** 2).sum(-1).mean(-1)
        confidence, choice = prediction.max(-1)
        right = (choice == y).to(prediction.dtype)
        return {"accuracy": right.mean(-1), "brier": brier, "ece": _calibration_error(confidence, right)}

    def curvature_roots(self, outputs: Tensor) -> Iterator[Tensor]:
        """Vectors L_k with sum_k L_k L_k^T = diag(p) - p p^T, the Hessian of the nll in the outputs."""
        p = outputs.softmax(-1)
        for k in range(self.classes):
            onehot = F.one_hot(torch.tensor(k, device=p.device), self.classes).to(p.dtype)
            yield p[..., k : k + 1].sqrt() * (p - onehot)


@dataclass(frozen=True)
class Regression:
    """Gaussian likelihood of known standard deviation (Eq. 19); targets are (batch, outputs)."""

    outputs: int
    noise_sd: float

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Minus the Gaussian log-density of each example (nat), constants included."""
        constant = 0.5 * self.outputs * math.log(2 * math.pi * self.noise_sd**2)
        return 0.5 * (((outputs - y) / self.noise_sd) ** 2).sum(-1) + constant

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: (f - y) / noise_sd^2."""
        return (outputs - y) / self.noise_sd**2

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Targets (member, batch, outputs) sampled from the predictive distribution, with one draw of noise for all
        members.
        """
        noise = torch.empty(outputs.shape[1:], device=outputs.device, dtype=outputs.dtype)
        return outputs + self.noise_sd * noise.normal_(generator=generator)

    def predict(self, outputs: Tensor) -> Tensor:
        """The quantity that an ensemble averages: the outputs themselves."""
        return outputs

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Root mean squared error, in the units of the targets."""
        return {"rmse": ((prediction - y) ** 2).mean((-2, -1)).sqrt()}

    def curvature_roots(self, outputs: Tensor) -> Iterator[Tensor]:
        """Vectors e_k / noise_sd, whose outer products sum to the Hessian of the nll in the outputs."""
        for k in range(self.outputs):
            root = torch.zeros_like(outputs)
            root[..., k] = 1 / self.noise_sd
            yield root


def _calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    """Expected calibration error: mean gap between confidence and accuracy over equal bins of confidence (Guo et al.
    2017).
    """
    index = (confidence.nan_to_num() * bins).long().clamp(max=bins - 1)  # NaN falls into no bin and makes the sum NaN
    gap = right - confidence
    # one sum per bin instead of index_add: on a GPU the order of its additions varies between runs
    gaps = [torch.where(index == b, gap, 0).sum(-1).abs() for b in range(bins)]
    return torch.stack(gaps).sum(0) / confidence.shape[-1]


Task = Classification | Regression
