"""Sequences that ask for memory: a sum to be kept, noisy evidence to be added up, and a cue to be remembered."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from ebayes_core.contract.slots import Dataset
from ebayes_plugins.toys import orthogonal, random_of

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Classification, Regression


class Integrator(Dataset):
    """Sum of a sequence of normal inputs, as a perfect integrator x_t = w x_(t-1) + u_t with w = 1 gives it.

    On a `recurrent` network with a single linear unit, the curvature of its recurrent synapse per example is
    s^2 T (T - 1)/2 if its noise is fresh at each of T steps, and s^2 (T - 1) T (2 T - 1)/6 if it is frozen.
    """

    kind: Literal["integrator"] = "integrator"
    steps: int = Field(12, ge=1, le=10_000, description="number of steps T of a sequence")
    input_sd: float = Field(1.0, gt=0, le=1e3, description="standard deviation s of the input at each step")
    examples: int = Field(500, ge=2, le=1_000_000, description="number of training sequences, and of test sequences")
    orthogonal: bool = Field(
        True,
        description="make the inputs of different steps exactly uncorrelated in each split; otherwise on average",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the inputs")

    @model_validator(mode="after")
    def _enough(self) -> Integrator:
        if self.orthogonal and self.examples <= self.steps:
            raise ValueError(
                "orthogonal inputs need more examples than steps: raise examples, or set orthogonal = false"
            )
        return self

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Sequences (examples, steps, 1) and their sums (examples, 1), float64."""
        import torch

        u = random_of(self.seed, split).standard_normal((self.examples, self.steps))
        u = self.input_sd * (orthogonal(u) if self.orthogonal else u)
        return torch.from_numpy(u[..., None]), torch.from_numpy(u.sum(1, keepdims=True))

    def task(self) -> Regression:
        """Half of the squared error: a Gaussian likelihood of unit standard deviation, but for a constant."""
        from ebayes_core.contract.likelihoods import Regression

        return Regression(1, 1.0)


class Decision(Dataset):
    """Perceptual decision (Britten et al. 1992): which of two noisy streams of evidence is the stronger one.

    At each step the inputs have unit variance, and means of equal size: positive for the right choice, negative for the
    other one. An ideal observer adds all of them up.
    """

    kind: Literal["decision"] = "decision"
    steps: int = Field(20, ge=1, le=10_000, description="number of steps at which there is evidence")
    ideal_accuracy: float = Field(
        0.95,
        ge=0.51,
        le=0.9999,
        description="share of the trials that an ideal observer gets right, which sets the strength of the evidence: "
        "trials of any length are equally difficult",
    )
    examples: int = Field(2000, ge=2, le=1_000_000, description="number of training trials, and of test trials")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the choices and the evidence")

    @property
    def evidence(self) -> float:
        """Mean of the stronger input at each step: sum(x_1 - x_2) has mean 2 steps evidence and variance 2 steps."""
        return float(NormalDist().inv_cdf(self.ideal_accuracy) / np.sqrt(2 * self.steps))

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Evidence (examples, steps, 2) and the right choices (examples,), half of them each."""
        import torch

        random = random_of(self.seed, split)
        choice = _halves(self.examples, random)
        x = random.standard_normal((self.examples, self.steps, 2))
        x += self.evidence * np.where(choice[:, None, None] == np.arange(2), 1, -1)
        return torch.from_numpy(x), torch.from_numpy(choice)

    def task(self) -> Classification:
        """Softmax over the two choices."""
        from ebayes_core.contract.likelihoods import Classification

        return Classification(2)


class Memory(Dataset):
    """Delayed response (Funahashi et al. 1989): which of two cues was shown, told after a delay, at a go signal.

    The first input is the cue at the first step, -1 or 1 with noise; the second is the go signal, 1 at the last step.
    Both are 0 else. A cue of size x speaks for 1 with a log odds of 2 x / cue_sd^2: its size has to be kept too.
    """

    kind: Literal["memory"] = "memory"
    delay: int = Field(10, ge=1, le=10_000, description="number of steps between the cue and the go signal")
    cue_sd: float = Field(
        0.5,
        gt=0,
        le=10,
        description="standard deviation of the noise of the cue; with 0.5, one in 44 has the other sign",
    )
    examples: int = Field(1000, ge=2, le=1_000_000, description="number of training trials, and of test trials")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the cues and the noise")

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, delay + 2, 2) and the cues (examples,), half of them each: 0 for -1, and 1 for 1."""
        import torch

        random = random_of(self.seed, split)
        cue, x = _halves(self.examples, random), np.zeros((self.examples, self.delay + 2, 2))
        x[:, 0, 0] = 2 * cue - 1 + self.cue_sd * random.standard_normal(self.examples)
        x[:, -1, 1] = 1
        return torch.from_numpy(x), torch.from_numpy(cue)

    def task(self) -> Classification:
        """Softmax over the two cues."""
        from ebayes_core.contract.likelihoods import Classification

        return Classification(2)


def _halves(examples: int, random: np.random.Generator) -> np.ndarray:
    """Labels 0 and 1, half of them each (one more of 0 for an odd number), in random order."""
    return random.permutation(np.arange(examples) % 2)
