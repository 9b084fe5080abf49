"""Gaussian predictive distributions: distances, calibration, and regions of x."""

from __future__ import annotations

import numpy as np

#: A point is near the data if the nearest training point is within this share of the data's range.
NEAR = 0.03
#: Share of a Gaussian within two standard deviations.
EXPECTED = 0.9545


def similarity(m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Mean of the two Kullback-Leibler divergences between N(m, s^2) and N(n, t^2), elementwise (nat)."""
    return ((s**2 + (m - n) ** 2) / t**2 + (t**2 + (m - n) ** 2) / s**2 - 2) / 4


def transport(m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> np.ndarray:
    """2-Wasserstein distance of N(m, s^2) and N(n, t^2), elementwise, in units of the target."""
    return np.hypot(m - n, s - t)


def calibration(y: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> dict[str, float]:
    """Share of targets within two standard deviations, and the mean Gaussian log density of a target (nat)."""
    z = (y - mean) / sd
    return {
        "covered": float((np.abs(z) <= 2).mean()),
        "log_density": float((-0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).mean()),
    }


def places(x: np.ndarray, data: np.ndarray) -> dict[str, np.ndarray]:
    """Region of each x: near a training point, in a gap between them, or beyond them all."""
    inside = (x >= data.min()) & (x <= data.max())
    near = inside & (np.abs(x[:, None] - data).min(1) <= NEAR * np.ptp(data))
    return {"near": near, "gap": inside & ~near, "beyond": ~inside}


def share(p: float, n: int) -> tuple[float, float, float]:
    """A proportion among n points with Wilson's 95% interval."""
    z2 = 1.96**2
    middle, half = p + z2 / (2 * n), 1.96 * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    return p, (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
