"""The trade-off: what a higher price of reliability does to accuracy and to the noise (Fig. 2, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ebayes_core.errors import UserError
from ebayes_core.slots import Analysis
from ebayes_plugins.analyses._common import MARKERS, colour, finished, grid, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.runfile import Run

WAYS = {"sample": "-", "ensemble": "--", "mean": ":"}
SIZES = {"sigma_rms": "-", "sigma_median": "--", "sigma_rms_curved": ":"}
NAMES = {"sigma_rms": "RMS", "sigma_median": "median", "sigma_rms_curved": "RMS, curved synapses"}


class Tradeoff(Analysis):
    """Accuracy and sigma against the multiplier c, and accuracy against the energy that is paid."""

    kind: Literal["tradeoff"] = "tradeoff"

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Numbers of the finished members with their c, and the line that each belongs to.

        Raises UserError where c does not vary.
        """
        members = finished(run)
        c = np.array([_multiplier(run.member_spec(i)) for i in members])
        if len(np.unique(c)) < 2:
            raise UserError(
                'tradeoff needs several values of c: add  [sweep]  "cost.c" = { logspace = [-2, 1, 7] }  to the spec'
            )
        specs = [run.member_spec(i) for i in members]
        score = "accuracy" if np.isfinite(run.metric("accuracy_mean")[members]).any() else "rmse"
        numbers = {f"score_{way}": run.metric(f"{score}_{way}")[members] for way in WAYS}
        numbers |= {name: run.metric(name)[members] for name in (*SIZES, "reliability_cost", "balance")}
        return {
            **numbers,
            "c": c,
            "line": np.array([_line(run, i) for i in members]),
            "cost": np.array([spec["cost"]["kind"] for spec in specs]),
            "noise": np.array([spec["noise"]["kind"] for spec in specs]),
            "score": np.array([score]),
            "diverged": np.array([run.n_members - len(members)]),
        }

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Three panels; one colour per line of the sweep, bands over seeds."""
        axes = grid(figure, 1, 3, 3.4)[0]
        score = str(arrays["score"][0])
        unit = "share right" if score == "accuracy" else "RMSE (target)"
        for number, line in enumerate(dict.fromkeys(arrays["line"].tolist())):
            mine = arrays["line"] == line
            style = _style(arrays, mine, number)
            for way, dash in WAYS.items():
                _band(axes[0], arrays["c"][mine], arrays[f"score_{way}"][mine], linestyle=dash, label=f"{line}, {way}", **style)
            for size, dash in SIZES.items():
                _band(axes[1], arrays["c"][mine], arrays[size][mine], linestyle=dash, label=NAMES[size], **style)
            order = np.argsort(arrays["reliability_cost"][mine])
            paid, reached = arrays["reliability_cost"][mine][order], arrays["score_sample"][mine][order]
            axes[2].plot(paid, reached, label=line, **style)
        axes[0].set(title=f"{score} on the test set", xlabel="multiplier c", ylabel=unit, xscale="log")
        axes[1].set(title="size of the noise", xlabel="multiplier c", ylabel="sigma (weight)", xscale="log", yscale="log")
        axes[2].set(title=f"{score} of a sampled network", xlabel="reliability cost, summed (nat)", ylabel=unit)
        if (arrays["reliability_cost"] > 0).all():
            axes[2].set_xscale("log")
        axes[0].legend(axes[0].lines[: len(WAYS)], ("one sampled network", "ensemble", "mean weights"))
        axes[1].legend(axes[1].lines[: len(SIZES)], NAMES.values())
        axes[2].legend()
        if arrays["diverged"][0]:
            figure.suptitle(f"{arrays['diverged'][0]} diverged members are left out", fontsize=9)


def _multiplier(spec: dict[str, Any]) -> float:
    """c of a member, from the scale s where that was given."""
    from ebayes_plugins.analyses._common import cost_of

    return float(cost_of(spec).multiplier)


def _line(run: Run, member: int) -> str:
    """What a member has in common with those that differ in c and seed alone."""
    spec = run.member_spec(member)
    rest = label(run, member, ("seed", "cost.c", "cost.s", "cost", "noise", "noise.kind"))
    kind = f"{spec['cost']['kind']}, {spec['noise']['kind']}"
    return kind if rest in (spec["cost"]["kind"], "") else f"{kind}, {rest}"


def _style(arrays: dict[str, np.ndarray], mine: np.ndarray, number: int) -> dict[str, Any]:
    kind, noise = str(arrays["cost"][mine][0]), str(arrays["noise"][mine][0])
    return {"color": colour(kind, noise), "marker": MARKERS[number % len(MARKERS)]}


def _band(ax: Axes, c: np.ndarray, values: np.ndarray, **style: Any) -> None:
    """Mean over seeds at each c, with a band of one standard deviation."""
    at = np.unique(c)
    groups = [values[c == x] for x in at]
    mean = np.array([g.mean() for g in groups])
    ax.plot(at, mean, **style)
    if max(map(len, groups)) > 1:
        sd = np.array([g.std(ddof=1) if len(g) > 1 else 0.0 for g in groups])
        ax.fill_between(at, mean - sd, mean + sd, color=style["color"], alpha=0.2, linewidth=0)
