"""Sentences that state the result of an analysis, with its numbers."""

from __future__ import annotations

import numpy as np

from ebayes_core.report.signature import trend
from ebayes_core.wording import span


def fit_sentence(
    what: str, against: str, ranks: np.ndarray, noun: str, of: str, slopes: np.ndarray, analytic: np.ndarray
) -> str:
    """How one quantity depends on another: sign and strength of rank correlations (n,), and slopes beside theory's.

    noun: what the n are, and `of` what these belong to. Empty if nothing could be fitted.
    """
    known = ranks[np.isfinite(ranks)]
    if not len(known):
        return ""
    theory = f"; the optimum has {_rounded(analytic)}" if np.isfinite(analytic).any() else ""
    slope = f"log-log slope {_rounded(slopes)}{theory}"
    return f"{trend(what, against, known, noun, of)}: rank correlation {_rounded(known)}, {slope}."


def _rounded(values: np.ndarray) -> str:
    """The range of some values, with two decimals."""
    return span((np.round(values, 2) + 0.0).tolist())  # -0.0 + 0.0 is 0.0
