"""From the arrays in files to examples that can be trained on: checked, split, standardised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ebayes_core.contract.files import Stamp
from ebayes_core.errors import DataError
from ebayes_plugins.datasets import files, labels
from ebayes_plugins.datasets._split import split as divided
from ebayes_plugins.datasets.files import Pair, Wanted
from ebayes_plugins.datasets.tables import Unfit


class Scaling(NamedTuple):
    """What makes inputs from those in a file: (x - mean) * scale, rounded to a type; or the rounding alone."""

    mean: np.ndarray | None
    scale: np.ndarray
    dtype: np.dtype[Any]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Inputs as a network sees them."""
        if self.mean is None:
            return x.astype(self.dtype, copy=False)
        scaled: np.ndarray = ((x - self.mean) * self.scale).astype(self.dtype)
        return scaled


@dataclass(frozen=True)
class Content:
    """Inputs and targets of each split, what the targets mean, and what was done to the inputs."""

    splits: dict[str, Pair]
    meaning: labels.Meaning
    scaling: Scaling


@lru_cache(maxsize=1)
def read(wanted: Wanted, stamps: tuple[Stamp, ...]) -> Content:
    """The content of the files, which is read once for both splits. Raises DataError naming the file."""
    paths = [path for path, _, _ in stamps]
    pairs, meaning = _meant(wanted, paths, [_checked(path, files.read(path, wanted)) for path in paths])
    (x, y), (x_test, y_test) = pairs if len(pairs) == 2 else _split(wanted, paths[0], *pairs[0])
    if x.shape[1:] != x_test.shape[1:]:
        raise DataError(f"{paths[1]}: its examples have shape {x_test.shape[1:]}, those for training {x.shape[1:]}")
    scaling = _scaling(x, wanted.standardise)
    return Content({"train": (scaling(x), y), "test": (scaling(x_test), y_test)}, meaning, scaling)


def _checked(path: Path, pair: Pair) -> Pair:
    """Inputs as floating-point numbers. Raises DataError if they are none, or if there are not as many as targets."""
    x, y = pair
    if x.dtype.kind not in "fiub" or x.ndim < 1:
        raise DataError(f"{path}: inputs are numbers of shape (examples, ...), not {x.shape} {x.dtype}")
    if not (y.ndim and len(x) == len(y) > 0):
        raise DataError(f"{path}: it has {len(x)} inputs and {len(y) if y.ndim else 0} targets")
    small = (x.dtype.kind in "iub" and x.dtype.itemsize < 4) or x.dtype == np.float16
    x = x.astype(np.float32 if small else np.float64 if x.dtype.kind in "iub" else x.dtype.newbyteorder("="))
    if not np.isfinite(x).all():
        at = np.argwhere(~np.isfinite(x))[0]
        raise DataError(f"{path}: example {at[0]}, counted from 0, has the input {x[tuple(at)]}; remove or replace it")
    return (x[:, None] if x.ndim == 1 else x), y


def _meant(wanted: Wanted, paths: list[Path], pairs: list[Pair]) -> tuple[list[Pair], labels.Meaning]:
    """The same pairs with targets as the likelihood needs them, and what these mean."""
    raw = list(zip(paths, (y for _, y in pairs), strict=True))
    classes: tuple[str, ...] = ()
    if labels.are_classes(raw[0][1], wanted.likelihood):
        found, known = _counted(raw, wanted.classes) if wanted.classes else _labelled(raw, wanted.likelihood == "auto")
        classes = tuple(map(str, known))
    else:
        found = [_at(path, labels.numbers, y) for path, y in raw]
    shapes = [y.shape[1:] for y in found]
    if shapes[0] != shapes[-1]:
        raise DataError(f"{paths[1]}: its targets have shape {shapes[1]} per example, those for training {shapes[0]}")
    return [(x, y) for (x, _), y in zip(pairs, found, strict=True)], labels.Meaning(classes, shapes[0])


def _labelled(raw: list[tuple[Path, np.ndarray]], guessed: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """Numbered labels of each file, and the classes, which are those of the first."""
    found = [(path, _at(path, labels.labels, y)) for path, y in raw]
    if any(y.dtype.kind == "U" for _, y in found):  # integers in one file and texts in the other
        found = [(path, y.astype(str)) for path, y in found]
    classes = _at(found[0][0], labels.classes_of, found[0][1], guessed)
    return [_at(path, labels.numbered, y, classes) for path, y in found], classes


def _counted(raw: list[tuple[Path, np.ndarray]], classes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Labels of each file, which are numbers of classes already, and the classes."""
    return [_at(path, labels.within, _at(path, labels.labels, y), classes) for path, y in raw], np.arange(classes)


def _at(path: Path, function: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray:
    try:
        return function(*arguments)
    except Unfit as error:
        raise DataError(f"{path}: {error}") from error


def _split(wanted: Wanted, path: Path, x: np.ndarray, y: np.ndarray) -> list[Pair]:
    """Training and test part of one file; each class has the same share in both."""
    share = wanted.test_fraction
    strata = y if y.ndim == 1 else None  # labels
    try:
        train, test = divided(len(x), share, wanted.split_seed, strata)
    except ValueError as error:
        raise DataError(f"{path}: a share of {share} cannot be held out for testing: {error}") from error
    return [(x[train], y[train]), (x[test], y[test])]


def _scaling(x: np.ndarray, how: str) -> Scaling:
    """The statistics of the training set; an input that is constant there becomes 0, since nothing is learned of it."""
    if how == "none":
        return Scaling(None, np.array(1.0), x.dtype)
    axes = 0 if how == "each" else None
    mean, sd = x.mean(axes, dtype=np.float64), x.std(axes, dtype=np.float64)
    varies = sd > 1e-9 * np.abs(mean)
    return Scaling(mean, varies / np.where(varies, sd, 1.0), x.dtype)
