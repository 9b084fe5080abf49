"""What every likelihood is: what the outputs of a network mean, with derivatives, samples and scores.

Shapes: outputs are (member, batch, *shape), targets (batch, *target) or, if sampled, (member, batch, *target);
quantities per example are (member, batch).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

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

    def entropy(self, prediction: Tensor) -> Tensor | None:
        """Entropy of each prediction (nat), shaped as its label; None without classes.

        With it and `label`, uncertainty is scored: whether it tells errors, and examples of another data set.
        """
        return None

    def with_target(self, values: Tensor, y: Tensor) -> Tensor:
        """Of a value for each prediction, (member, batch, ...), those whose target is not missing, (member, ...)."""
        return values

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


def unfit_examples(bad: Tensor, values: Tensor, words: str) -> Iterator[str]:
    """The message with the first example that violates it, if there is one; bad and values are (examples, ...)."""
    rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    if rows.any():
        at = int(rows.int().argmax())
        value = values[at].flatten()[bad[at].flatten()][0]
        yield f"{words}; example {at}, counted from 0, has {value.item()} ({int(rows.sum())} such)"
