"""Whether a score tells one kind of examples from another, and errors from correct answers; ties count half.

In numpy on the processor: on a GPU, the order in which cumulative sums are added varies between runs.
"""

from __future__ import annotations

import numpy as np


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the receiver operating characteristic (Hanley and McNeil 1982).

    The probability that the score of a positive example exceeds that of another, ties counted as a half. NaN if all
    examples are positive, or none, or if a score is NaN.
    """
    found, others = score[positive], np.sort(score[~positive])
    if not len(found) or not len(others) or np.isnan(score).any():
        return np.nan
    below, below_or_equal = (np.searchsorted(others, found, side) for side in ("left", "right"))
    return float((below + below_or_equal).mean() / 2 / len(others))


def risk_coverage(score: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Share of errors among the k examples of least score, for k = 1 to n (Geifman and El-Yaniv 2017); (n,).

    Of examples with equal scores, as expected if their order is random. NaN if a score is NaN.
    """
    if np.isnan(score).any():
        return np.full(len(score), np.nan)
    _, group = np.unique(score, return_inverse=True)
    rate = np.bincount(group, wrong) / np.bincount(group)
    return np.asarray(rate[np.sort(group)].cumsum() / np.arange(1, len(score) + 1))


def aurc(score: np.ndarray, wrong: np.ndarray) -> float:
    """Area under the risk-coverage curve: its mean over all coverages. NaN if a score is NaN."""
    return float(risk_coverage(score, wrong).mean())
