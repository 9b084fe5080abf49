"""The data of a data set, checked once before training, and a digest that identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Classification, Task
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
    task: Task
    digest: str = ""  #: digest of the data as loaded, whatever type they are trained in

    @property
    def examples(self) -> int:
        """Number of training examples N; the objective is summed over them."""
        return len(self.x)


def load(dataset: Dataset, task: Task) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and targets of the training set, then of the test set.

    Raises DataError naming the data set, the split and the example if they violate the contract of `Dataset.load`, and
    TypeError if they are not tensors.
    """
    train, test = (_split(dataset, task, split) for split in ("train", "test"))
    if train[0].shape[1] != test[0].shape[1]:
        raise DataError(f"{_name(dataset)}: train and test have different numbers of inputs")
    return *train, *test


def _split(dataset: Dataset, task: Task, split: str) -> tuple[Tensor, Tensor]:
    found = dataset.load(split)
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(t, Tensor) for t in found)):
        raise TypeError("load must return two tensors, inputs and targets")
    for fault in faults(task, found):
        raise DataError(f"{_name(dataset)}: load('{split}') returned data that cannot be trained on: {fault}")
    return found


def _name(dataset: Dataset) -> str:
    return f"the data set '{dataset.kind}' ({type(dataset).__module__})"


def faults(task: Task, found: tuple[Tensor, Tensor]) -> Iterator[str]:
    """What is wrong with the inputs and targets of a split, most serious first; nothing if they fit the task."""
    x, y = found
    if not (x.ndim == 2 and x.is_floating_point()):
        yield f"inputs must be (examples, inputs), floating point, not {tuple(x.shape)} {x.dtype}"
    elif not len(x) == len(y) > 0:
        yield f"{len(x)} inputs and {len(y)} targets"
    else:
        yield from _unfit(~x.isfinite().all(-1), x, "inputs are not all finite") if _spoilt(x) else ()
        yield from _targets(task, y)


def _targets(task: Task, y: Tensor) -> Iterator[str]:
    if isinstance(task, Classification):
        wanted = f"targets of a classification are (examples,) int64 from 0 to {task.classes - 1}"
        shaped, outside = y.ndim == 1 and y.dtype == torch.int64, lambda: (y < 0) | (y >= task.classes)
    else:
        wanted = f"targets of this regression are (examples, {task.outputs}), floating point and finite"
        shaped = y.ndim == 2 and y.shape[1] == task.outputs and y.is_floating_point()
        outside = lambda: ~y.isfinite().all(-1)
    if not shaped:
        yield f"{wanted}, not {tuple(y.shape)} {y.dtype}"
    else:
        yield from _unfit(outside(), y, wanted)


def _spoilt(x: Tensor) -> bool:
    """Whether any value is not finite: minimum and maximum are NaN if any value is, and take no extra memory."""
    return bool(x.numel()) and not torch.stack(torch.aminmax(x.detach())).isfinite().all()


def _unfit(bad: Tensor, values: Tensor, words: str) -> Iterator[str]:
    """The message with the first example that violates it, if there is one."""
    if bad.any():
        at = int(bad.int().argmax())
        row = values[at].flatten()
        value = row[~row.isfinite()][:1] if row.is_floating_point() else row
        yield f"{words}; example {at}, counted from 0, has {value.item()} ({int(bad.sum())} such)"


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
