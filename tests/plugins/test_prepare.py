"""Inputs of new examples become what training saw: prepared raw inputs are those that `load` returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ebayes_core.contract.slots import Dataset
from ebayes_plugins.datasets import Arrays, Digits, Permuted
from ebayes_plugins.toys import Cubic

RANDOM = np.random.default_rng(0)
NAMES = ["length", "width", "mass"]
X = np.column_stack([RANDOM.normal(3, 2, size=(23, 2)), np.full(23, 4.0)])  # the last input is constant
LABELS = np.array(["cat", "ape", "dog"])[np.arange(23) % 3]


def stored(folder: Path, suffix: str, x: np.ndarray = X) -> str:
    if suffix == "csv":
        pd.DataFrame(x, columns=NAMES).assign(kind=LABELS).to_csv(folder / "own.csv", index=False)
    else:
        np.savez(folder / "own.npz", x=x, y=LABELS, columns=np.array(NAMES))
    return f"own.{suffix}"


@pytest.mark.parametrize("standardise", ["each", "all", "none"])
@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_arrays_are_scaled_as_their_training_set(tmp_path: Path, suffix: str, standardise: str) -> None:
    """Every example of the file, as an array, a tensor, or a table with its columns in another order."""
    dataset = Arrays(train=stored(tmp_path, suffix), standardise=standardise, folder=str(tmp_path))
    known = {tuple(row) for split in ("train", "test") for row in dataset.load(split)[0].tolist()}
    table = pd.DataFrame(X, columns=NAMES)[NAMES[::-1]].assign(kind=LABELS)
    for given in (X, torch.from_numpy(X), table):
        found = dataset.prepare(given)
        assert {tuple(row) for row in found.tolist()} == known and found.dtype == torch.float64
    assert dataset.class_names() == ("ape", "cat", "dog")


def test_arrays_of_images_and_of_single_precision_keep_shape_and_type(tmp_path: Path) -> None:
    x = RANDOM.normal(2, 3, size=(23, 2, 4, 5)).astype(np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(23) % 3)
    dataset = Arrays(train="own.npz", folder=str(tmp_path))
    train = dataset.load("train")[0]
    found = dataset.prepare(x.astype(np.float64))
    assert found.dtype == torch.float32 and found.shape == x.shape
    assert {t.numpy().tobytes() for t in train} < {t.numpy().tobytes() for t in found}
    assert dataset.class_names() is None  # they are 0, 1, 2
    with pytest.raises(ValueError, match=r"an example has shape \(40,\), and those for training have \(2, 4, 5\)"):
        dataset.prepare(x.reshape(23, -1))


def test_a_single_input_needs_no_axis(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X[:, 0], y=X[:, 1])
    dataset = Arrays(train="own.npz", folder=str(tmp_path))
    assert torch.equal(dataset.prepare(X[:, 0]), dataset.prepare(X[:, :1])) and dataset.class_names() is None


@pytest.mark.parametrize("layout", ["flat", "image", "rows"])
@pytest.mark.parametrize("normalise", ["standard", "unit"])
def test_pixels_are_normalised_and_laid_out(layout: str, normalise: str) -> None:
    dataset = Digits(layout=layout, normalise=normalise)
    raw, known = dataset.arrays("test")[0], dataset.load("test")[0]
    for given in (raw, raw.reshape(-1, 8, 8), raw.reshape(-1, 1, 8, 8), torch.from_numpy(raw)):
        assert torch.equal(dataset.prepare(given), known)


def test_pixels_are_shuffled_as_in_the_last_task() -> None:
    dataset = Permuted(tasks=3)
    known = dataset.load("test")[0][dataset.stages("test") == 2]
    assert torch.equal(dataset.prepare(Digits().arrays("test")[0]), known)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.full((2, 64), 1.5), r"pixels are in \[0, 1\], not up to 1.5: divide bytes by 255"),
        (np.full((2, 64), -0.5), r"pixels are in \[0, 1\], not from -0.5"),
        (np.full((2, 64), np.nan), "pixels are finite"),
        (
            np.zeros((2, 8, 9)),
            r"\(examples, 64\) or \(examples, 1, 8, 8\) or \(examples, 8, 8\), not \(2, 8, 9\) float64",
        ),
        (np.full((2, 64), "a"), "not .* <U1"),
    ],
)
def test_other_values_are_no_pixels(x: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Digits().prepare(x)


def test_inputs_that_nothing_is_done_to_stay_as_they_are() -> None:
    dataset: Dataset = Cubic()
    assert torch.equal(dataset.prepare(dataset.load("test")[0].numpy()), dataset.load("test")[0])
    assert dataset.prepare([[1], [2]]).dtype == torch.float32 and dataset.class_names() is None
