"""The slot `dataset`: examples and their likelihood."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Task


class Dataset(Plugin):
    """Examples, and the task: classification or regression."""

    slot: ClassVar[str] = "dataset"

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, inputs), floating point, and targets of the split "train" or "test".

        Targets are (examples,) int64 for classification, (examples, outputs) floating point for regression. Repeated
        calls return the same values.
        """

    @abstractmethod
    def task(self) -> Task:
        """`Classification(classes)` or `Regression(outputs, noise_sd)`, of `ebayes_core.contract.likelihoods`."""
