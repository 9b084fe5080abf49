"""Areas under curves against scikit-learn and against counting by hand, with ties, odd sizes and missing classes."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ebayes_core.engine.detection import aurc, auroc, risk_coverage

#: few different values, so that most examples are tied with another
tied = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40)


@given(tied)
def test_auroc_is_scikit_learns_and_the_share_of_pairs_in_order(examples: list[tuple[int, bool]]) -> None:
    score, positive = np.array([s for s, _ in examples], dtype=float), np.array([p for _, p in examples])
    found = auroc(score, positive)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    if not pairs:
        assert math.isnan(found)
        return
    assert found == pytest.approx(np.mean(pairs), abs=1e-12)
    assert found == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 1001])
def test_auroc_without_ties_is_scikit_learns(n: int) -> None:
    random = np.random.default_rng(n)
    score, positive = random.normal(size=n), np.arange(n) % 3 == 0
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    assert auroc(-score, positive) == pytest.approx(1 - auroc(score, positive))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_nothing_is_told_where_there_is_nothing_to_tell(n: int) -> None:
    every = np.ones(n, bool)
    assert math.isnan(auroc(np.arange(n, dtype=float), every)) and math.isnan(auroc(np.arange(n, dtype=float), ~every))
    assert auroc(np.zeros(2), np.array([True, False])) == 0.5
    unknown = np.array([np.nan, 1.0])
    assert math.isnan(auroc(unknown, np.array([True, False]))) and math.isnan(aurc(unknown, np.array([True, False])))


def test_risk_at_each_coverage_by_hand() -> None:
    """Four examples, the third most certain is wrong: 0, 0, 1/3, 1/4."""
    score, wrong = np.array([0.4, 0.1, 0.3, 0.2]), np.array([False, False, True, False])
    np.testing.assert_allclose(risk_coverage(score, wrong), [0, 0, 1 / 3, 1 / 4])
    assert aurc(score, wrong) == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert aurc(score, wrong & False) == 0 and aurc(score, wrong | True) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_the_risk_of_tied_examples_is_that_of_a_random_order(examples: list[tuple[int, bool]]) -> None:
    """The average over all orders that the scores allow."""
    score, wrong = np.array([s for s, _ in examples], dtype=float), np.array([w for _, w in examples])
    orders = [np.array(o) for o in permutations(range(len(score))) if (np.diff(score[list(o)]) >= 0).all()]
    known = np.mean([wrong[o].cumsum() / np.arange(1, len(score) + 1) for o in orders], 0)
    np.testing.assert_allclose(risk_coverage(score, wrong), known, atol=1e-12)


def test_a_score_that_says_nothing_has_the_error_rate_as_its_area() -> None:
    wrong = np.arange(9) < 2
    assert aurc(np.zeros(9), wrong) == pytest.approx(2 / 9)
