"""Which boundary of least energy fits: likelihood, penalties for parameters, prediction of synapses left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebayes_plugins.analyses._families import ALL_FOUR, FAMILIES, Family, curve_of, shares
from ebayes_plugins.analyses._frontier import Excess, Fit, fit, log_density
from ebayes_plugins.analyses._regression import RESAMPLES, regress

SHARED = 3  #: parameters of every candidate: height, normal error, one-sided excess
GRID = 60  #: points of a boundary that is drawn


def compared(mean: np.ndarray, variance: np.ndarray, excess: Excess, folds: int, p: float) -> list[dict[str, Any]]:
    """A row for each family of costs, fitted to synapses (n,); folds: 0 to leave prediction out.

    `behind` is by how much the log density (nat) of synapses that were left out of the fit is below that of the family
    that predicts best, summed over them, with its 95% interval over synapses.
    """
    x, y = np.log(mean / np.median(mean)), np.log(variance)
    rows, predicted = [], []
    for family in FAMILIES:
        curve, box = curve_of(family, x, p)
        found = fit(curve, box, y, excess)
        likelihood = float(log_density(y - curve(found.theta)[0], found, excess).sum())
        rows.append(_row(family, found, likelihood, x, p))
        predicted.append(_left_out(family, x, y, found, excess, folds, p))
    return _ranked(rows, predicted)


def _row(family: Family, found: Fit, likelihood: float, x: np.ndarray, p: float) -> dict[str, Any]:
    k, n = SHARED + family.shapes, len(x)
    grid = np.linspace(x.min(), x.max(), GRID)
    paid = shares(found.theta) if family.name == ALL_FOUR else np.full(3, np.nan)
    line = found.height + curve_of(family, grid, p)[0](found.theta)[0]
    return {
        "family": family.name, "costs": family.costs, "n": n, "parameters": k, "log_likelihood": likelihood,
        "aic": 2 * k - 2 * likelihood, "bic": k * np.log(n) - 2 * likelihood, "error": found.error,
        "excess": found.excess, "shares": paid, "line_x": grid, "line_y": line,
    }  # fmt: skip


def _left_out(
    family: Family, x: np.ndarray, y: np.ndarray, whole: Fit, excess: Excess, folds: int, p: float
) -> np.ndarray:
    """Log density of each synapse under the fit to the other folds, (n,); NaN without folds."""
    density = np.full(len(x), np.nan)
    parts = np.array_split(np.random.default_rng(0).permutation(len(x)), min(folds, len(x))) if folds else []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(x)), part)
        curve, box = curve_of(family, x[rest], p)
        found = fit(curve, box, y[rest], excess, whole)
        there, _ = curve_of(family, x[part], p)
        density[part] = log_density(y[part] - there(found.theta)[0], found, excess)
    return density


def over_synapses(values: np.ndarray) -> tuple[float, float, float]:
    """A sum over synapses with its 95% interval: percentiles of resamples."""
    index = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[index].sum(1), [2.5, 97.5])
    return float(values.sum()), float(low), float(high)


def bracket(x: np.ndarray, y: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """Slope of y on x, and that of the line that predicts x from y, with 95% intervals.

    If both are measured with independent errors of any size, the true slope lies between the two (Frisch 1934).
    """
    forward, back = regress(x, y), regress(y, x)
    inverse = lambda name: 1 / back[name] if back[name] else np.nan
    known = back["low"] * back["high"] > 0  # an interval around 0 has an inverse without ends
    ends = {"low": inverse("high"), "high": inverse("low")} if known else {"low": np.nan, "high": np.nan}
    return forward, {**back, "slope": inverse("slope"), **ends}


def changes_compared(mean: np.ndarray, sigma: np.ndarray, folds: int) -> list[dict[str, Any]]:
    """A row for each family whose boundary is a power law: do synapses move along it when plasticity changes them?

    mean, sigma: changes of ln mean and ln sigma, (n,). Along a boundary of slope b, of ln variance on ln mean, they are
    in proportion, b/2 to 1, whatever a synapse's energy is; what is left is normal with mean 0.
    """
    families = [family for family in FAMILIES if family.name != ALL_FOUR]
    everywhere = np.arange(len(mean))
    parts = np.array_split(np.random.default_rng(0).permutation(len(mean)), min(folds, len(mean)))
    rows, predicted = [], []
    for family in families:
        likelihood = float(_change_density(family, mean, sigma, everywhere, everywhere).sum())
        density = np.empty(len(mean))
        for part in parts:
            density[part] = _change_density(family, mean, sigma, np.setdiff1d(everywhere, part), part)
        k = 1 + family.shapes
        about = {"family": family.name, "costs": family.costs, "n": len(mean), "parameters": k}
        penalised = {"aic": 2 * k - 2 * likelihood, "bic": k * np.log(len(mean)) - 2 * likelihood}
        rows.append({**about, "log_likelihood": likelihood, **penalised})
        predicted.append(density)
    return _ranked(rows, predicted)


def _change_density(family: Family, mean: np.ndarray, sigma: np.ndarray, fitted: Any, asked: Any) -> np.ndarray:
    x, y = mean[fitted], sigma[fitted]
    slope = float(x @ y / (x @ x)) if np.isnan(family.slope) else family.slope / 2
    spread = float(np.sqrt(np.mean((y - slope * x) ** 2)))
    along = Fit(np.zeros(0), 0.0, max(spread, 1e-12), 0.0)
    return log_density(sigma[asked] - slope * mean[asked], along, "half_normal")


def _ranked(rows: list[dict[str, Any]], predicted: list[np.ndarray]) -> list[dict[str, Any]]:
    """The rows with what they predicted of synapses that were left out, and by how much the best is ahead."""
    best = int(np.argmax([part.sum() for part in predicted]))
    for row, part in zip(rows, predicted, strict=True):
        row["predicted"] = float(part.sum())
        row["behind"], row["behind_low"], row["behind_high"] = over_synapses(predicted[best] - part)
    return rows
