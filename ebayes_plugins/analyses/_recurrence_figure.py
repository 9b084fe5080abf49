"""The figure of `recurrence`: sigma against the length of sequences, the slopes, and where curvature comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import OTHERS, colours
from ebayes_plugins.analyses._integrators import POWERS, curvature
from ebayes_plugins.analyses._layout import few_ticks
from ebayes_plugins.analyses._panels import Arrays
from ebayes_plugins.analyses._titles import WIDTH, count, counts, key, page, small, titled

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"integrator": "o", "decision": "s", "memory": "^"}
OTHER_TASK = "D"
NOTES = (
    "σ: geometric mean over the recurrent synapses; small marks: networks, large marks: means over seeds; filled: "
    "noise fresh at each step, open: frozen over a sequence. Lines in the first panel: the optimum at the exact "
    "curvature. Slopes: of ln σ on ln T, with 95% intervals over seeds; line: as theory expects of a linear unit. "
    "Shares: of each step in the curvature of the recurrent synapses (Gauss-Newton, averaged over the noise), longest "
    "sequences, means over mechanisms; thin: single seeds; dashed: frozen."
)


def draw(arrays: Arrays, figure: Figure, finding: str) -> None:
    """Panels in two columns: integrators and trained networks, if there are any, their slopes, and the shares."""
    held = arrays["integrator"].astype(bool)
    panels: list[Callable[[Axes], None]] = [
        lambda ax, some=some, name=name: _sigmas(ax, arrays, some, colours(arrays["mechanism"], arrays["rho"]), name)  # type: ignore[misc]
        for some, name in ((held, "perfect integrator"), (~held, "trained networks"))
        if some.any()
    ]
    panels.append(lambda ax: _slopes(ax, arrays, colours(arrays["mechanism"], arrays["rho"])))
    if np.isfinite(arrays["profile"]).any():
        panels.append(lambda ax: _shares(ax, arrays))
    axes = page(figure, -(-len(panels) // 2), 2, 2.2, 1.7).ravel()
    figure.set_figwidth(WIDTH)
    for panel, ax in zip(panels, axes, strict=False):
        panel(ax)
    for ax in axes[len(panels) :]:
        figure.delaxes(ax)
    small(figure)
    n = arrays["n"][~held] if (~held).any() else arrays["n"]
    trained = " that is trained" if held.any() else ""
    about = f"{count(len(held), 'network')}; {counts(n, 'recurrent synapse')} in each{trained}"
    key(figure, _entries(arrays, colours(arrays["mechanism"], arrays["rho"])), NOTES, about, ncols=5)
    titled(figure, finding)


def _sigmas(ax: Axes, a: Arrays, mine: np.ndarray, tones: dict[str, Any], title: str) -> None:
    """Sigma against the number of steps; for integrators the exact optimum too."""
    for task, noise, mechanism in dict.fromkeys(
        zip(a["task"][mine], a["noise"][mine], a["mechanism"][mine], strict=True)
    ):
        some = mine & (a["task"] == task) & (a["noise"] == noise) & (a["mechanism"] == mechanism)
        steps, first = np.unique(a["steps"][some], return_index=True)
        look = _look(task, noise, tones[mechanism])
        ax.plot(a["steps"][some], np.exp(a["log_sigma"][some]), linestyle="", **look | {"markersize": 2, "alpha": 0.5})
        line = "" if a["integrator"][some].any() else (":" if noise == "frozen" else "-")
        ax.plot(steps, np.exp(a["log_sigma_mean"][some][first]), linestyle=line, linewidth=0.8, **look)
        if a["integrator"][some].any():
            _exact(ax, steps, a["exact"][some][first], noise, tones[mechanism])
    ax.set(
        xscale="log", yscale="log", xlabel="number of steps T", ylabel="σ of recurrent synapses (weight)", title=title
    )
    few_ticks(ax)


def _exact(ax: Axes, steps: np.ndarray, logs: np.ndarray, noise: str, tone: Any) -> None:
    """The optimum at the exact curvature; between the lengths a power law of curvature, as it is for such a cost."""
    x = np.geomspace(steps[0], steps[-1], 60)
    known, between = (np.log(curvature(noise, t)) for t in (steps, x))
    style = "--" if noise == "frozen" else "-"
    ax.plot(x, np.exp(np.interp(between, known, logs)), style, color=tone, linewidth=0.8)


def _look(task: str, noise: str, tone: Any) -> dict[str, Any]:
    filled = {"markerfacecolor": "white"} if noise == "frozen" else {}
    return {"marker": MARKERS.get(task, OTHER_TASK), "color": tone, "markersize": 3.5, **filled}


def _slopes(ax: Axes, a: Arrays, tones: dict[str, Any]) -> None:
    """The slopes of each task against those of an integrator over the same lengths."""
    for i in range(len(a["slope_task"])):
        look = _look(str(a["slope_task"][i]), str(a["slope_noise"][i]), tones[str(a["slope_mechanism"][i])])
        half = float(np.nan_to_num(a["slope_over_seeds"][i]))
        ax.errorbar(a["slope_expected"][i], a["slope_mean"][i], half, elinewidth=0.8, linestyle="", **look)
    known = a["slope_expected"][np.isfinite(a["slope_expected"])]
    if len(known):
        ends = np.array([known.min() * 1.08, 0.0])
        ax.plot(ends, ends, color="0.1", linewidth=0.8)
    ax.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="slope expected of a linear unit", ylabel="slope of ln σ on ln T", title="slopes")


def _shares(ax: Axes, a: Arrays) -> None:
    """Share of each step in the curvature against the number of steps that follow, for the longest sequences."""
    for tone, task in zip(OTHERS, dict.fromkeys(a["task"].tolist()), strict=False):
        longest = a["steps"][a["task"] == task].max()
        for noise in POWERS:
            some = (a["task"] == task) & (a["noise"] == noise) & (a["steps"] == longest)
            x, style = np.arange(1, longest + 1) - longest, "--" if noise == "frozen" else "-"
            each = [_mean_share(a, some & (a["seed"] == seed), longest) for seed in np.unique(a["seed"][some])]
            for share in each:
                ax.plot(x, share, style, color=tone, linewidth=0.5, alpha=0.5)
            if each:
                ax.plot(x, np.mean(each, 0), style, color=tone, linewidth=1.4, label=f"{task}, T = {longest}")
    ax.set(xlabel="steps before the read-out", ylabel="share of curvature (%)", title="where curvature comes from")
    handles, labels = ax.get_legend_handles_labels()
    shown = dict(zip(labels[::-1], handles[::-1], strict=True))
    ax.legend(list(shown.values())[::-1], list(shown)[::-1], fontsize=6.5)


def _mean_share(a: Arrays, some: np.ndarray, longest: int) -> np.ndarray:
    """Mean over the networks of a seed, in percent."""
    return np.asarray(100 * a["profile"][some][:, :longest].mean(0))


def _entries(a: Arrays, tones: dict[str, Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    tasks = dict.fromkeys(a["task"].tolist())
    marks = [
        Line2D([], [], color="0.3", linestyle="", marker=MARKERS.get(t, OTHER_TASK), label=t, markersize=4)
        for t in tasks
    ]
    return [*(Line2D([], [], color=tone, label=name, linewidth=2) for name, tone in tones.items()), *marks]
