"""Choices of axes on which measured and simulated synapses are compared (Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ebayes_plugins.analyses._clouds import fixes_signs
from ebayes_plugins.analyses._common import label
from ebayes_plugins.analyses._measured import PLASTICITY, RATES, deposited

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

CHANGE, VARIABILITY = "relative change of the mean", "normalised variability"
RELEASE, RATE, THRESHOLDED = "release probability", "presynaptic rate (mean)", "presynaptic rate (thresholded)"
INPUT = "mean |input|"
WHOLE = "all synapses"


class Choice(NamedTuple):
    """One choice of axes for a set of synapses, with the size of the mean as a possible second regressor."""

    source: str
    x_name: str
    y_name: str
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    member: int = -1  #: -1: measured in cortex
    raw: bool = True  #: whether linear axes make sense


def plasticity() -> list[Choice]:
    """Change of the mean PSP after induction against reliability before (Schug et al. 2021); both LTP and LTD."""
    t = deposited("plasticity.csv")
    before, after = (t[f"p_{when}"] * t[f"q_{when}_mv"] for when in ("before", "after"))
    change = np.abs(after - before) / before
    variability = (1 - t["p_before"]) * t["q_before_mv"]
    return [
        Choice(PLASTICITY, RELEASE, CHANGE, t["p_before"], change, before),
        Choice(PLASTICITY, VARIABILITY, CHANGE, variability, change, before),
    ]


def rates() -> list[Choice]:
    """Variance over mean of the PSP against the presynaptic rate in vivo (Aitchison et al. 2021)."""
    t = deposited("rates.csv")
    size = np.abs(t["psp_mean_mv"])
    variability = t["psp_variance_mv2"] / size
    return [
        Choice(RATES, name, VARIABILITY, t[column], variability, size)
        for name, column in ((RATE, "rate_mean"), (THRESHOLDED, "rate_threshold"))
    ]


def simulated(run: Run, member: int, layer: int, near_zero: float) -> Iterator[Choice]:
    """A network's synapses on the axes of the experiments: all of them, and those whose mean is not near zero.

    near_zero: share of the layer's RMS mean. Where the noise fixes the signs of weights, no mean is near zero because
    it is about to cross it, and all synapses are the only choice.
    """
    read = lambda name: run.layer(member, layer, name).astype(float)
    size, sigma, rate = np.abs(read("mu")), read("sigma"), read("learning_rate_rms")
    inputs = np.broadcast_to(read("input_abs"), size.shape)
    parts = {WHOLE: np.ones(size.shape, dtype=bool)}
    if not fixes_signs(run, member):
        parts[f"|μ| > {near_zero:g} RMS"] = size > near_zero * np.sqrt((size**2).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        variability, change = sigma**2 / size, rate / size
    for x_name, x, y_name, y in ((VARIABILITY, variability, CHANGE, change), (INPUT, inputs, VARIABILITY, variability)):
        # a dead unit has no gradient, hence an infinite learning rate
        known = np.isfinite(x * y) & (x * y > 0)
        for name, part in parts.items():
            some = known & part
            yield Choice(f"{label(run, member)}: {name}", x_name, y_name, x[some], y[some], size[some], member, False)


def last(choices: list[Choice], member: int, x_name: str) -> int:
    """Where the choice that is drawn is: of a network's synapses on an axis, the strictest."""
    return max(i for i, c in enumerate(choices) if (c.member, c.x_name) == (member, x_name))
