"""A perfect integrator: the curvature of its recurrent synapse, the sigma that is optimal there, and similar tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebayes_plugins.analyses._common import analytic_slope, optimum, slope_of
from ebayes_plugins.analyses._plugins import plugin

#: power of T with which the curvature grows in long sequences, for an integrator
POWERS = {"fresh": 2, "frozen": 3}
INTEGRATOR, DECISION, MEMORY = "integrator", "decision", "memory"


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
    at all steps: its curvature grows with the number of times it is passed on, or with the square of it. NaN for other
    tasks.
    """
    t = np.asarray(steps, dtype=float)
    if task == MEMORY:
        return np.asarray((t - 1) ** power(task, noise))
    return np.asarray(curvature(noise, t) / {INTEGRATOR: 1.0, DECISION: t}.get(task, np.nan))


def power(task: str, noise: str) -> float:
    """Power of T with which that curvature grows in long sequences; NaN for other tasks."""
    return POWERS[noise] - {INTEGRATOR: 0, DECISION: 1, MEMORY: 1}.get(task, np.nan)


def expected_slope(task: str, noise: str, steep: float, steps: np.ndarray) -> float:
    """Slope of the optimal ln sigma of a linear unit on ln T over these lengths, if its slope on ln H is `steep`."""
    x = np.log(steps) - np.log(steps).mean()
    return float(x @ np.log(expected(task, noise, steps)) / (x @ x) * steep)


def response(spec: dict[str, Any], mu: float, sigma: float) -> float:
    """d ln sigma / d ln H at the optimum: -1/(rho + 2) for a power law, -1/2 for Bayes far inside the prior.

    NaN if other synapses have a say in it.
    """
    return analytic_slope(slope_of(spec, mu), sigma) / 2 if _alone(spec) else np.nan


def _alone(spec: dict[str, Any]) -> bool:
    """Whether the sigma of a synapse follows from its own curvature: not under a budget, or if synapses share sigma."""
    shared = getattr(plugin(spec, "noise"), "per", "synapse") != "synapse"
    return plugin(spec, "inference").allowance is None and not shared


def best(spec: dict[str, Any], steps: np.ndarray, examples: float) -> np.ndarray:
    """The optimal sigma of the recurrent synapse of an integrator with this spec, at each number of steps.

    At a sigma that is small enough not to change the curvature; NaN if it is not the only one that has a say in it.
    examples: N, over which the loss is summed.
    """
    if not _alone(spec):
        return np.full(len(steps), np.nan)
    h = curvature(spec["network"]["noise"], steps, spec["dataset"]["input_sd"])
    return optimum(slope_of(spec, 1.0), examples * h)


def is_integrator(spec: dict[str, Any]) -> bool:
    """Whether a network is one linear unit on the data set `integrator`."""
    unit = spec["network"]["hidden"] == 1 and spec["network"]["activation"] == "linear"
    return bool(spec["dataset"]["kind"] == INTEGRATOR and unit)
