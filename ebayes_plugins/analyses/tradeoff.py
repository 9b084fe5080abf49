"""The trade-off: what a higher price of reliability does to accuracy and to the noise (Fig. 2, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ebayes_core.errors import UserError
from ebayes_core.slots import Analysis
from ebayes_plugins.analyses._common import (
    MARKERS,
    axis_scale,
    colour,
    cost_of,
    exponent,
    finished,
    grid,
    mean_band,
    settings,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.runfile import Run

WAYS = {"sample": "-", "ensemble": "--", "mean": ":"}
WAY_NAMES = {"sample": "one sampled network", "ensemble": "ensemble", "mean": "mean weights"}
SIZES = {"sigma_rms": "-", "sigma_median": "--", "sigma_rms_curved": ":"}
SIZE_NAMES = {"sigma_rms": "RMS", "sigma_median": "median", "sigma_rms_curved": "RMS, curved synapses"}


class Tradeoff(Analysis):
    """Accuracy and sigma against the multiplier c, and accuracy against the energy that is paid."""

    kind: Literal["tradeoff"] = "tradeoff"

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Numbers of the finished members with their c, and the line that each belongs to.

        Raises UserError where every member diverged, or c does not vary.
        """
        members = finished(run)
        if not members:
            raise UserError("tradeoff has nothing to show, every member diverged: lower training.learning_rate")
        specs = [run.member_spec(i) for i in members]
        c = np.array([float(cost_of(spec).multiplier) for spec in specs])
        if len(np.unique(c)) < 2:
            raise UserError(
                'tradeoff needs several values of c: add  [sweep]  "cost.c" = { logspace = [-2, 1, 7] }  to the spec'
            )
        score = "accuracy" if _has_accuracy(run, members) else "rmse"
        numbers = {f"score_{way}": run.metric(f"{score}_{way}")[members] for way in WAYS}
        numbers |= {name: run.metric(name)[members] for name in (*SIZES, "reliability_cost", "balance")}
        return {
            **numbers,
            "c": c,
            "line": np.array([_line(run, i) for i in members]),
            "rho": np.array([exponent(spec) for spec in specs]),
            "noise": np.array([spec["noise"]["kind"] for spec in specs]),
            "seed": run.seeds[members],
            "score": np.array([score]),
            "diverged": np.array([run.n_members - len(members)]),
        }

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Three panels; a colour and a marker per line of the sweep, mean and one standard deviation over seeds."""
        axes = grid(figure, 1, 3, 3.4)[0]
        lines = list(dict.fromkeys(arrays["line"].tolist()))
        for number, line in enumerate(lines):
            mine = {name: values[arrays["line"] == line] for name, values in arrays.items() if len(values) > 1}
            self._draw_line(axes, mine, {"marker": MARKERS[number % len(MARKERS)], "label": line})
        self._name(axes, arrays)
        rows = -(-len(lines) // 3)
        figure.set_size_inches(10.2, 3.3 + 0.18 * rows)
        figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        if arrays["diverged"][0]:
            figure.suptitle(f"members left out because they diverged: {arrays['diverged'][0]}", fontsize=9)

    def _draw_line(self, axes: np.ndarray, mine: dict[str, np.ndarray], style: dict[str, Any]) -> None:
        """One line of the sweep in all three panels."""
        style = {**style, "color": colour(float(mine["rho"][0]), str(mine["noise"][0]))}
        for way, dash in WAYS.items():
            _band(axes[0], mine["c"], mine[f"score_{way}"], linestyle=dash, **style)
        for size, dash in SIZES.items():  # no noise is no point on a log axis
            _band(axes[1], mine["c"], np.where(mine[size] > 0, mine[size], np.nan), linestyle=dash, **style)
        at = np.unique(mine["c"])
        paid = np.array([mean_band(mine["reliability_cost"][mine["c"] == x]) for x in at])
        reached = np.array([mean_band(mine["score_sample"][mine["c"] == x]) for x in at])
        bars = {"xerr": paid[:, 1], "yerr": reached[:, 1]} if len(at) < len(mine["c"]) else {}
        axes[2].errorbar(paid[:, 0], reached[:, 0], **bars, elinewidth=0.7, **style)

    def _name(self, axes: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
        """Titles, units, scales, and what the dashes mean."""
        score = str(arrays["score"][0])
        text, unit = ("accuracy", "share right") if score == "accuracy" else ("RMSE", "RMSE (target)")
        axes[0].set(title=f"{text} on the test set", xlabel="multiplier c", ylabel=unit, xscale="log")
        axes[1].set(title="size of the noise", xlabel="multiplier c", ylabel="sigma (weight)", xscale="log")
        axes[1].set_yscale(axis_scale(arrays["sigma_rms"]))
        axes[2].set(title=f"{text} of a sampled network", xlabel="reliability cost, summed (nat)", ylabel=unit)
        axes[2].set_xscale(axis_scale(arrays["reliability_cost"]))
        axes[2].tick_params(axis="x", which="minor", labelsize=6, labelrotation=45)  # labelled where decades are few
        _dash_legend(axes[0], {name: WAYS[way] for way, name in WAY_NAMES.items()})
        _dash_legend(axes[1], {name: SIZES[size] for size, name in SIZE_NAMES.items()})


def _has_accuracy(run: Run, members: list[int]) -> bool:
    return "accuracy_mean" in run.metrics and bool(np.isfinite(run.metric("accuracy_mean")[members]).any())


def _line(run: Run, member: int) -> str:
    """What a member has in common with those that differ in c and seed alone."""
    spec = run.member_spec(member)
    kinds = [spec[slot]["kind"] for slot in ("cost", "noise") if slot not in run.swept]
    left_out = ("seed", "cost.c", "cost.s", "cost.kind", "noise.kind")
    return ", ".join([*kinds, *settings(run, member, left_out)])


def _dash_legend(ax: Axes, dashes: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    ax.legend(handles=[Line2D([], [], color="0.2", linestyle=dash, label=name) for name, dash in dashes.items()])


def _band(ax: Axes, c: np.ndarray, values: np.ndarray, **style: Any) -> None:
    """Mean over seeds at each c, with a band of one standard deviation about a solid line."""
    at = np.unique(c)
    mean, sd = np.array([mean_band(values[c == x]) for x in at]).T
    ax.plot(at, mean, **style)
    if (sd > 0).any() and style["linestyle"] == "-":  # a band for every dash would hide them all
        ax.fill_between(at, mean - sd, mean + sd, color=style["color"], alpha=0.12, linewidth=0)
