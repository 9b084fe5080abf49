"""The advantage of heterogeneous noise: accuracy at equal sigma, and at equal reliability cost (Fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._curve_claims import ADVANTAGE
from ebayes_plugins.analyses._curve_panels import Look, Panels, legend_below, panels, score_name
from ebayes_plugins.analyses._curves import (
    AVERAGES,
    PRICES,
    Arrays,
    columns,
    curve,
    factor,
    gain,
    pair,
    population,
)
from ebayes_plugins.analyses._layout import axis_scale, few_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

#: axes along which two curves are compared at equal score, with the headings of their ratios
FACTORS = {"c": "c", **AVERAGES, "price": "cost", "price_at_rms": "cost at RMS sigma"}


class Advantage(Analysis):
    """Accuracy against sigma and against reliability cost, with heterogeneous and with homogeneous noise."""

    kind: Literal["advantage"] = "advantage"
    levels: tuple[float, ...] = Field(
        (0.97, 0.95, 0.9, 0.8, 0.5),
        min_length=1,
        max_length=20,
        description="scores at which the two noise modes are compared",
    )
    claims: ClassVar[tuple[Claim, ...]] = ADVANTAGE

    def measure(self, run: Run) -> Arrays:
        """One row per network that did not diverge (see `_curves.population`).

        Raises UserError if every network diverged, or c does not vary.
        """
        return population(run)

    def statistics(self, arrays: Arrays) -> Arrays:
        """Ratio of heterogeneous to homogeneous noise in c, sigma and cost at equal score; 95% intervals over seeds."""
        score = str(arrays["score"][0])
        rows = []
        for column in columns(arrays):
            both = pair(arrays, column)
            if both is None:
                continue
            for level in self.levels:
                found = {head: factor(*both, axis, score, level) for axis, head in FACTORS.items()}
                if np.isfinite(found["c"][0]):
                    rows.append({"mechanism": column, score: level} | {f"{k} x": _text(*v) for k, v in found.items()})
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A column per mechanism; accuracy against sigma, cost against sigma, accuracy against cost."""
        shown = panels(figure, arrays, 4, _draw_line)
        for ax, column in zip(shown.axes[3], shown.names, strict=True):
            _gain_above(ax, arrays, column)
        _scales(shown, arrays)
        dashes = {
            "RMS sigma; cost summed over synapses": "-",
            "median sigma": "--",
            "cost at the RMS sigma (slope -rho)": ":",
        }
        legend_below(figure, arrays, shown, dashes)


def _text(value: float, low: float, high: float) -> str:
    """A ratio with its interval."""
    return f"{value:.3g}" if np.isnan(low) else f"{value:.3g} ({low:.2g}-{high:.2g})"


def _draw_line(axes: np.ndarray, mine: Arrays, look: Look) -> None:
    """One noise mode under one mechanism in all four panels."""
    for x, y, ax, dash in (
        ("sigma_rms", "score_sample", axes[0], "-"), ("sigma_median", "score_sample", axes[0], "--"),
        ("relative_median", "score_sample", axes[1], "--"),
        ("sigma_rms", "price", axes[2], "-"), ("sigma_rms", "price_at_rms", axes[2], ":"),
        ("price", "score_sample", axes[3], "-"), ("price_at_rms", "score_sample", axes[3], ":"),
    ):  # fmt: skip
        _against(ax, mine, x, y, linestyle=dash, **look)


def _against(ax: Axes, mine: Arrays, x: str, y: str, **look: Any) -> None:
    """One curve, in the order of c, with bars of one standard deviation over seeds on both axes."""
    (_, at, wide), (_, mean, high) = curve(mine, x), curve(mine, y)
    bars: dict[str, Any] = {"xerr": wide, "yerr": high} if (wide > 0).any() and look["linestyle"] == "-" else {}
    ax.errorbar(np.where(at > 0, at, np.nan), mean, **bars, elinewidth=0.7, **look)


def _gain_above(ax: Axes, arrays: Arrays, column: str) -> None:
    """The gain in accuracy at equal cost, with its interval, as the title of its panel."""
    both = pair(arrays, column)
    if both and arrays["score"][0] == "accuracy":
        found = [100 * np.array(gain(*both, price, "accuracy")) for price in PRICES]
        texts = [f"{v:+.1f} ({low:+.1f} to {high:+.1f})" if np.isfinite(low) else f"{v:+.1f}" for v, low, high in found]
        parts = [f"{text}, {name}" for text, name in zip(texts, PRICES.values(), strict=True)]
        ax.set_title("\n".join(["percentage points gained at equal cost:", *parts]), fontsize=7)


def _scales(shown: Panels, arrays: Arrays) -> None:
    """Labels and scales: sigma and cost span decades."""
    score, price = score_name(arrays), "cost per synapse, s = 1 (nat)"
    rows = (
        ("sigma (weight)", score, "sigma_rms"), ("sigma / RMS mean of layer", score, "relative_median"),
        ("RMS sigma (weight)", price, "sigma_rms"), (price, score, "price"),
    )  # fmt: skip
    for row, (x, y, name) in enumerate(rows):
        for ax in shown.axes[row, :: shown.wide]:
            ax.set_ylabel(y)
        for ax in shown.axes[row]:
            ax.set(xlabel=x, xscale=axis_scale(arrays[name]))
            ax.set_yscale(axis_scale(arrays["price"]) if y == price else "linear")
            few_ticks(ax)
