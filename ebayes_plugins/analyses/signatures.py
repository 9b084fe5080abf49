"""Signatures: are the important synapses the reliable ones in every task, layer and mechanism?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.wording import span
from ebayes_plugins.analyses._common import follows, mechanism
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._signatures import QUANTITIES, Quantity, contains, groups, holds, measured
from ebayes_plugins.analyses._tasks import tasks
from ebayes_plugins.analyses._titles import count
from ebayes_plugins.analyses.importance import Importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

OF_A_LAYER = (
    "member", "layer", "seed", "rho", "n", "left_out", "slope", "analytic_slope", "rank_correlation", "balance",
    "solved",
)  # fmt: skip


class Signatures(Analysis):
    """Rank correlation and slope of sigma^2 on curvature, input and learning rate, for every task and layer."""

    kind: Literal["signatures"] = "signatures"
    flat_below: float = Field(
        1e-6, ge=0, lt=1, description="synapses with less than this share of their layer's median curvature are flat"
    )

    def measure(self, run: Run) -> Arrays:
        """Per quantity, network and layer: the fit of `importance`, with the task and the mechanism.

        The curvature is that of test examples, which have set no sigma. Raises UserError if no network has sigmas that
        differ, or if none of the quantities was measured.
        """
        found, why = [], UserError("")
        for q in QUANTITIES:
            try:
                found.append(self._fits(run, q))
            except UserError as error:
                why = error
        if not found:
            raise why
        joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        members = list(dict.fromkeys(joined["member"].tolist()))
        named = dict(zip(members, tasks(run, members), strict=True))
        left = _of_tasks(run, named)
        return joined | {
            "task": np.array([named[i] for i in joined["member"].tolist()]),
            "mechanism": np.array([", ".join(mechanism(run, i, left)) for i in joined["member"].tolist()]),
        }

    def _fits(self, run: Run, q: Quantity) -> Arrays:
        """Per network and layer, the numbers of `importance`."""
        arrays = Importance(estimator=q.estimator, flat_below=self.flat_below, points=10).measure(run)
        kept = {name: arrays[name] for name in OF_A_LAYER}
        return kept | {"quantity": np.full(len(kept["layer"]), q.estimator)}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per quantity, task, layer and mechanism: rank correlation and slope with 95% intervals over seeds."""
        rows = [_row(arrays, mine) for mine in groups(arrays).values()]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def headline(self, arrays: Arrays) -> str:
        """In how many layers and mechanisms each relation has theory's sign beyond chance, its strength, and slopes."""
        shown = [q for q in QUANTITIES if q.estimator in arrays["quantity"]]
        layers, mechanisms = len(set(zip(arrays["task"], arrays["layer"], strict=True))), set(arrays["mechanism"])
        over = f"In {count(layers, 'layer')} under {count(len(mechanisms), 'mechanism')}"
        if len(set(arrays["seed"].tolist())) < 2:
            found = ", ".join(f"{_strength(arrays, q)} ({q.name})" for q in shown)
            return f"{over}, rank correlations of sigma^2 are {found}; a single seed has no interval."
        agreed = ", ".join(_sentence(arrays, q) for q in shown)
        inside = ", ".join(str(_inside(arrays, q)) for q in shown)
        return f"{over}, sigma^2 {agreed}; intervals of the slopes include the optimum's in {inside}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A row for each task and layer, a column for each quantity and statistic, mechanisms in colours."""
        from ebayes_plugins.analyses import _signatures_figure

        _signatures_figure.draw(arrays, figure, self.headline(arrays))


def _of_tasks(run: Run, named: dict[int, str]) -> tuple[str, ...]:
    """Swept fields that are no part of the mechanism: those that have one value in each task."""
    others = [name for name in run.swept if name.split(".")[0] not in ("cost", "inference")]
    return tuple(name for name in others if follows([run.swept[name][i] for i in named], named.values()))


def _row(a: Arrays, mine: np.ndarray) -> dict[str, Any]:
    first = mine[0]
    rank, slope = (measured(a, mine, name) for name in ("rank_correlation", "slope"))
    q = next(q for q in QUANTITIES if q.estimator == a["quantity"][first])
    return {
        "sigma^2 against": q.name, "task": a["task"][first], "layer": a["layer"][first],
        "mechanism": a["mechanism"][first], "seeds": rank.seeds, "n": int(a["n"][mine].min()),
        "rank r": rank.value, "95% of r": f"{rank.low:.2f} to {rank.high:.2f}", "slope": slope.value,
        "95% of slope": f"{slope.low:.2f} to {slope.high:.2f}", "optimum": measured(a, mine, "analytic_slope").value,
        "B": f"{a['balance'][mine].min():.2f} to {a['balance'][mine].max():.2f}",
    }  # fmt: skip


def _sentence(a: Arrays, q: Quantity) -> str:
    """One quantity in words."""
    ranks = [measured(a, rows, "rank_correlation") for rows in _of(a, q)]
    verb, agreed = "falls" if q.sign < 0 else "rises", sum(holds(r, q.sign) for r in ranks)
    return f"{verb} with {q.name} in {agreed} of {len(ranks)} (rank correlation {_strength(a, q)})"


def _strength(a: Arrays, q: Quantity) -> str:
    """The range of the rank correlations, each a mean over seeds."""
    return span([round(measured(a, rows, "rank_correlation").value, 2) for rows in _of(a, q)])


def _inside(a: Arrays, q: Quantity) -> int:
    """In how many layers the interval of the slope includes the slope at the optimum."""
    optimum = lambda rows: measured(a, rows, "analytic_slope").value
    return sum(contains(measured(a, rows, "slope"), optimum(rows)) for rows in _of(a, q))


def _of(a: Arrays, q: Quantity) -> list[np.ndarray]:
    return [rows for key, rows in groups(a).items() if key[0] == q.estimator]
