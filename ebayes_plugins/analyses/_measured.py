"""Measured synapses: the tables that the project carries, and a user's table of means and variances."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ebayes_core.errors import DataError
from ebayes_plugins.datasets.tables import Table, Unfit, table

PLASTICITY = "plasticity, V1 layer 5 (Sjöström et al. 2001)"
RATES = "firing rate, V1 layer 2/3 (Ko et al. 2013)"
FEWEST = 10  #: smallest number of synapses to which boundaries are fitted
COLUMNS = ("mean", "variance", "mean_after", "variance_after", "n", "p")


class Synapses(NamedTuple):
    """Mean and variance of measured synapses, (synapses,) each; empty arrays for what was not measured."""

    source: str
    mean: np.ndarray
    variance: np.ndarray
    mean_after: np.ndarray
    variance_after: np.ndarray
    n: np.ndarray
    p: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """S = mean^2 / variance."""
        return self.mean**2 / self.variance


def deposited(name: str) -> np.ndarray:
    """The values of an experiment; their source and licence are given in README.md beside them."""
    with (files("ebayes_plugins") / "data" / name).open(encoding="utf-8") as file:
        return np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8")


def carried(n: float) -> list[Synapses]:
    """The two tables of the project; n: number of release sites where p and q were measured, the same for all."""
    t, none = deposited("plasticity.csv"), np.zeros(0)
    before, after = (_moments(n, t[f"p_{when}"], t[f"q_{when}_mv"]) for when in ("before", "after"))
    r = deposited("rates.csv")
    rates = Synapses(RATES, np.abs(r["psp_mean_mv"]), r["psp_variance_mv2"], none, none, none, none)
    return [Synapses(PLASTICITY, *before, *after, none, t["p_before"]), rates]


def _moments(n: float, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a binomial release (Eq. 1)."""
    return n * p * q, n * p * (1 - p) * q**2


def own(path: Path) -> Synapses:
    """A user's table. Raises DataError naming the file, and the line or the column."""
    try:
        return _checked(path.name, table(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Unfit as error:
        raise DataError(f"{path}: {error}") from error


def _checked(name: str, found: Table) -> Synapses:
    there = [c for c in COLUMNS if c in (*COLUMNS[:2], *found.names)]
    if ("mean_after" in there) != ("variance_after" in there):
        raise Unfit("mean_after and variance_after belong together: give both columns or neither")
    if len(found.rows) < FEWEST:
        raise Unfit(f"it has {len(found.rows)} synapses; boundaries are fitted to {FEWEST} or more")
    values = dict(zip(there, found.numbers(found.columns(there)).T, strict=True))
    values = {c: np.abs(v) if c.startswith("mean") else v for c, v in values.items()}
    for column, v in values.items():
        wrong = (v <= 0) | ((v >= 1) if column == "p" else False)
        if wrong.any():
            what = "is not between 0 and 1" if column == "p" else "is not positive, and its logarithm is needed"
            raise Unfit(found.at(int(np.flatnonzero(wrong)[0]), found.names.index(column), what))
    if np.ptp(values["mean"]) == 0:
        raise Unfit("all means are equal, which leaves no boundary to fit: measure synapses of different strength")
    return Synapses(source=name, **{c: values.get(c, np.zeros(0)) for c in COLUMNS})
