"""The random split of one set of examples into training and test set, with the same share of every class in both.

The algorithm, and so the split of every seed, is that of `train_test_split` in scikit-learn 1.9, whose import takes
longer than reading most data sets, and which may change its splits with a version.
"""

from __future__ import annotations

import math

import numpy as np


def split(examples: int, share: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test examples, in random order.

    share: of the examples, rounded up, that are held out for testing; labels: (examples,), to keep its classes in
    proportion. Raises ValueError if either side lacks an example, or one of some class.
    """
    held = math.ceil(share * examples)
    kept, random = examples - held, np.random.RandomState(seed)
    if min(kept, held) < 1:
        raise ValueError(f"of {examples} examples, {kept} would be left for training and {held} for testing")
    if labels is None:
        order = random.permutation(examples)
        return order[held:], order[:held]
    return _by_class(labels, kept, held, random)


def _by_class(labels: np.ndarray, kept: int, held: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    _check(classes, counts, kept, held)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
    train = _apportioned(counts, kept, random)
    test = _apportioned(counts - train, held, random)
    shuffled = [of_class[random.permutation(len(of_class))] for of_class in members]
    parts = list(zip(shuffled, train, test, strict=True))
    first = np.concatenate([order[:n] for order, n, _ in parts])
    last = np.concatenate([order[n : n + m] for order, n, m in parts])
    return random.permutation(first), random.permutation(last)


def _check(classes: np.ndarray, counts: np.ndarray, kept: int, held: int) -> None:
    """Raise ValueError unless both sides can have an example of each class."""
    alone = classes[counts < 2].tolist()
    if alone:
        raise ValueError(f"both sides need an example of each class, and there is only one of {alone}")
    if min(kept, held) < len(classes):
        raise ValueError(f"{kept} examples for training and {held} for testing are too few for {len(classes)} classes")


def _apportioned(counts: np.ndarray, total: int, random: np.random.RandomState) -> np.ndarray:
    """Numbers of examples of each class, in proportion to counts, that sum to a total; ties are broken at random."""
    exact = counts / counts.sum() * total
    shares = np.floor(exact).astype(int)
    rest = exact - np.floor(exact)
    for value in np.unique(rest)[::-1]:
        missing = total - shares.sum()
        if missing <= 0:
            break
        (tied,) = np.nonzero(rest == value)
        shares[random.choice(tied, size=min(len(tied), missing), replace=False)] += 1
    return shares
