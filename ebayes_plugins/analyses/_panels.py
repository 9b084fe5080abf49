"""Panels, one for each network and layer: their numbers as arrays, and means over the seeds of a sweep point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._common import label
from ebayes_plugins.analyses._regression import over_seeds

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]


def table(panels: list[dict[str, Any]]) -> Arrays:
    """By name, a row per panel; rows of different lengths are padded with NaN."""
    return {name: _rows([panel[name] for panel in panels]) for name in panels[0]}


def _rows(values: list[Any]) -> np.ndarray:
    length = max(1, *map(np.size, values))
    return np.array([v if np.shape(v) in ((), (length,)) else _padded(v, length) for v in values])


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=np.nan)


def points(run: Run, arrays: Arrays) -> np.ndarray:
    """Name of each panel's sweep point and layer, which panels of different seeds share; from `member` and `layer`."""
    named = [label(run, int(i), ("seed",)) for i in arrays["member"]]
    return np.array([f"{name}, layer {layer}" for name, layer in zip(named, arrays["layer"], strict=True)])


def over_points(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each panel, the mean over the seeds of its point, the half width of its 95% interval, the number of seeds."""
    rows = np.full((len(keys), 3), np.nan)
    for key in np.unique(keys):
        mine = values[keys == key]
        rows[keys == key] = (*over_seeds(mine), np.isfinite(mine).sum())
    return rows[:, 0], rows[:, 1], rows[:, 2]


def firsts(keys: np.ndarray) -> np.ndarray:
    """Index of the first panel of each point, in order."""
    return np.sort(np.unique(keys, return_index=True)[1])
