"""The data of a data set, checked once before training, and a digest that identifies them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood, unfit_examples
from ebayes_core.contract.slots import Dataset
from ebayes_core.errors import DataError

#: type in which numbers are digested, whatever type they are loaded or trained in (floating point or not)
CANONICAL = {True: torch.float32, False: torch.int64}


@dataclass(frozen=True)
class Data:
    """A data set on its device, in the floating-point type of the run."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    task: Likelihood
    digest: str = ""  #: digest of the data as loaded, whatever type they are trained in
    stage: Tensor | None = None  #: (examples,) int64, when each training example is shown; None: at any time
    stage_test: Tensor | None = None  #: the same of the test examples
    second: tuple[Tensor, Tensor | None] | None = None  #: inputs and targets of a second data set; None: `shuffled`

    @cached_property
    def stages(self) -> int:
        """Number of stages of training, each with data of its own."""
        return 1 if self.stage is None else int(self.stage.max()) + 1

    @property
    def examples(self) -> int:
        """Number of training examples N of a stage; the objective is summed over them."""
        return len(self.x) // self.stages

    @cached_property
    def parts(self) -> list[Data]:
        """The data of each stage alone."""
        return [self._part(k) for k in range(self.stages)]

    @cached_property
    def tests(self) -> list[Data]:
        """The same with the test data of each stage alone; none if there is one stage. All may be shown together."""
        if self.stage_test is None:
            return []
        which = [self.stage_test == k for k in range(int(self.stage_test.max()) + 1)]
        return [replace(self, x_test=self.x_test[one], y_test=self.y_test[one]) for one in which]

    def _part(self, k: int) -> Data:
        if self.stage is None or self.stage_test is None:
            return self
        train, test = self.stage == k, self.stage_test == k
        examples = self.x[train], self.y[train], self.x_test[test], self.y_test[test]
        return Data(*examples, self.task, self.digest, second=self.second)

    @cached_property
    def unfamiliar(self) -> tuple[Tensor, Tensor | None]:
        """Inputs of a second data set, which networks are not trained for, and its targets, if any can be missing.

        By default the test inputs, shuffled, with their targets.
        """
        return self.second or (shuffled(self.x_test), self.y_test)


def shuffled(x: Tensor) -> Tensor:
    """Examples (examples, *shape) whose numbers are moved in the same way in all, along one random cycle, so that none
    stays.

    Each example keeps its numbers, so that neither their size nor their spread tells it from one of the data set; only
    where they stand does: pixels in an image, steps and inputs in a sequence.
    """
    order = np.random.default_rng(0).permutation(math.prod(x.shape[1:]))
    source = np.empty_like(order)
    source[order] = np.roll(order, 1)
    return x.flatten(1)[:, torch.from_numpy(source).to(x.device)].view_as(x)


def load_second(dataset: Dataset, inputs: tuple[int, ...], task: Likelihood) -> tuple[Tensor, Tensor | None]:
    """Test inputs of a second data set, and its targets if they are of the same kind, so that some may be missing.

    Raises DataError if its examples are not of the shape of those that networks are trained on.
    """
    x, y = _split(dataset, dataset.task(), "test")
    if tuple(x.shape[1:]) != inputs:
        raise DataError(
            f"measurement.ood: examples of {_name(dataset)} have shape {tuple(x.shape[1:])}, and those that the "
            f"networks are trained on {inputs}; choose a data set, or a layout of it, with examples of this shape, or "
            "leave measurement.ood out"
        )
    return x, None if task.misshapen(y) else y


def load(dataset: Dataset, task: Likelihood) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and targets of the training set, then of the test set.

    Raises DataError naming the data set, the split and the example if they violate the contract of `Dataset.load`, and
    TypeError if they are not tensors.
    """
    train, test = (_split(dataset, task, split) for split in ("train", "test"))
    shapes = [tuple(x.shape[1:]) for x, _ in (train, test)]
    if shapes[0] != shapes[1]:
        raise DataError(f"{_name(dataset)}: examples of train and test differ in shape: {shapes[0]} and {shapes[1]}")
    return *train, *test


def stages(dataset: Dataset, examples: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
    """The stage of each training and of each test example, or None. Raises DataError if they do not fit.

    examples: number of training and of test examples.
    """
    found = tuple(dataset.stages(split) for split in ("train", "test"))
    for split, stage, count in zip(("train", "test"), found, examples, strict=True):
        for fault in _unfit_stages(stage, count, split == "train"):
            raise DataError(f"{_name(dataset)}: stages('{split}') {fault}")
    train, test = found
    if (train is None) != (test is None) or (train is not None and test is not None and train.max() != test.max()):
        raise DataError(f"{_name(dataset)}: train and test differ in their stages")
    return train, test


def _unfit_stages(stage: Tensor | None, examples: int, equal: bool) -> Iterator[str]:
    """What is wrong with the stages of a split; equal: whether all need the same number of examples."""
    if stage is None:
        return
    if not (stage.shape == (examples,) and stage.dtype == torch.int64 and stage.min() >= 0):
        yield f"must be ({examples},) int64 from 0, or None"
        return
    counts = torch.bincount(stage)
    if not counts.all():
        yield f"has no example of stage {int(counts.argmin())}"
    elif equal and (counts != counts[0]).any():
        yield f"gives the stages {', '.join(map(str, counts.tolist()))} examples: all need equally many"


def _split(dataset: Dataset, task: Likelihood, split: str) -> tuple[Tensor, Tensor]:
    found = dataset.load(split)
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(t, Tensor) for t in found)):
        raise TypeError("load must return two tensors, inputs and targets")
    for fault in faults(task, found):
        raise DataError(f"{_name(dataset)}: load('{split}') returned data that cannot be trained on: {fault}")
    return found


def _name(dataset: Dataset) -> str:
    return f"the data set '{dataset.kind}' ({type(dataset).__module__})"


def faults(task: Likelihood, found: tuple[Tensor, Tensor]) -> Iterator[str]:
    """What is wrong with the inputs and targets of a split, most serious first; nothing if they fit the task."""
    x, y = found
    if not (x.ndim > 1 and x.is_floating_point()):
        yield f"inputs must be (examples, *shape), floating point, not {tuple(x.shape)} {x.dtype}"
    elif not (y.ndim and len(x) == len(y) > 0):
        yield f"{len(x)} inputs and {len(y) if y.ndim else 0} targets"
    else:
        yield from unfit_examples(~x.isfinite(), x, "inputs are not all finite") if _spoilt(x) else ()
        yield from task.unfit(y)


def _spoilt(x: Tensor) -> bool:
    """Whether any value is not finite: minimum and maximum are NaN if any value is, and take no extra memory."""
    return bool(x.numel()) and not torch.stack(torch.aminmax(x.detach())).isfinite().all()


def digest(parts: Sequence[Tensor]) -> str:
    """SHA-256 of shapes and numbers, as 64 hexadecimal digits.

    Floating-point numbers are rounded to single precision, so that runs in float32 and float64 agree, and so do
    processors on which a generated data set differs by rounding.
    """
    found = hashlib.sha256()
    for part in parts:
        plain = part.detach().cpu().to(CANONICAL[part.is_floating_point()]).contiguous().numpy()
        found.update(f"{plain.dtype.kind}{plain.shape}".encode())
        found.update(plain.astype(plain.dtype.newbyteorder("<"), copy=False).data)
    return found.hexdigest()
