"""A linear teacher of two layers: the curvature of a student's loss is known exactly, for every sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from ebayes_core.contract.slots import Dataset
from ebayes_plugins.toys import orthogonal, random_of

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Regression


class Teacher(Dataset):
    """Linear teacher of two layers (Saxe et al. 2014): x ~ N(0, diag L), y = V2 V1 x + unit noise.

    A student of two linear layers has, per example and whatever its means and standard deviations are, the expected
    curvature L_j sum_k E[W2_ki^2] of W1_ij, and sum_j L_j E[W1_ij^2] of W2_ki; a bias counts as an input of variance 1.
    """

    kind: Literal["teacher"] = "teacher"
    inputs: int = Field(20, ge=1, le=10_000, description="number of inputs")
    hidden: int = Field(10, ge=1, le=10_000, description="number of hidden units of the teacher")
    outputs: int = Field(5, ge=1, le=10_000, description="number of outputs")
    examples: int = Field(1000, ge=2, le=1_000_000, description="number of training examples, and of test examples")
    spread: float = Field(
        1.0, ge=0, le=6, description="decades between the standard deviations of the first and last input"
    )
    orthogonal: bool = Field(
        True,
        description="make the second moments of the inputs of each split exactly L; otherwise they are so on average",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the teacher, the inputs and the noise")

    @model_validator(mode="after")
    def _enough(self) -> Teacher:
        if self.orthogonal and self.examples <= self.inputs:
            raise ValueError(
                "orthogonal inputs need more examples than inputs: raise examples, or set orthogonal = false"
            )
        return self

    def spectrum(self) -> np.ndarray:
        """L, the variances of the inputs, (inputs,), the largest first: 1 to 10^(-2 spread)."""
        return np.logspace(0, -2 * self.spread, self.inputs)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """V1 (hidden, inputs), standard normal, and V2 (outputs, hidden), of variance 1/hidden."""
        random = np.random.default_rng([self.seed, 4])
        first, second = (
            random.standard_normal(shape) for shape in ((self.hidden, self.inputs), (self.outputs, self.hidden))
        )
        return first, second / np.sqrt(self.hidden)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, inputs) and targets (examples, outputs), float64."""
        import torch

        random = random_of(self.seed, split)
        x = random.standard_normal((self.examples, self.inputs))
        x = (orthogonal(x) if self.orthogonal else x) * np.sqrt(self.spectrum())
        first, second = self.weights()
        y = x @ first.T @ second.T + random.standard_normal((self.examples, self.outputs))
        return torch.from_numpy(x), torch.from_numpy(y)

    def task(self) -> Regression:
        """Gaussian likelihood of unit standard deviation."""
        from ebayes_core.contract.likelihoods import Regression

        return Regression(self.outputs, 1.0)
