"""The data of a data set, checked once before training, and a digest that identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

    @property
    def examples(self) -> int:
        """Number of training examples N; the objective is summed over them."""
        return len(self.x)


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
