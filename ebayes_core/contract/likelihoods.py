"""The likelihoods of labels and of numbers: classification and regression.

Shapes are those of `ebayes_core.contract.likelihood`. `ebayes_core.contract.compound` combines likelihoods: one at
every step of a sequence, or several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ebayes_core.contract import uncertainty
from ebayes_core.contract.likelihood import Likelihood, unfit_examples
from ebayes_core.contract.uncertainty import Uncertainty

__all__ = ["Classification", "Likelihood", "Regression", "unfit_examples"]


@dataclass(frozen=True)
class Classification(Likelihood):
    """Softmax likelihood over classes (Eq. 37); targets are (batch,) int64."""

    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """One logit per class."""
        return (self.classes,)

    @property
    def target(self) -> tuple[int, ...]:
        """A label is a single number."""
        return ()

    @property
    def integer(self) -> bool:
        """Labels are integers."""
        return True

    def wanted(self) -> str:
        """Labels from 0, as many as there are classes."""
        return f"targets of a classification are (examples,) int64 from 0 to {self.classes - 1}"

    def unfit(self, y: Tensor) -> Iterator[str]:
        """Labels that are not integers, or not those of a class."""
        yield from self.misshapen(y) or unfit_examples((y < 0) | (y >= self.classes), y, self.wanted())

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of each example (nat)."""
        return -_over_classes(torch.log_softmax, outputs).gather(-1, y.expand(outputs.shape[:-1])[..., None])[..., 0]

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: p - onehot(y); y (batch,) or (member, batch)."""
        return _over_classes(torch.softmax, outputs) - F.one_hot(y, self.classes).to(outputs.dtype)

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Labels (member, batch) sampled from the predictive distribution, as the true Fisher information requires (Eq.
        31).

        Sampled with the Gumbel-max trick and one draw of noise for all members, so that members stay comparable.
        """
        uniform = torch.rand(outputs.shape[1:], generator=generator, device=outputs.device, dtype=outputs.dtype)
        return (outputs - (-(uniform.clamp_min(1e-30).log())).log()).argmax(-1)

    def predict(self, outputs: Tensor) -> Tensor:
        """The quantity that an ensemble averages: class probabilities."""
        return _over_classes(torch.softmax, outputs)

    @property
    def prediction_units(self) -> str:
        """Probabilities have none."""
        return "1"

    def averaged(self, outputs: Tensor) -> Tensor:
        """Logarithm of the mean probabilities."""
        return uncertainty.averaged(outputs.log_softmax(-1))

    def label(self, prediction: Tensor) -> Tensor:
        """The largest probability."""
        return prediction.argmax(-1)

    def entropy(self, prediction: Tensor) -> Tensor:
        """Entropy of probabilities (nat)."""
        return uncertainty.entropy(prediction)

    def uncertainty(self, outputs: Tensor) -> Uncertainty:
        """Mean entropy, and mutual information of class and weights (nat)."""
        return uncertainty.of_classes(outputs.log_softmax(-1))

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Accuracy, Brier score and expected calibration error of probabilities (member, examples, classes)."""
        brier = ((prediction - F.one_hot(y, self.classes)) ** 2).sum(-1).mean(-1)
        confidence, choice = prediction.max(-1)
        right = (choice == y).to(prediction.dtype)
        return {"accuracy": right.mean(-1), "brier": brier, "ece": _calibration_error(confidence, right)}

    def accuracy(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Share of examples whose largest logit is that of their class."""
        return (outputs.argmax(-1) == y).to(outputs.dtype).mean(-1)

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """The roots of the curvature, added up with random signs, which all members share."""
        p = _over_classes(torch.softmax, outputs)
        signed = p.sqrt() * _signs(outputs, generator)
        return p * signed.sum(-1, keepdim=True) - signed

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Vectors L_k with sum_k L_k L_k^T = diag(p) - p p^T, the Hessian of the nll in the outputs."""
        p = outputs.softmax(-1)
        for k in range(self.classes):
            onehot = F.one_hot(torch.tensor(k, device=p.device), self.classes).to(p.dtype)
            yield p[..., k : k + 1].sqrt() * (p - onehot)


def _over_classes(function: Callable[[Tensor, int], Tensor], outputs: Tensor) -> Tensor:
    """A softmax over the last axis, taken along the last but one: over few classes that is six times as fast."""
    return function(outputs.transpose(-1, -2).contiguous(), -2).transpose(-1, -2)


@dataclass(frozen=True)
class Regression(Likelihood):
    """Gaussian likelihood of known standard deviation (Eq. 19); targets are (batch, outputs)."""

    outputs: int = field()  # not the cached property of the base
    noise_sd: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The means of the targets."""
        return (self.outputs,)

    def wanted(self) -> str:
        """Finite numbers."""
        return f"targets of this regression are (examples, {self.outputs}), floating point and finite"

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Minus the Gaussian log-density of each example (nat), constants included."""
        constant = 0.5 * self.outputs * math.log(2 * math.pi * self.noise_sd**2)
        return 0.5 * (((outputs - y) / self.noise_sd) ** 2).sum(-1) + constant

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in the outputs: (f - y) / noise_sd^2."""
        return (outputs - y) / self.noise_sd**2

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Targets (member, batch, outputs) sampled from the predictive distribution, with one draw of noise for all
        members.
        """
        noise = torch.empty(outputs.shape[1:], device=outputs.device, dtype=outputs.dtype)
        return outputs + self.noise_sd * noise.normal_(generator=generator)

    def uncertainty(self, outputs: Tensor) -> Uncertainty:
        """Variance of the noise, and of the sampled networks' means (target^2)."""
        return uncertainty.of_numbers(outputs, self.noise_sd)

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Root mean squared error, in the units of the targets."""
        return {"rmse": ((prediction - y) ** 2).mean((-2, -1)).sqrt()}

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """Random signs / noise_sd, which all members share."""
        return (_signs(outputs, generator) / self.noise_sd).expand_as(outputs)

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Vectors e_k / noise_sd, whose outer products sum to the Hessian of the nll in the outputs."""
        for k in range(self.outputs):
            root = torch.zeros_like(outputs)
            root[..., k] = 1 / self.noise_sd
            yield root


def _signs(outputs: Tensor, generator: torch.Generator) -> Tensor:
    """1 or -1 with equal probability for each output of each example, (batch, *shape)."""
    return outputs.new_empty(outputs.shape[1:]).bernoulli_(generator=generator).mul_(2).sub_(1)


def _calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    """Expected calibration error: mean gap between confidence and accuracy over equal bins of confidence (Guo et al.
    2017).
    """
    index = (confidence.nan_to_num() * bins).long().clamp(max=bins - 1)  # NaN falls into no bin and makes the sum NaN
    gap = right - confidence
    # one sum per bin instead of index_add: on a GPU the order of its additions varies between runs
    gaps = [torch.where(index == b, gap, 0).sum(-1).abs() for b in range(bins)]
    return torch.stack(gaps).sum(0) / confidence.shape[-1]
