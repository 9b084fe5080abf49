"""The advantage of heterogeneous noise: accuracy at equal sigma, and at equal reliability cost (Fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._advantage_figure import draw_details, draw_main
from ebayes_plugins.analyses._curve_claims import ADVANTAGE
from ebayes_plugins.analyses._curve_sentences import gained, gains, title, trends
from ebayes_plugins.analyses._curves import AVERAGES, Arrays, columns, factor, pair, population
from ebayes_plugins.analyses._published import beside, shared
from ebayes_plugins.analyses._tradeoff_figure import average

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

#: axes along which two curves are compared at equal score, with the headings of their ratios
FACTORS = {"c": "c", **AVERAGES, "price": "cost", "price_at_rms": "cost at RMS sigma"}
MAIN = {"sigma_rms": "RMS sigma", "price": "cost"}  #: along which the title tells the gain
DETAILS = {"relative_median": "median sigma / RMS mean", "price_at_rms": "cost at RMS sigma"}
#: the factors of the published curves
PUBLISHED = {"c": "c", "sigma_rms_weights": "RMS sigma", "price": "cost", "price_at_rms": "cost at RMS sigma"}


class Advantage(Analysis):
    """Accuracy against sigma and against reliability cost, with heterogeneous and with homogeneous noise."""

    kind: Literal["advantage"] = "advantage"
    levels: tuple[float, ...] = Field(
        (0.97, 0.95, 0.9, 0.8, 0.5),
        min_length=1,
        max_length=20,
        description="scores at which the two noise modes are compared",
    )
    details: bool = Field(
        False, description="draw instead the median of sigma, sigma relative to the means, and the cost at RMS sigma"
    )
    published: bool = Field(
        False, description="draw the values behind the paper's Figure 3 as open markers and compare with them"
    )
    claims: ClassVar[tuple[Claim, ...]] = ADVANTAGE

    def measure(self, run: Run) -> Arrays:
        """One row per network that did not diverge (see `_curves.population`), and the published rows if asked for.

        Raises UserError if every network diverged, c does not vary, or nothing was published about these networks.
        """
        arrays = population(run)
        return arrays | (beside(arrays) if self.published else {})

    def statistics(self, arrays: Arrays) -> Arrays:
        """Ratio of heterogeneous to homogeneous noise in c, sigma and cost at equal score; 95% intervals over seeds.

        With the published curves, the ratios of these at the same scores, through the same values of c.
        """
        score = str(arrays["score"][0])
        rows = []
        for column in columns(arrays):
            for level in self.levels:
                found = _ratios(arrays, column, score, level, FACTORS, "x")
                if found:
                    theirs = _ratios(shared(arrays), column, score, level, PUBLISHED, "x, published")
                    rows.append({"mechanism": column, score: level} | found | theirs)
        heads = dict.fromkeys(head for row in rows for head in row)
        return {head: np.array([row.get(head, "") for row in rows]) for head in heads}

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A column per mechanism: accuracy against sigma, cost against sigma, accuracy against cost; or all details."""
        finding = title(gained(arrays, DETAILS if self.details else MAIN) or trends(arrays))
        if self.details:
            draw_details(arrays, figure, (finding,))
        else:
            theirs = gains(shared(arrays), {average(arrays): "RMS sigma", "price": "cost"})
            both = theirs and gains(arrays, MAIN)
            draw_main(arrays, figure, (finding, f"published: {theirs}" if both else ""))


def _ratios(arrays: Arrays, column: str, score: str, level: float, axes: dict[str, str], words: str) -> dict[str, Any]:
    """The ratios of two curves at one score as texts, by heading; empty if they do not both reach it."""
    both = pair(arrays, column) if arrays else None
    if both is None:
        return {}
    found = {head: factor(*both, axis, score, level) for axis, head in axes.items()}
    return {f"{head} {words}": _text(*v) for head, v in found.items()} if np.isfinite(found["c"][0]) else {}


def _text(value: float, low: float, high: float) -> str:
    """A ratio with its interval."""
    return f"{value:.3g}" if np.isnan(low) else f"{value:.3g} ({low:.2g}-{high:.2g})"
