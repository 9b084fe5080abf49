"""The trade-off: accuracy and sigma as functions of the multiplier c (Fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._curve_claims import TRADEOFF
from ebayes_plugins.analyses._curve_sentences import ends, gained, title, trends
from ebayes_plugins.analyses._curves import Arrays, columns, curve, lines, population
from ebayes_plugins.analyses._published import beside, differences, published, sentence
from ebayes_plugins.analyses._tradeoff_figure import draw_details, draw_main

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

MEANS = ("score_sample", "score_ensemble", "sigma_rms", "sigma_median", "sigma_rms_curved", "relative_median")


class Tradeoff(Analysis):
    """Accuracy and sigma against the multiplier c, with heterogeneous and with homogeneous noise."""

    kind: Literal["tradeoff"] = "tradeoff"
    details: bool = Field(
        False, description="draw also ensembles, mean weights, other averages of sigma, and sigma relative to the means"
    )
    published: bool = Field(
        False, description="draw the values behind the paper's Figure 2 as open markers and compare with them"
    )
    claims: ClassVar[tuple[Claim, ...]] = TRADEOFF

    def measure(self, run: Run) -> Arrays:
        """One row per network that did not diverge (see `_curves.population`), and the published rows if asked for.

        Raises UserError if every network diverged, c does not vary, or nothing was published about these networks.
        """
        arrays = population(run)
        return arrays | (beside(arrays) if self.published else {})

    def statistics(self, arrays: Arrays) -> Arrays:
        """Mean over seeds at each c for every line: score, sigma, the balance B, and distance from published values."""
        rows: dict[str, list[Any]] = {}
        for column in columns(arrays):
            for line, mine in lines(arrays, column):
                c, _, _ = curve(mine, "c")
                values: dict[str, Any] = {"mechanism": [column] * len(c), "noise": [line] * len(c), "c": c}
                values["seeds"] = [int((mine["c"] == at).sum()) for at in c]
                values |= {_heading(name, arrays): curve(mine, name)[1] for name in (*MEANS, "balance")}
                for name, part in values.items():
                    rows.setdefault(name, []).extend(part)
        return {name: np.array(values) for name, values in rows.items()} | _distances(arrays, rows)

    def headline(self, arrays: Arrays) -> str:
        """How score and sigma change with c, and how far they are from the published values."""
        return " ".join(part for part in (ends(arrays), sentence(differences(arrays))) if part)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A column per mechanism; accuracy and sigma, or all details; mean and s.d. over seeds."""
        finding = title(trends(arrays), gained(arrays, {"c": "c"}))
        if self.details:
            draw_details(arrays, figure, (finding,))
        else:
            draw_main(arrays, figure, (finding, sentence(differences(arrays))))


def _heading(name: str, arrays: Arrays) -> str:
    """The heading of a column, with its unit."""
    score = str(arrays["score"][0])
    unit = (
        " (weight)" if name.startswith("sigma") else " (target)" if name.startswith("score") and score == "rmse" else ""
    )
    return name.replace("score", score).replace("_", " ").replace("balance", "B") + unit


def _distances(arrays: Arrays, rows: dict[str, list[Any]]) -> Arrays:
    """Columns of differences from the published values, with 95% intervals over seeds; none without these values."""
    if not published(arrays):
        return {}
    found = {(d.column, d.line, d.c): d for d in differences(arrays)}
    keys = list(zip(rows["mechanism"], rows["noise"], rows["c"], strict=True))
    texts = [_texts(found[key]) if key in found else ("", "") for key in keys]
    heads = "accuracy minus published (points)", "RMS sigma of weights minus published (%)"
    return {head: np.array(part) for head, part in zip(heads, zip(*texts, strict=True), strict=True)}


def _texts(found: Any) -> tuple[str, str]:
    """Both differences in words, with their intervals if there are several seeds."""
    parts = []
    for value, low, high in (found.points, found.percent):
        parts.append(f"{value:+.2f}" + (f" ({low:+.2f} to {high:+.2f})" if np.isfinite(low) else ""))
    return parts[0], parts[1]
