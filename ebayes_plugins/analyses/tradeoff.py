"""The trade-off: accuracy and sigma as functions of the multiplier c (Fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses._colours import NOISES
from ebayes_plugins.analyses._curve_claims import TRADEOFF
from ebayes_plugins.analyses._curve_panels import Look, Panels, legend_below, panels, score_name
from ebayes_plugins.analyses._curves import SIZE_NAMES, SIZES, Arrays, columns, curve, lines, population
from ebayes_plugins.analyses._layout import axis_scale, few_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

DASHES = {"score_sample": "-", "score_ensemble": "--", "score_mean": ":"}
WAY_NAMES = {"score_sample": "one sampled network", "score_ensemble": "ensemble", "score_mean": "mean weights"}
SIZE_DASHES = dict(zip(SIZES, ("-", "--", ":"), strict=True))
ROWS = ("score", "sigma", "relative")
TWICE = (0, (1, 1))  #: dashes for a reliability cost that counts twice
UNITS = {"sigma": "sigma (weight)", "relative": "sigma / RMS mean of layer"}


class Tradeoff(Analysis):
    """Accuracy and sigma against the multiplier c, with heterogeneous and with homogeneous noise."""

    kind: Literal["tradeoff"] = "tradeoff"
    claims: ClassVar[tuple[Claim, ...]] = TRADEOFF

    def measure(self, run: Run) -> Arrays:
        """One row per network that did not diverge (see `_curves.population`).

        Raises UserError if every network diverged, or c does not vary.
        """
        return population(run)

    def statistics(self, arrays: Arrays) -> Arrays:
        """Mean over seeds at each c for every line: score, sigma, and the balance B."""
        names = ("score_sample", "score_ensemble", "sigma_rms", "sigma_median", "sigma_rms_curved", "relative_median")
        rows: dict[str, list[Any]] = {}
        for column in columns(arrays):
            for line, mine in lines(arrays, column):
                c, _, _ = curve(mine, "c")
                values: dict[str, Any] = {"mechanism": [column] * len(c), "noise": [line] * len(c), "c": c}
                values["seeds"] = [int((mine["c"] == at).sum()) for at in c]
                values |= {_heading(name, arrays): curve(mine, name)[1] for name in (*names, "balance")}
                for name, part in values.items():
                    rows.setdefault(name, []).extend(part)
        return {name: np.array(values) for name, values in rows.items()}

    def headline(self, arrays: Arrays) -> str:
        """Score and sigma at the largest c compared with the smallest: values for one curve, counts for several."""
        noisy = [mine for column in columns(arrays) for line, mine in lines(arrays, column) if line != "none"]
        found = [mine for mine in noisy if len(np.unique(mine["c"])) > 1]
        score = str(arrays["score"][0]).replace("rmse", "RMSE")
        if not found:
            return ""
        if len(found) == 1:
            c, scores, sigmas = (curve(found[0], name)[1] for name in ("c", "score_sample", "sigma_rms"))
            return f"As c increases {_ends(c)}, {score} goes {_ends(scores)} and RMS sigma {_ends(sigmas)}."
        score_up, sigma_up = (
            sum(values[-1] > values[0] for values in (curve(mine, name)[1] for mine in found))
            for name in ("score_sample", "sigma_rms")
        )
        return (
            f"From the smallest to the largest c, {score} increases in {score_up} and RMS sigma in {sigma_up} of "
            f"{len(found)} curves, one for each mechanism and noise mode."
        )

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A column per mechanism; accuracy, sigma, and sigma relative to the means; mean and s.d. over seeds."""
        shown = panels(figure, arrays, 3, _draw_line)
        _scales(shown, arrays)
        dashes = {f"accuracy, sigma: {WAY_NAMES[way]}; {SIZE_NAMES[size]}": dash for (way, dash), size in
                  zip(DASHES.items(), SIZES, strict=True)}  # fmt: skip
        twice = {"color": NOISES["homogeneous"], "linestyle": TWICE}
        more = {"homogeneous, cost counted twice (authors' code)": twice} if "homogeneous" in arrays["line"] else {}
        legend_below(figure, arrays, shown, dashes, more)


def _ends(values: np.ndarray) -> str:
    return f"from {values[0]:.3g} to {values[-1]:.3g}"


def _heading(name: str, arrays: Arrays) -> str:
    """The heading of a column, with its unit."""
    score = str(arrays["score"][0])
    unit = (
        " (weight)" if name.startswith("sigma") else " (target)" if name.startswith("score") and score == "rmse" else ""
    )
    return name.replace("score", score).replace("_", " ").replace("balance", "B") + unit


def _draw_line(axes: np.ndarray, mine: Arrays, look: Look) -> None:
    """One noise mode under one mechanism in all three panels."""
    for name, dash in DASHES.items():
        _band(axes[0], mine, name, linestyle=dash, **look)
    for row, name in enumerate(ROWS[1:], start=1):
        for size, dash in SIZE_DASHES.items():
            _band(axes[row], mine, f"{name}_{size}", linestyle=dash, **look)
    if mine["line"][0] == "homogeneous":
        twice = {**look, "marker": "", "linewidth": 1, "linestyle": TWICE, "alpha": 0.8}
        for ax, name in zip(axes, ("score_sample", "sigma_rms", "relative_rms"), strict=True):
            c, mean, _ = curve(mine, name)  # a cost counted twice at c equals one counted once at 2 c
            ax.plot(c / 2, mean, **twice)


def _band(ax: Axes, mine: Arrays, name: str, **look: Any) -> None:
    """Mean over seeds at each c, with a band of one standard deviation around a solid line."""
    at, mean, sd = curve(mine, name)
    mean = np.where(
        (mean > 0) | name.startswith("score"), mean, np.nan
    )  # without noise there is nothing to show on a log axis
    ax.plot(at, mean, **look)
    if (sd > 0).any() and look["linestyle"] == "-":  # bands for all dashes would hide the lines
        ax.fill_between(at, mean - sd, mean + sd, color=look["color"], alpha=0.2, linewidth=0)


def _scales(shown: Panels, arrays: Arrays) -> None:
    """One y axis per row, named on the left."""
    axes = shown.axes
    units = {"score": score_name(arrays), **UNITS}
    for row, name in enumerate(ROWS):
        for ax in axes[row, :: shown.wide]:
            ax.set_ylabel(units[name])
        for ax in axes[row]:
            ax.set_xscale("log")
            ax.sharey(axes[row, 0]) if ax is not axes[row, 0] else None
        axes[row, 0].set_yscale("linear" if name == "score" else axis_scale(arrays[f"{name}_rms"]))
    for ax in axes.flat:
        few_ticks(ax)
    for ax in axes[-1]:
        ax.set_xlabel("multiplier c")
