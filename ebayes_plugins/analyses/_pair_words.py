"""The finding of Figure 4 in words, and what its panels show."""

from __future__ import annotations

import numpy as np

from ebayes_core.wording import span
from ebayes_plugins.analyses._titles import count, counts

Arrays = dict[str, np.ndarray]


def finding(a: Arrays) -> str:
    """How many times the loss of equal noise the matched noise adds, in the quadratic model and in the networks."""
    exact, found = np.divide(*a["quadratic_performance"].T), a["ratio"][np.isfinite(a["ratio"])]
    real = (
        f", and {span(found.round(2))} times for a pair in {count(len(found), 'trained network')}" if len(found) else ""
    )
    return (
        "At equal reliability cost, noise matched to importance adds "
        f"{span(exact.round(2))} times the loss of equal noise in the quadratic model{real}."
    )


def notes(a: Arrays, shown: list[int]) -> list[str]:
    """What is drawn, and of how many synapses, samples and pairs."""
    far = np.median(a["far"][shown], axis=1).round(2)
    sloped = np.median([_slope_share(a["plane"][i]) for i in shown])
    return [
        "First row: quadratic model; below: a synapse of high and one of low curvature of each network. Losses are "
        f"in nat and summed over the data set; dots: {counts([a['xi'].shape[1]], 'sample')} of the noise.",
        "Loss is the mean of opposite displacements: noise is symmetric, and does not feel the slope of the loss at "
        f"the mean, which makes {sloped:.0%} of the change of loss in these panels.",
        "Purple: equal loss. Bars: relative to equal noise, with values (nat) below; line: 95% bootstrap interval; "
        "dotted: half. Last column: loss of matched noise relative to equal noise, exact above for each ratio of "
        f"curvatures, and from the curvatures of {a['far'].shape[1]} random pairs of each network; medians of pairs "
        f"of high and low curvature: {span(far)}. B: balance, 1 at the optimum.",
    ]


def _slope_share(plane: np.ndarray) -> float:
    """Part of the variance of the loss over the plane that is odd, and cancels in the mean of opposite "
    "displacements."""
    odd, even = (plane - plane[::-1, ::-1]) / 2, (plane + plane[::-1, ::-1]) / 2
    total = odd.var() + even.var()
    return float(odd.var() / total) if total > 0 else 0.0
