"""The slot `dataset`: examples and their likelihood."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood


class Dataset(Plugin):
    """Examples, and the likelihood of their targets: classification, regression, or another.

    A data set that reads files has two fields by convention: `digest`, of their content, by which its results are
    identified, and `folder`, where they are, which identifies nothing. A validator calls
    `ebayes_core.contract.files.located` to find both.
    """

    slot: ClassVar[str] = "dataset"

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, *shape), floating point, and targets (examples, *target) of the split "train" or "test".

        The shape of an example is (inputs,), (channels, rows, columns) or (steps, inputs); a network says which it
        takes. Targets are what the likelihood needs: (examples,) int64 for classification, (examples, outputs) floating
        point for regression. Repeated calls return the same values.
        """

    def stages(self, split: str) -> Tensor | None:
        """The stage of training in which each example is shown, (examples,) int64 from 0; None if in all of it.

        For several tasks in a row. The epochs are divided among the stages; all have equally many training examples.
        """
        return None

    def prepare(self, x: Any) -> Tensor:
        """Inputs as a network sees them, (examples, *shape), from those of new examples as they were before `load`.

        x: an array, a tensor, or a table of pandas. What `load` does to inputs, this has to do as well: scale them as
        the training set, or lay them out. By default they are taken as they are. Raises ValueError for what cannot be
        such inputs; their shape is checked elsewhere.
        """
        import numpy as np
        import torch

        found = torch.as_tensor(x if isinstance(x, torch.Tensor) else np.asarray(x))
        return found if found.is_floating_point() else found.to(torch.get_default_dtype())

    def class_names(self) -> tuple[str, ...] | None:
        """What the classes are called, in the order of the outputs; None if they are just 0, 1, ..."""
        return None

    @abstractmethod
    def task(self) -> Likelihood:
        """`Classification(classes)` or `Regression(outputs, noise_sd)` of `ebayes_core.contract.likelihoods`, one of
        `ebayes_core.contract.compound` made of them, or a likelihood of one's own.
        """
