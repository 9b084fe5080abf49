"""From targets as they are in files to those that a likelihood needs: classes numbered from 0, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebayes_plugins.datasets.tables import Unfit

if TYPE_CHECKING:
    from ebayes_core.contract.likelihoods import Likelihood

MISSING = -1  #: the label of a step without a loss


@dataclass(frozen=True)
class Meaning:
    """What targets mean: of how many classes they are (none: they are numbers), and the shape of one example's."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]

    def likelihood(self, noise_sd: float | None) -> Likelihood:
        """Softmax or Gaussian; at each step if every example has a sequence of targets."""
        from ebayes_core.contract.compound import Stepwise
        from ebayes_core.contract.likelihoods import Classification, Regression

        one: Likelihood
        if self.classes:
            one, steps = Classification(len(self.classes)), self.shape
        else:
            one, steps = Regression(self.shape[-1], noise_sd or 1.0), self.shape[:-1]
        return Stepwise(one, steps[0]) if steps else one


def are_classes(y: np.ndarray, likelihood: str) -> bool:
    """Whether targets are labels: as the spec says, or by their type."""
    return likelihood == "classification" or (likelihood == "auto" and y.dtype.kind in "iubUS")


def numbers(y: np.ndarray) -> np.ndarray:
    """Targets of a regression, (examples, outputs) or (examples, steps, outputs) float64. Raises Unfit."""
    if y.dtype.kind not in "fiub" or not 1 <= y.ndim <= 3:
        raise Unfit(f"targets of a regression are numbers of shape (examples, outputs), not {_about(y)}")
    return y.reshape(len(y), -1).astype(np.float64) if y.ndim == 1 else y.astype(np.float64)


def labels(y: np.ndarray) -> np.ndarray:
    """Labels (examples,), or (examples, steps), as integers or texts. Raises Unfit."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.floor(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubUS" or not 1 <= y.ndim <= 2:
        raise Unfit(f"labels are integers or texts of shape (examples,), not {_about(y)}")
    return np.char.decode(y) if y.dtype.kind == "S" else y


def _about(y: np.ndarray) -> str:
    return f"{y.shape} {y.dtype}"


def classes_of(y: np.ndarray, guessed: bool) -> np.ndarray:
    """The classes in training labels, sorted. Raises Unfit if there is only one, or so many that they may be numbers.

    guessed: whether that they are labels is known from their type only.
    """
    found = np.unique(y)
    found = found[found != MISSING] if y.ndim == 2 and y.dtype.kind != "U" else found
    if len(found) < 2:
        raise Unfit(f"all labels are {found[0] if len(found) else 'missing'}: a classification needs two classes")
    if guessed and len(found) > max(2, y.size / 2):
        raise Unfit(
            f"{len(found)} different targets among {y.size} may be classes or numbers: set  likelihood = "
            '"classification"  or  likelihood = "regression"'
        )
    return found


def within(y: np.ndarray, classes: int) -> np.ndarray:
    """Labels that are numbers of classes, int64; -1 for a step without one. Raises Unfit for others."""
    if y.dtype.kind == "U":
        raise Unfit(f"labels are texts: with classes = {classes} they have to be integers from 0 to {classes - 1}")
    bad = (y < (MISSING if y.ndim == 2 else 0)) | (y >= classes)
    if bad.any():
        at = int(np.argwhere(bad)[0][0])
        raise Unfit(
            f"example {at}, counted from 0, has the label {y[bad][0]}: labels are integers from 0 to {classes - 1}"
        )
    return y.astype(np.int64)


def numbered(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Labels as places in the sorted classes, int64; a missing one stays so. Raises Unfit for an unknown label."""
    missing = (y == MISSING) if y.ndim == 2 and y.dtype.kind != "U" else np.zeros(y.shape, dtype=bool)
    place = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = (classes[place] != y) & ~missing
    if unknown.any():
        at = int(np.argwhere(unknown)[0][0])
        raise Unfit(f"example {at}, counted from 0, has the label {y[unknown][0]}, which no training example has")
    return np.where(missing, MISSING, place).astype(np.int64)
