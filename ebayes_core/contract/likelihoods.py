"""Likelihoods: what the outputs of a network mean, with derivatives, samples and scores.

Shapes: outputs are (member, batch, *shape), targets (batch, *target) or, if sampled, (member, batch, *target);
quantities per example are (member, batch). `ebayes_core.contract.compound` combines likelihoods: one at every step of
a sequence, or several side by side.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ebayes_core.contract import uncertainty
from ebayes_core.contract.uncertainty import Uncertainty


class Likelihood(ABC):
    """The probability of the targets given a network's outputs, -log P(y | outputs) in nat.

    A plugin's own likelihood is a frozen dataclass that defines `shape` and `nll`. What it does not define is left out:
    without `sample` there is no true Fisher information and no solver for sigma, without `curvature_roots` no
    Gauss-Newton diagonal, without `scores` only the nll is reported. `ebayes_core.testing.check_likelihood` tests one.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the outputs of one example: (classes,), (outputs,), or (steps, outputs) for sequences."""

    @abstractmethod
    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Negative log-likelihood of each example (nat), (member, batch), differentiable in the outputs."""

    # a cached property can be overridden by a field of a dataclass, a property cannot
    @cached_property
    def outputs(self) -> int:
        """Number of outputs of one example."""
        return math.prod(self.shape)

    @property
    def target(self) -> tuple[int, ...]:
        """Shape of the target of one example; by default that of its outputs."""
        return self.shape

    @property
    def integer(self) -> bool:
        """Whether targets are int64, like labels; otherwise they are floating point."""
        return False

    def unfit(self, y: Tensor) -> Iterator[str]:
        """What is wrong with targets (examples, *target), most serious first; nothing if they fit."""
        yield from self.misshapen(y) or unfit_examples(~y.isfinite(), y, self.wanted())

    def wanted(self) -> str:
        """The targets that this likelihood needs, in words, for messages about others."""
        sizes = ", ".join(map(str, ("examples", *self.target)))
        return f"targets are ({sizes}{',' * (not self.target)}), {'int64' if self.integer else 'floating and finite'}"

    def misshapen(self, y: Tensor) -> list[str]:
        """What is wrong with the shape or the type of targets."""
        numbers = y.dtype == torch.int64 if self.integer else y.is_floating_point()
        fits = y.ndim > 0 and tuple(y.shape[1:]) == self.target and numbers
        return [] if fits else [f"{self.wanted()}, not {tuple(y.shape)} {y.dtype}"]

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll of each example in its outputs, (member, batch, *shape); by default from autograd."""
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            return torch.autograd.grad(self.nll(leaf, y).sum(), leaf)[0]

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor | None:
        """Targets (member, batch, *target) sampled from the predictive distribution; None if there is no sampler.

        One draw of noise serves all members, so that they stay comparable. y: the targets of the data, where some of
        them may be missing: those are missing in the sample too.
        """
        return None

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """A random vector, shaped as the outputs, whose outer product averages to their Fisher information (Eq. 31).

        By default the residual of sampled targets. Any other such vector serves the solver for sigma as well, and the
        better the less its size varies: where the model is confident, a sampled label is rarely a surprise, but then
        a large one. y: as for `sample`.
        """
        sampled = self.sample(outputs, generator, y)
        assert sampled is not None, "the preflight has refused likelihoods that cannot be sampled"
        return self.residual(outputs, sampled)

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor] | None:
        """Vectors L_k, shaped as the outputs, with sum_k L_k L_k^T = the Hessian of the nll in the outputs.

        None if they are not known. y: as for `sample`.
        """
        return None

    def predict(self, outputs: Tensor) -> Tensor:
        """The quantity that an ensemble averages; by default the outputs themselves."""
        return outputs

    @property
    def prediction_units(self) -> str:
        """Units of what `predict` returns."""
        return "target"

    def averaged(self, outputs: Tensor) -> Tensor | None:
        """Outputs (batch, *shape) that predict the average of the predictions of sampled networks, (samples, batch,
        *shape).

        By default the mean of the outputs; None if predictions are something else and this is not defined.
        """
        return outputs.mean(0) if type(self).predict is Likelihood.predict else None

    def label(self, prediction: Tensor) -> Tensor | None:
        """The most probable class of each prediction, int64 without the axis of classes; None without classes."""
        return None

    def uncertainty(self, outputs: Tensor) -> Uncertainty | None:
        """What the predictions of sampled networks, outputs (samples, batch, *shape), are uncertain of, in two parts.

        Both (batch, ...). None if the parts are not known.
        """
        return None

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Scores of predictions (member, examples, ...), by name; (member,) each."""
        return {}

    def accuracy(self, outputs: Tensor, y: Tensor) -> Tensor | None:
        """Share of correct answers in a batch, (member,); None if answers are not right or wrong."""
        return None

    @cached_property
    def can_sample(self) -> bool:
        """Whether targets can be sampled."""
        return self.sample(torch.zeros(1, 1, *self.shape), torch.Generator()) is not None

    @cached_property
    def has_roots(self) -> bool:
        """Whether the roots of its curvature are known."""
        return self.curvature_roots(torch.zeros(1, 1, *self.shape)) is not None


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


def unfit_examples(bad: Tensor, values: Tensor, words: str) -> Iterator[str]:
    """The message with the first example that violates it, if there is one; bad and values are (examples, ...)."""
    rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    if rows.any():
        at = int(rows.int().argmax())
        value = values[at].flatten()[bad[at].flatten()][0]
        yield f"{words}; example {at}, counted from 0, has {value.item()} ({int(rows.sum())} such)"


def _calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Tensor:
    """Expected calibration error: mean gap between confidence and accuracy over equal bins of confidence (Guo et al.
    2017).
    """
    index = (confidence.nan_to_num() * bins).long().clamp(max=bins - 1)  # NaN falls into no bin and makes the sum NaN
    gap = right - confidence
    # one sum per bin instead of index_add: on a GPU the order of its additions varies between runs
    gaps = [torch.where(index == b, gap, 0).sum(-1).abs() for b in range(bins)]
    return torch.stack(gaps).sum(0) / confidence.shape[-1]
