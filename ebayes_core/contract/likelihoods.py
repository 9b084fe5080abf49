"""What the outputs of a network mean: a likelihood, its derivatives, and samples from it.

Outputs are (member, batch, outputs); everything per example is (member, batch).
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
        """Cross-entropy of each example, in nats."""
        return -outputs.log_softmax(-1).gather(-1, y.expand(outputs.shape[:-1])[..., None])[..., 0]

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: p - onehot(y); y (batch,) or (member, batch)."""
        return outputs.softmax(-1) - F.one_hot(y, self.classes).to(outputs.dtype)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Labels (member, batch) drawn from the model itself, as the true Fisher needs (Eq. 31).

        Gumbel's trick, with one draw of noise for all members, keeps members comparable.
        """
        uniform = torch.rand(outputs.shape[1:], generator=generator, device=outputs.device, dtype=outputs.dtype)
        return (outputs - (-(uniform.clamp_min(1e-30).log())).log()).argmax(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """What predictions of several sampled networks are averaged as: probabilities."""
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
        """Minus the Gaussian log-density of each example, constants included."""
        constant = 0.5 * self.outputs * math.log(2 * math.pi * self.noise_sd**2)
        return 0.5 * (((outputs - y) / self.noise_sd) ** 2).sum(-1) + constant

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: (f - y) / noise_sd^2."""
        return (outputs - y) / self.noise_sd**2

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Targets (member, batch, outputs) drawn from the model itself, with one draw of noise for all members."""
        noise = torch.empty(outputs.shape[1:], device=outputs.device, dtype=outputs.dtype)
        return outputs + self.noise_sd * noise.normal_(generator=generator)

    def predict(self, outputs: Tensor) -> Tensor:
        """What predictions of several sampled networks are averaged as: the outputs themselves."""
        return outputs

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Root mean squared error, in the targets' units."""
        return {"rmse": ((prediction - y) ** 2).mean((-2, -1)).sqrt()}

    def curvature_roots(self, outputs: Tensor) -> Iterator[Tensor]:
        """Vectors e_k / noise_sd, whose outer products sum to the Hessian of the nll in the outputs."""
        for k in range(self.outputs):
            root = torch.zeros_like(outputs)
            root[..., k] = 1 / self.noise_sd
            yield root


def _calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    """Mean gap of confidence and accuracy over equal bins of confidence (Guo et al. 2017), per member."""
    index = (confidence.nan_to_num() * bins).long().clamp(max=bins - 1)  # NaN has no bin, and makes its sum NaN
    gap = right - confidence
    # a sum for each bin, and no addition at an index: on a GPU those come in another order every time
    gaps = [torch.where(index == b, gap, 0).sum(-1).abs() for b in range(bins)]
    return torch.stack(gaps).sum(0) / confidence.shape[-1]


Task = Classification | Regression
