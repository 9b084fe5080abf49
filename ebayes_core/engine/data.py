"""What a data set gave, looked at once before it is trained on, and a digest that tells it from any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Classification, Task
from ebayes_core.contract.slots import Dataset
from ebayes_core.errors import DataError

#: what numbers are digested as, whatever type they are loaded in or trained in
CANONICAL = {True: torch.float32, False: torch.int64}


@dataclass(frozen=True)
class Data:
    """A data set on its device, in the run's floating type."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    task: Task
    digest: str = ""  #: of the data as loaded, whatever type they are trained in

    @property
    def examples(self) -> int:
        """Number of training examples, N: the objective is on the scale of their sum."""
        return len(self.x)


def load(dataset: Dataset, task: Task) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and targets of the training set, then of the test set, as the data set gives them.

    Raises DataError naming the data set, the split and the example, where they do not fit the contract of
    `Dataset.load`, and TypeError where that gives no tensors at all.
    """
    train, test = (_split(dataset, task, split) for split in ("train", "test"))
    if train[0].shape[1] != test[0].shape[1]:
        raise DataError(f"{_name(dataset)}: train and test have different numbers of inputs")
    return *train, *test


def _split(dataset: Dataset, task: Task, split: str) -> tuple[Tensor, Tensor]:
    found = dataset.load(split)
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(t, Tensor) for t in found)):
        raise TypeError("load must give two tensors, inputs and targets")
    for fault in faults(task, found):
        raise DataError(f"{_name(dataset)}: load('{split}') gave what cannot be trained on: {fault}")
    return found


def _name(dataset: Dataset) -> str:
    return f"the data set '{dataset.kind}' ({type(dataset).__module__})"


def faults(task: Task, found: tuple[Tensor, Tensor]) -> Iterator[str]:
    """What is wrong with the inputs and targets of a split, the worst first; nothing where they fit the task."""
    x, y = found
    if not (x.ndim == 2 and x.is_floating_point()):
        yield f"inputs must be (examples, inputs), floating, not {tuple(x.shape)} {x.dtype}"
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
        wanted = f"targets of this regression are (examples, {task.outputs}), floating and finite"
        shaped = y.ndim == 2 and y.shape[1] == task.outputs and y.is_floating_point()
        outside = lambda: ~y.isfinite().all(-1)
    if not shaped:
        yield f"{wanted}, not {tuple(y.shape)} {y.dtype}"
    else:
        yield from _unfit(outside(), y, wanted)


def _spoilt(x: Tensor) -> bool:
    """Whether anything is not finite: least and greatest are NaN where any is, and need no memory."""
    return bool(x.numel()) and not torch.stack(torch.aminmax(x.detach())).isfinite().all()


def _unfit(bad: Tensor, values: Tensor, words: str) -> Iterator[str]:
    """The words with the first example that is unfit, if there is one."""
    if bad.any():
        at = int(bad.int().argmax())
        row = values[at].flatten()
        value = row[~row.isfinite()][:1] if row.is_floating_point() else row
        yield f"{words}; example {at}, counted from 0, has {value.item()} ({int(bad.sum())} such)"


def digest(parts: Sequence[Tensor]) -> str:
    """SHA-256 of shapes and numbers, in 64 hexadecimal digits.

    Floating numbers count to single precision, so that runs in float32 and float64 agree, and so do processors whose
    linear algebra rounds a data set that is generated in other last bits.
    """
    found = hashlib.sha256()
    for part in parts:
        plain = part.detach().cpu().to(CANONICAL[part.is_floating_point()]).contiguous().numpy()
        found.update(f"{plain.dtype.kind}{plain.shape}".encode())
        found.update(plain.astype(plain.dtype.newbyteorder("<"), copy=False).data)
    return found.hexdigest()
