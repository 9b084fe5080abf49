"""Regression problems of the appendices: the cubic of Appendix 4 and the linear model of Appendix 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from ebayes_core.contract.slots import Dataset

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.likelihoods import Regression

SPLITS = ("train", "test")


def one_of(split: str) -> str:
    """The split itself, if it is a valid name. Raises ValueError otherwise."""
    if split not in SPLITS:
        raise ValueError(f"there is no split '{split}'; the splits are {' and '.join(SPLITS)}")
    return split


def random_of(seed: int, split: str) -> np.random.Generator:
    """The random numbers of a split. Raises ValueError for a name that is none."""
    return np.random.default_rng([seed, SPLITS.index(one_of(split))])


def orthogonal(x: np.ndarray) -> np.ndarray:
    """Columns (examples, n) made orthogonal to each other and to a constant, with a mean square of 1 each.

    Second moments of inputs are then known exactly, and not only on average. Needs more examples than columns.
    """
    with_one = np.column_stack([np.ones(len(x)), x])
    return np.asarray(np.linalg.qr(with_one)[0][:, 1:] * np.sqrt(len(x)))


def _tensors(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
    import torch

    return torch.from_numpy(x), torch.from_numpy(y[:, None])


class Cubic(Dataset):
    """Cubic f(x) = x^3 + 2 x^2 with Gaussian noise, on two intervals with a gap between them (Appendix 4, figure 1)."""

    kind: Literal["cubic"] = "cubic"
    examples: int = Field(40, ge=2, le=1_000_000, description="number of training points, and of test points")
    noise_sd: float = Field(
        0.05, gt=0, le=10, description="standard deviation of the noise (the paper's variance is 0.05^2)"
    )
    low: float = Field(-2.0, ge=-10, le=10, description="smallest x")
    high: float = Field(1.0, ge=-10, le=10, description="largest x")
    gap: float = Field(0.3, ge=0, lt=1, description="share of the range, in its middle, without data")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the points and their noise")

    @model_validator(mode="after")
    def _ordered(self) -> Cubic:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        return self

    @staticmethod
    def f(x: np.ndarray) -> np.ndarray:
        """The noise-free function."""
        return x**3 + 2 * x**2

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Points and noisy values, (examples, 1) float64 each; the test set is another draw from the distribution."""
        random = random_of(self.seed, split)
        unit = random.uniform(-1, 1, self.examples)
        away = np.sign(unit) * (self.gap + (1 - self.gap) * np.abs(unit))  # moved out of the gap, on the same side
        x = (self.low + self.high) / 2 + (self.high - self.low) / 2 * away
        return _tensors(x[:, None], self.f(x) + self.noise_sd * random.standard_normal(self.examples))

    def task(self) -> Regression:
        """Gaussian likelihood with the noise of the data."""
        from ebayes_core.contract.likelihoods import Regression

        return Regression(1, self.noise_sd)


class LinearGaussian(Dataset):
    """Linear model y = X w + noise with exactly known posterior, evidence and optimal noise (Appendix 2).

    A linear readout (`hidden = []`) appends a constant 1 to X, so the design matrix here includes it.
    """

    kind: Literal["linear_gaussian"] = "linear_gaussian"
    inputs: int = Field(10, ge=1, le=10_000, description="number of inputs")
    examples: int = Field(500, ge=2, le=1_000_000, description="number of training points, and of test points")
    noise_sd: float = Field(1.0, gt=0, le=1e3, description="epsilon, the standard deviation of the noise (Eq. 19)")
    spread: float = Field(
        2.0, ge=0, le=6, description="decades spanned by the inputs' sizes, half of those spanned by H"
    )
    orthogonal: bool = Field(
        True, description="make the columns of X and the constant orthogonal: the exact posterior then factorises"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of inputs, weights and noise")

    @model_validator(mode="after")
    def _enough(self) -> LinearGaussian:
        if self.orthogonal and self.examples <= self.inputs:
            raise ValueError("orthogonal inputs need more examples than inputs")
        return self

    @property
    def _sizes(self) -> np.ndarray:
        return np.logspace(0, -self.spread, self.inputs)

    def _inputs(self, split: str) -> np.ndarray:
        x = random_of(self.seed, split).standard_normal((self.examples, self.inputs))
        if self.orthogonal:
            x = orthogonal(x)
        return x * self._sizes

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, inputs) and targets (examples, 1), float64."""
        x = self._inputs(one_of(split))
        random = np.random.default_rng([self.seed, 2 + SPLITS.index(split)])
        weights = np.random.default_rng([self.seed, 4]).standard_normal(self.inputs)
        return _tensors(x, x @ weights + self.noise_sd * random.standard_normal(self.examples))

    def task(self) -> Regression:
        """Gaussian likelihood with standard deviation epsilon."""
        from ebayes_core.contract.likelihoods import Regression

        return Regression(1, self.noise_sd)

    def design(self) -> np.ndarray:
        """X of the training set with the constant 1 last, (examples, inputs + 1)."""
        return np.column_stack([self._inputs("train"), np.ones(self.examples)])

    def hessian(self) -> np.ndarray:
        """H_ii = sum_t X_ti^2 / epsilon^2 (Eq. 26), (inputs + 1,)."""
        return (self.design() ** 2).sum(0) / self.noise_sd**2

    def posterior(self, prior_sd: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the exact posterior under independent Gaussian priors."""
        x, y = self.design(), self.load("train")[1].numpy()[:, 0]
        precision = x.T @ x / self.noise_sd**2 + np.eye(x.shape[1]) / prior_sd**2
        covariance = np.linalg.inv(precision)
        return covariance @ x.T @ y / self.noise_sd**2, covariance

    def log_evidence(self, prior_sd: float) -> float:
        """log P(y | X) under independent Gaussian priors (nat), exact by the matrix determinant lemma."""
        x, y = self.design(), self.load("train")[1].numpy()[:, 0]
        mean, covariance = self.posterior(prior_sd)
        misfit = ((y - x @ mean) ** 2).sum() / self.noise_sd**2 + (mean**2).sum() / prior_sd**2
        log_det = -np.linalg.slogdet(covariance)[1] + x.shape[1] * np.log(prior_sd**2)
        log_det += len(y) * np.log(2 * np.pi * self.noise_sd**2)
        return float(-0.5 * (misfit + log_det))
