"""Several tasks in a row: images whose pixels are shuffled differently in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Dataset
from ebayes_plugins.datasets.images import AbstractSplit, Digits, Mnist5k

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Likelihood

SOURCES: dict[str, AbstractSplit] = {"digits": Digits(), "mnist5k": Mnist5k()}


class Permuted(Dataset):
    """Several tasks in a row: each shuffles the pixels of all images in a way of its own (Goodfellow et al. 2014).

    The first task is the data set itself. The epochs are divided among the tasks, and the network is not told which one
    it sees. Networks are measured on the last task; the accuracy on each is recorded throughout.
    """

    kind: Literal["permuted"] = "permuted"
    source: Literal["digits", "mnist5k"] = Field("digits", description="the images")
    tasks: int = Field(3, ge=2, le=50, description="number of tasks, the first of which is the images as they are")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the permutations")

    @property
    def _source(self) -> AbstractSplit:
        return SOURCES[self.source]

    def _permutation(self, task: int, pixels: int) -> np.ndarray:
        """The pixel that each place shows in a task."""
        return np.random.default_rng([self.seed, task]).permutation(pixels) if task else np.arange(pixels)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Pixels (tasks * examples, pixels) and labels, one task after the other."""
        import torch

        x, y = self._source.load(split)
        return torch.cat([x[:, self._permutation(t, x.shape[1])] for t in range(self.tasks)]), y.repeat(self.tasks)

    def prepare(self, x: Any) -> Tensor:
        """Pixels of images as they are, in [0, 1], shuffled as in the last task."""
        found = self._source.prepare(x)
        return found[:, self._permutation(self.tasks - 1, found.shape[1])]

    def stages(self, split: str) -> Tensor:
        """The task of each example."""
        import torch

        return torch.arange(self.tasks).repeat_interleave(len(self._source.load(split)[1]))

    def task(self) -> Likelihood:
        """Softmax over the classes of the images."""
        return self._source.task()
