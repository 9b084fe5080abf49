"""The slot `dataset`: examples and their likelihood."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood


#: key of the validation context: the folder of the spec, to which names of files in its fields are relative
FOLDER = "folder"


class Dataset(Plugin):
    """Examples, and the likelihood of their targets: classification, regression, or another.

    A data set that reads files has two fields by convention: `digest`, of their content, by which its results are
    identified, and `folder`, where they are, which identifies nothing. A validator finds the folder of the spec under
    FOLDER in its context.
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

    @abstractmethod
    def task(self) -> Likelihood:
        """`Classification(classes)` or `Regression(outputs, noise_sd)` of `ebayes_core.contract.likelihoods`, one of
        `ebayes_core.contract.compound` made of them, or a likelihood of one's own.
        """
