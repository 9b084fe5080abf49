"""Likelihoods made of others: one at every step of a sequence, with a mask, and several side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood, unfit_examples
from ebayes_core.contract.uncertainty import Uncertainty

MISSING = -1  #: the label of a step without a loss; for targets that are floating point it is NaN


@dataclass(frozen=True)
class Stepwise(Likelihood):
    """The same likelihood at every step of a sequence; the nll of an example is the sum over its steps.

    Targets are (batch, steps, *target of one step). A step whose target is missing (-1 for labels, NaN for numbers) has
    no loss, so sequences may differ in length, or be judged at their end only.
    """

    likelihood: Likelihood
    steps: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The outputs of each step."""
        return (self.steps, *self.likelihood.shape)

    @property
    def target(self) -> tuple[int, ...]:
        """The target of each step."""
        return (self.steps, *self.likelihood.target)

    @property
    def integer(self) -> bool:
        """As for one step."""
        return self.likelihood.integer

    def unfit(self, y: Tensor) -> Iterator[str]:
        """Targets of a wrong shape or type, examples without any target, and what is wrong at single steps."""
        wrong = self.misshapen(y)
        yield from wrong or self._unfit_steps(y)

    def wanted(self) -> str:
        """The targets of one step, and how one is left out."""
        missing = str(MISSING) if self.integer else "NaN"
        return f"{super().wanted()} at each of {self.steps} steps, {missing} where a step has no loss"

    def _unfit_steps(self, y: Tensor) -> Iterator[str]:
        given, filled = self._given(y)
        yield from unfit_examples(
            ~given.any(1), y.flatten(1)[:, 0], "every example needs a target at one step at least"
        )
        for fault in self.likelihood.unfit(filled.flatten(0, 1)[given.flatten()]):
            yield f"at the steps that have a target, numbered over all examples: {fault}"

    def _given(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Which steps have a target, (..., steps), and the targets with zeros in place of the missing ones."""
        missing = y == MISSING if self.integer else y.isnan()
        for _ in self.likelihood.target:
            missing = missing.all(-1)
        hidden = missing[(..., *[None] * len(self.likelihood.target))]
        return ~missing, y.masked_fill(hidden, 0)

    def _flat(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, targets and mask with the steps as further examples."""
        given, filled = self._given(y)
        first = filled.ndim - len(self.target) - 1
        return outputs.flatten(1, 2), filled.flatten(first, first + 1), given

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Sum over the steps that have a target (nat)."""
        flat, targets, given = self._flat(outputs, y)
        return self._apart(self.likelihood.nll(flat, targets)).where(given, 0).sum(-1)

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Derivative of the nll in the outputs of each step; zero where there is no target."""
        flat, targets, given = self._flat(outputs, y)
        return self._masked(self._apart(self.likelihood.residual(flat, targets)), given)

    def _apart(self, flat: Tensor) -> Tensor:
        """(member, batch * steps, ...) as (member, batch, steps, ...)."""
        steps: Tensor = flat.unflatten(1, (-1, self.steps))
        return steps

    def _masked(self, values: Tensor, given: Tensor) -> Tensor:
        return values.where(given[(..., *[None] * len(self.likelihood.shape))], 0)

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor | None:
        """Targets of all steps, less those that y lacks."""
        found = self.likelihood.sample(outputs.flatten(1, 2), generator)
        if found is None:
            return None
        steps = self._apart(found)
        if y is None:
            return steps
        given = self._given(y)[0][(..., *[None] * len(self.likelihood.target))]
        return steps.where(given, MISSING if self.integer else math.nan)

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """The random root of each step; zero where there is no target."""
        found = self._apart(self.likelihood.random_root(outputs.flatten(1, 2), generator))
        return found if y is None else self._masked(found, self._given(y)[0])

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor] | None:
        """The roots of each step, which are zero at all others."""
        return self._roots(outputs, y) if self.likelihood.has_roots else None

    def _roots(self, outputs: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        given = None if y is None else self._given(y)[0]
        for step in range(self.steps):
            for root in self.likelihood.curvature_roots(outputs[:, :, step]) or ():
                placed = torch.zeros_like(outputs)
                placed[:, :, step] = root
                yield placed if given is None else self._masked(placed, given)

    def predict(self, outputs: Tensor) -> Tensor:
        """The prediction of each step."""
        return self._apart(self.likelihood.predict(outputs.flatten(1, 2)))

    @property
    def prediction_units(self) -> str:
        """Those of each step."""
        return self.likelihood.prediction_units

    def averaged(self, outputs: Tensor) -> Tensor | None:
        """The averaged outputs of each step."""
        found = self.likelihood.averaged(outputs.flatten(1, 2))
        return None if found is None else self._by_step(found)

    def label(self, prediction: Tensor) -> Tensor | None:
        """The most probable class at each step."""
        found = self.likelihood.label(prediction.flatten(1, 2))
        return None if found is None else self._apart(found)

    def entropy(self, prediction: Tensor) -> Tensor | None:
        """The entropy of each step."""
        found = self.likelihood.entropy(prediction.flatten(1, 2))
        return None if found is None else self._apart(found)

    def with_target(self, values: Tensor, y: Tensor) -> Tensor:
        """Those of the steps that have a target, (member, steps of all examples, ...)."""
        return values[:, self._given(y)[0]]

    def uncertainty(self, outputs: Tensor) -> Uncertainty | None:
        """The parts at each step, (batch, steps, ...)."""
        found = self.likelihood.uncertainty(outputs.flatten(1, 2))
        return found and Uncertainty(self._by_step(found[0]), self._by_step(found[1]), found.units)

    def _by_step(self, flat: Tensor) -> Tensor:
        """(batch * steps, ...) as (batch, steps, ...)."""
        return self._apart(flat[None])[0]

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The scores of the likelihood over all steps that have a target, each counted once."""
        flat, targets, given = self._flat(prediction, y)
        return self.likelihood.scores(flat[:, given.flatten()], targets[given.flatten()])

    def accuracy(self, outputs: Tensor, y: Tensor) -> Tensor | None:
        """Share of correct answers among the steps that have a target."""
        flat, targets, given = self._flat(outputs, y)
        return self.likelihood.accuracy(flat[:, given.flatten()], targets[given.flatten()])


@dataclass(frozen=True)
class Several(Likelihood):
    """Several read-outs side by side, independent given the outputs: their nlls add up.

    The outputs of the parts, flattened, follow each other along one axis, and so do their targets. Targets are int64 if
    all parts have labels; otherwise floating point, and labels are whole numbers among them.
    """

    parts: tuple[Likelihood, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The outputs of all parts, one after the other."""
        return (sum(part.outputs for part in self.parts),)

    @property
    def target(self) -> tuple[int, ...]:
        """The targets of all parts, one after the other."""
        return (sum(math.prod(part.target) for part in self.parts),)

    @property
    def integer(self) -> bool:
        """Only if every part has labels."""
        return all(part.integer for part in self.parts)

    def _outputs(self, outputs: Tensor) -> list[Tensor]:
        """The outputs of each part, in its own shape."""
        blocks = outputs.split([part.outputs for part in self.parts], -1)
        return [block.unflatten(-1, part.shape) for part, block in zip(self.parts, blocks, strict=True)]

    def _targets(self, y: Tensor) -> list[Tensor]:
        """The targets of each part, in its own shape and type."""
        blocks = y.split([math.prod(part.target) for part in self.parts], -1)
        return [_shaped(block, part) for part, block in zip(self.parts, blocks, strict=True)]

    def _each(self, outputs: Tensor, y: Tensor) -> Iterator[tuple[Likelihood, Tensor, Tensor]]:
        return zip(self.parts, self._outputs(outputs), self._targets(y), strict=True)

    def unfit(self, y: Tensor) -> Iterator[str]:
        """What is wrong with the targets of each part."""
        yield from self.misshapen(y) or self._unfit_parts(y)

    def _unfit_parts(self, y: Tensor) -> Iterator[str]:
        blocks = y.split([math.prod(part.target) for part in self.parts], -1)
        for number, (part, block) in enumerate(zip(self.parts, blocks, strict=True), 1):
            if part.integer and (block != block.floor()).any():
                yield f"read-out {number}: labels are whole numbers"
            else:
                yield from (f"read-out {number}: {fault}" for fault in part.unfit(_shaped(block, part)))

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Sum over the parts (nat)."""
        return torch.stack([part.nll(o, t) for part, o, t in self._each(outputs, y)]).sum(0)

    def residual(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The residuals of the parts, one after the other."""
        return torch.cat([part.residual(o, t).flatten(2) for part, o, t in self._each(outputs, y)], -1)

    def sample(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor | None:
        """The samples of the parts, one after the other; None if one of them has no sampler."""
        known = [None] * len(self.parts) if y is None else self._targets(y)
        found = [
            part.sample(o, generator, t) for part, o, t in zip(self.parts, self._outputs(outputs), known, strict=True)
        ]
        flat = [t.flatten(2) if t.ndim > 2 else t[..., None] for t in found if t is not None]
        dtype = torch.int64 if self.integer else outputs.dtype
        return torch.cat([t.to(dtype) for t in flat], -1) if len(flat) == len(found) else None

    def random_root(self, outputs: Tensor, generator: torch.Generator, y: Tensor | None = None) -> Tensor:
        """The random roots of the parts, one after the other."""
        known = [None] * len(self.parts) if y is None else self._targets(y)
        each = zip(self.parts, self._outputs(outputs), known, strict=True)
        return torch.cat([part.random_root(o, generator, t).flatten(2) for part, o, t in each], -1)

    def curvature_roots(self, outputs: Tensor, y: Tensor | None = None) -> Iterator[Tensor] | None:
        """The roots of each part, which are zero in the outputs of the others; None if one of them has none."""
        return self._roots(outputs, y) if all(part.has_roots for part in self.parts) else None

    def _roots(self, outputs: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        known = [None] * len(self.parts) if y is None else self._targets(y)
        first = 0
        for part, block, targets in zip(self.parts, self._outputs(outputs), known, strict=True):
            for root in part.curvature_roots(block, targets) or ():
                placed = torch.zeros_like(outputs)
                placed[..., first : first + part.outputs] = root.flatten(2)
                yield placed
            first += part.outputs

    def predict(self, outputs: Tensor) -> Tensor:
        """The predictions of the parts, one after the other."""
        found = [part.predict(o) for part, o in zip(self.parts, self._outputs(outputs), strict=True)]
        return torch.cat([block.flatten(2) for block in found], -1)

    @property
    def prediction_units(self) -> str:
        """Those of all parts, if they agree."""
        return " or ".join(dict.fromkeys(part.prediction_units for part in self.parts))

    def averaged(self, outputs: Tensor) -> Tensor | None:
        """The averaged outputs of the parts, one after the other; None if one of them has none."""
        found = [part.averaged(o) for part, o in zip(self.parts, self._outputs(outputs), strict=True)]
        known = [block.flatten(1) for block in found if block is not None]
        return torch.cat(known, -1) if len(known) == len(found) else None

    def scores(self, prediction: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The scores of each read-out, with its number, and the mean accuracy of those that have one."""
        each = [part.scores(p, t) for part, p, t in self._each(prediction, y)]
        named = {f"{name}_readout_{i}": score for i, scores in enumerate(each, 1) for name, score in scores.items()}
        right = [scores["accuracy"] for scores in each if "accuracy" in scores]
        return named | ({"accuracy": torch.stack(right).mean(0)} if right else {})

    def accuracy(self, outputs: Tensor, y: Tensor) -> Tensor | None:
        """Mean accuracy of the read-outs that have one."""
        found = [part.accuracy(o, t) for part, o, t in self._each(outputs, y)]
        right = [accuracy for accuracy in found if accuracy is not None]
        return torch.stack(right).mean(0) if right else None


def _shaped(block: Tensor, part: Likelihood) -> Tensor:
    """A part's targets (..., numbers) in its own shape and type."""
    shaped = block.unflatten(-1, part.target) if part.target else block[..., 0]
    return shaped.long() if part.integer else shaped
