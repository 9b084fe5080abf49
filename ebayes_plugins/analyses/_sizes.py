"""Averages of sigma over the synapses of a network, alone and relative to the means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebayes_plugins.analyses._common import curvature

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

SIZES = ("rms", "median", "rms_curved")
SIZE_NAMES = {"rms": "RMS", "median": "median", "rms_curved": "RMS without flat synapses"}


def sizes(run: Run, member: int) -> dict[str, float]:
    """RMS, median, and RMS without flat synapses: of sigma, and of sigma over the RMS mean of its layer.

    Means and sigma of a ReLU network can be rescaled together without changing its function: only their ratio is
    meaningful. A record has the averages of sigma alone.
    """
    if not run.has_synapses:
        known = {f"sigma_{size}": float(run.metric(f"sigma_{size}")[member]) for size in SIZES}
        return known | {f"relative_{size}": np.nan for size in SIZES}
    parts: dict[str, list[np.ndarray]] = {"sigma": [], "relative": [], "curved": []}
    for layer in range(1, run.n_layers(member) + 1):
        mu, sigma = (run.layer(member, layer, name) for name in ("mu", "sigma"))
        parts["sigma"].append(sigma.ravel())
        parts["relative"].append(sigma.ravel() / np.sqrt((mu.astype(float) ** 2).mean()))
        parts["curved"].append(curvature(run, member, layer).ravel() > 0)
    curved = np.concatenate(parts.pop("curved"))
    return {f"{name}_{size}": v for name in parts for size, v in _three(np.concatenate(parts[name]), curved).items()}


def _three(values: np.ndarray, curved: np.ndarray) -> dict[str, float]:
    square = values.astype(float) ** 2
    some = square[curved]
    found = np.sqrt(square.mean()), np.median(values), np.sqrt(some.mean()) if some.size else np.nan
    return dict(zip(SIZES, map(float, found), strict=True))
