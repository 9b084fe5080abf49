"""Boundary: do synapses buy their precision at least energy, and under which cost of n, p and q?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from ebayes_core.contract.files import ANALYSES, DIGEST, located, stamps
from ebayes_core.contract.files import digest as digest_of
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import DataError
from ebayes_core.report.canvas import spread
from ebayes_core.wording import span, text
from ebayes_plugins.analyses._boundary_figure import draw
from ebayes_plugins.analyses._boundary_fits import changes_compared, compared
from ebayes_plugins.analyses._boundary_slopes import FORWARD, changes, of_table, over_networks
from ebayes_plugins.analyses._clouds import Cloud, clouds
from ebayes_plugins.analyses._families import ANY
from ebayes_plugins.analyses._measured import Synapses, carried, own

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
Rows = list[dict[str, Any]]
MOVED = "changes of "
LAYERS = 4  #: largest number of layers of a network that are fitted and drawn
FIT = (
    "data", "family", "n", "log_likelihood", "parameters", "aic", "bic", "predicted", "behind", "behind_low",
    "behind_high", "excess", "error",
)  # fmt: skip
SLOPE = ("data", "what", "n", "slope", "low", "high", "over", "expected", "note")


class Boundary(Analysis):
    """Measured synapses against the boundary of least energy of each cost, beside the synapses of trained networks."""

    kind: Literal["boundary"] = "boundary"
    measured: str | None = Field(
        None, max_length=1000,
        description="CSV file of measured synapses, relative to the folder of the spec, with the columns mean and "
        "variance, and mean_after, variance_after, n and p if they were measured; the two tables of the project if "
        "left out",
    )  # fmt: skip
    unit: str = Field("mV", max_length=20, description="unit of the means")
    sites: float = Field(
        5.0, ge=1, le=1e4,
        description="number n of release sites where it was not measured, the same for all synapses: in the "
        "plasticity table mean = n p q and variance = n p (1 - p) q^2. No comparison of costs depends on it",
    )  # fmt: skip
    release_probability: float = Field(
        0.5, gt=0.01, lt=0.99,
        description="p on the boundary of all four costs at the median mean, which means and variances hardly "
        "determine",
    )  # fmt: skip
    turnover: float | None = Field(
        None, gt=0, le=1e6,
        description="price of turnover over that of calcium, if known; the one at which synapses pay least on average "
        "if left out",
    )  # fmt: skip
    excess: Literal["half_normal", "exponential"] = Field(
        "half_normal", description="distribution of what ln variance exceeds the boundary by, besides a normal error"
    )
    folds: int = Field(
        20, ge=2, le=10_000,
        description="parts that are predicted from the others; as many as synapses, or more: leave one out",
    )  # fmt: skip
    near_zero: float = Field(
        0.1, ge=0, le=10,
        description="simulated synapses with |mu| below this share of the layer's RMS mean are left out, unless the "
        "noise fixes the signs of weights",
    )  # fmt: skip
    networks: int = Field(4, ge=1, le=8, description="largest number of networks fitted and drawn, spread evenly")
    points: int = Field(500, ge=10, le=5000, description="largest number of synapses fitted and drawn of a layer")
    folder: str | None = Field(None, description="folder of the file; that of the spec if left out")
    digest: str | None = Field(
        None, pattern=DIGEST,
        description="SHA-256 of the file; computed if left out. A spec that contains it is refused if the file is "
        "another",
    )  # fmt: skip

    @field_validator("measured")
    @classmethod
    def _csv(cls, name: str | None) -> str | None:
        if name is not None and Path(name).suffix.lower() != ".csv":
            raise ValueError("must be a file ending in .csv")
        return name

    @model_validator(mode="before")
    @classmethod
    def _found(cls, table: Any, info: ValidationInfo) -> Any:
        """Where the file of a spec is, and its digest: of another content, the analysis is computed again."""
        named = [table.get("measured")] if isinstance(table, dict) else []
        return located(table, named, info.context, ANALYSES)

    @model_validator(mode="after")
    def _of_the_file(self) -> Boundary:
        if self.measured is None and (self.folder, self.digest, self.unit) != (None, None, "mV"):
            raise ValueError("folder, digest and unit belong to the file `measured`: name it, or leave them out")
        return self

    def measure(self, run: Run) -> Arrays:
        """Fits, slopes and points of the measured synapses and of finished networks with noise; without any, of the
        former alone. Raises DataError about the user's table.
        """
        tables = carried(self.sites) if self.measured is None else [self._own(Path(self.folder or "", self.measured))]
        simulated = clouds(run, self.near_zero)
        shown = [spread(group[0], LAYERS) for group in spread(simulated, self.networks)]
        fits = [row for table in tables for row in self._fits(table)]
        slopes = [row for table in tables for row in of_table(table, self.sites, self.turnover)]
        best = {cloud.name: self._best(cloud) for layers in shown for cloud in layers}
        rows = [row for group in simulated for row in over_networks(group)]
        slopes += [{**row, "note": best.get(row["data"], "") if row["what"] == FORWARD else ""} for row in rows]
        left = {"networks": [len(shown), len(simulated)], "layers": _counts(shown, simulated)}
        counts = {name: np.array(count) for name, count in left.items()}
        return {**_table("fit", fits), **_table("slope", slopes), **self._points(tables, shown), **counts}

    def _own(self, path: Path) -> Synapses:
        """The user's table, after a check that it is the one of the spec."""
        found = own(path)
        if self.digest not in (None, digest_of(stamps([path]))):
            raise DataError(f"{path}: its content has changed since the spec was read: restore it, or start again")
        return found

    def _fits(self, table: Synapses) -> Iterator[dict[str, Any]]:
        rows = compared(table.mean, table.variance, self.excess, self.folds, self.release_probability)
        yield from ({"data": table.source, **row} for row in rows)
        if len(table.mean_after):
            nothing = {"error": np.nan, "excess": np.nan, "shares": np.full(3, np.nan)}
            lines = {name: np.full_like(rows[0][name], np.nan) for name in ("line_x", "line_y")}
            for row in changes_compared(*changes(table), self.folds):
                yield {"data": MOVED + table.source, **nothing, **lines, **row}

    def _best(self, cloud: Cloud) -> str:
        """The family whose boundary fits a layer of a network best."""
        mean, sigma = cloud.some(self.points)
        rows = compared(mean, sigma**2, self.excess, 0, self.release_probability)
        known = [row for row in rows if row["family"] != ANY]
        return f"of least AIC: {min(known, key=lambda row: row['aic'])['family']}"

    def _points(self, tables: list[Synapses], shown: list[list[Cloud]]) -> Arrays:
        """Measured and simulated synapses, each set beside the median of its means."""
        found = [(t.source, 0, np.nan, t.mean, np.sqrt(t.variance)) for t in tables]
        found += [(c.name, c.layer, c.rho, *c.some(self.points)) for layers in shown for c in layers]
        sizes = [len(mean) for *_, mean, _ in found]
        sets = {"set": [f[0] for f in found], "layer": [f[1] for f in found], "rho": [f[2] for f in found]}
        moved = [(i, *changes(t)) for i, t in enumerate(tables) if len(t.mean_after)]
        arrays = {f"set_{name}": np.array(values) for name, values in sets.items()}
        arrays |= {"set_median": np.array([np.median(mean) for *_, mean, _ in found])}
        arrays |= {"point_set": np.repeat(np.arange(len(found)), sizes)}
        arrays |= {"point_mean": np.concatenate([f[3] for f in found])}
        arrays |= {"point_sigma": np.concatenate([f[4] for f in found])}
        arrays |= {"moved_set": np.array([i for i, mean, _ in moved for _ in mean], dtype=int)}
        parts = list(zip(*moved, strict=True))[1:] if moved else [[np.zeros(0)], [np.zeros(0)]]
        return arrays | {f"moved_{k}": np.concatenate(v) for k, v in zip(("mean", "sigma"), parts, strict=True)}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Slopes and exponents with their intervals, then how well each family of costs fits and predicts."""
        slopes, fits = (_columns(arrays, part, names) for part, names in (("slope", SLOPE), ("fit", FIT)))
        lines, more = len(slopes["data"]), len(fits["data"])
        blank, words = (lambda k: np.full(k, np.nan)), (lambda k: np.full(k, ""))
        join = lambda a, b: np.concatenate([a, b])
        what = np.array([f"behind the best (nat): {name}" for name in fits["family"]])
        table = {
            "data": join(slopes["data"], fits["data"]), "quantity": join(slopes["what"], what),
            "n": join(slopes["n"], fits["n"]), "estimate": join(slopes["slope"], fits["behind"]),
            "low": join(slopes["low"], fits["behind_low"]), "high": join(slopes["high"], fits["behind_high"]),
            "interval over": join(slopes["over"], np.full(more, "synapses")),
            "expected": join(slopes["expected"], words(more)), "note": join(slopes["note"], words(more)),
        }  # fmt: skip
        named = {
            "log-likelihood (nat)": "log_likelihood", "parameters": "parameters", "AIC": "aic", "BIC": "bic",
            "excess": "excess", "normal error": "error",
        }  # fmt: skip
        return table | {title: join(blank(lines), fits[name].astype(float)) for title, name in named.items()}

    def headline(self, arrays: Arrays) -> str:
        """For each table: the slope of variance on mean, and which boundary of one energy comes nearest to it."""
        tables = [
            i for i in np.flatnonzero(arrays["slope_what"] == FORWARD) if arrays["slope_data"][i] in arrays["fit_data"]
        ]
        return "; ".join(_sentence(arrays, i) for i in tables) + "."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Boundaries, changes, predictions, and the synapses of networks on the same axes."""
        draw(arrays, figure, self.unit)


