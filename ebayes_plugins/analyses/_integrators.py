"""A perfect integrator: the curvature of its recurrent synapse, the sigma that is optimal there, and similar tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebayes_plugins.analyses._common import optimum, slope_of

#: power of T with which the curvature grows in long sequences, for an integrator
POWERS = {"fresh": 2, "frozen": 3}
DECISION, INTEGRATOR = "decision", "integrator"


def curvature(noise: str, steps: np.ndarray | int, input_sd: float = 1.0) -> np.ndarray:
    """Per example: s^2 T(T - 1)/2 with fresh noise, s^2 (T - 1) T (2T - 1)/6 with frozen noise, at the means.

    x_t = w x_(t-1) + u_t at w = 1, loss (x_T - sum u)^2/2. With fresh noise, H = sum_t E[x_(t-1)^2] with
    E[x_t^2] = s^2 t; with frozen noise, H = E[(sum_t x_(t-1))^2] = s^2 sum_t (T - t)^2.
    """
    t = np.asarray(steps, dtype=float)
    found = t * (t - 1) / 2 if noise == "fresh" else (t - 1) * t * (2 * t - 1) / 6
    return np.asarray(input_sd**2 * found)


def expected(task: str, noise: str, steps: np.ndarray) -> np.ndarray:
    """How the curvature of a linear unit that solves a task grows with the number of steps, but for a constant factor.

    An integrator adds up T inputs, as `curvature` says. For a decision of equal difficulty at every T it reads their
    sum with a weight that falls as 1/sqrt(T), so that the curvature is T times smaller. A cue that is kept has one size
    at all steps: its curvature grows with the number of times it is passed on, or with the square of it.
    """
    t = np.asarray(steps, dtype=float)
    if task in (INTEGRATOR, DECISION):
        return curvature(noise, t) / (t if task == DECISION else 1.0)
    return np.asarray((t - 1) ** (POWERS[noise] - 1))


def best(spec: dict[str, Any], steps: np.ndarray, examples: float) -> np.ndarray:
    """The optimal sigma of the recurrent synapse of an integrator with this spec, at each number of steps.

    At a sigma that is small enough not to change the curvature. examples: N, over which the loss is summed.
    """
    h = curvature(spec["network"]["noise"], steps, spec["dataset"]["input_sd"])
    return optimum(slope_of(spec, 1.0), examples * h)


def is_integrator(spec: dict[str, Any]) -> bool:
    """Whether a network is one linear unit on the data set `integrator`."""
    unit = spec["network"]["hidden"] == 1 and spec["network"]["activation"] == "linear"
    return bool(spec["dataset"]["kind"] == INTEGRATOR and unit)
