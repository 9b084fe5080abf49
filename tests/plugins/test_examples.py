"""A limited number of training examples: nested random subsets, and the same test set."""

from __future__ import annotations

import torch

from ebayes_plugins.datasets.images import Digits


def test_fewer_examples_are_part_of_more_and_the_test_set_stays() -> None:
    few, more, every = (Digits(examples=n) for n in (50, 200, None))
    (x, y), (x_more, y_more), (x_all, y_all) = (each.load("train") for each in (few, more, every))
    assert len(x) == len(y) == 50 and torch.equal(x, x_more[:50]) and torch.equal(y, y_more[:50])
    where = [int((x_all == one).all(1).nonzero()[0, 0]) for one in x_more]
    assert torch.equal(y_more, y_all[where]) and where != sorted(where) and len(set(where)) > 195
    for one, other in zip(few.load("test"), every.load("test"), strict=True):
        assert torch.equal(one, other)


def test_more_examples_than_there_are_are_all_of_them() -> None:
    found = Digits(examples=10_000).load("train")[0]
    assert len(found) == len(Digits().load("train")[0])
    assert "examples" not in Digits().model_dump(exclude_none=True)