def _counts(shown: list[list[Cloud]], groups: list[list[list[Cloud]]]) -> list[int]:
    """The largest numbers of layers, of those drawn and of all."""
    return [max(map(len, shown), default=0), max((len(group[0]) for group in groups), default=0)]


def _table(part: str, rows: Rows) -> Arrays:
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {f"{part}_{name}": np.array([row[name] for row in rows]) for name in names}


def _columns(arrays: Arrays, part: str, names: tuple[str, ...]) -> Arrays:
    return {name: arrays[f"{part}_{name}"] for name in names}


def _sentence(arrays: Arrays, i: Any) -> str:
    """One table in words."""
    slope, low, high = (float(arrays[f"slope_{name}"][i]) for name in ("slope", "low", "high"))
    mine = (arrays["fit_data"] == arrays["slope_data"][i]) & (arrays["fit_family"] != ANY)
    best = np.flatnonzero(mine)[np.argmin(arrays["fit_behind"][mine])]
    behind = [float(arrays[f"fit_{name}"][best]) for name in ("behind", "behind_low", "behind_high")]
    nearest = f"of boundaries of one energy '{arrays['fit_family'][best]}' predicts best"
    if behind[0] > 0:
        nearest += f", {text(behind[0])} nat [{text(behind[1])}, {text(behind[2])}] behind any power law"
    reverse = arrays["slope_slope"][i + 1]
    return (
        f"{arrays['slope_data'][i]}: variance goes as the mean to the {text(slope)} [{text(low)}, {text(high)}] "
        f"({span([slope, reverse])} if both have errors); {nearest}"
    )
