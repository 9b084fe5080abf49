"""What analyses share: groups and labels of members, colours, and the optimum of any cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ebayes_core.runfile import Run

MARKERS = "osD^vP*X"
#: what is not known of every network's synapses, and why
SOMETIMES = {
    "gauss_newton": "Gauss-Newton is measured of tasks with at most 100 outputs",
    "input": "inputs are known of networks with a trace",
}


def label(run: Run, member: int, leave_out: tuple[str, ...] = ()) -> str:
    """A member by what the sweep set, and by its seed where there are several; by its cost if that says nothing."""
    return ", ".join(settings(run, member, leave_out)) or run.member_spec(member)["cost"]["kind"]


def settings(run: Run, member: int, leave_out: tuple[str, ...] = ()) -> list[str]:
    """What the sweep set for a member, and its seed where there are several; leave_out: dotted fields, or seed."""
    parts = [_named(name, v[member], leave_out) for name, v in run.swept.items() if name not in leave_out]
    if len(set(run.seeds.tolist())) > 1 and "seed" not in leave_out:
        parts.append(f"seed {run.seeds[member]}")
    return [part for part in parts if part]


def mechanism(run: Run, member: int, leave_out: tuple[str, ...]) -> list[str]:
    """Its cost, and what else a member shares with those that differ in seed, c, and the fields left out alone."""
    kinds = [run.member_spec(member)["cost"]["kind"]] if "cost" not in run.swept else []
    return [*kinds, *settings(run, member, ("seed", "cost.c", "cost.s", "cost.kind", *leave_out))]


def _named(name: str, value: Any, leave_out: tuple[str, ...] = ()) -> str:
    """A swept field in words; a whole table as its kind and the other fields that it sets."""
    if isinstance(value, dict):
        rest = [_named(f"{name}.{k}", v) for k, v in value.items() if k != "kind" and f"{name}.{k}" not in leave_out]
        return " ".join([str(value.get("kind", "")), *rest]).strip()
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return "(" + " + ".join(_named(name, part) for part in value) + ")"
    last = name.rsplit(".", maxsplit=1)[-1]
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if last == "kind" else f"{last} = {text}"


def exponent(spec: dict[str, Any]) -> float:
    """rho of what a member pays for reliability; NaN where that is no power law."""
    pays = spec["inference"]["kind"] != "variational_bayes"
    return float(spec["cost"].get("rho", np.nan)) if pays else np.nan


def colour(rho: float, noise: str = "heterogeneous") -> Any:
    """The paper's colours: greens of 'summer', dark for rho = 1/2, yellow for 2; grey for homogeneous noise.

    Black stands for networks without noise, purple for what is no power law (NaN).
    """
    from matplotlib import colormaps

    if noise in ("homogeneous", "none"):
        return "0.55" if noise == "homogeneous" else "0.0"
    if np.isnan(rho):
        return "tab:purple"
    return colormaps["summer"](float(np.interp(np.log(rho), np.log([0.5, 2 / 3, 4 / 3, 2]), [0.0, 0.25, 0.55, 0.8])))


def axis_scale(values: np.ndarray) -> str:
    """The scale of an axis for a quantity that may run over decades; zeros do not show on a log axis."""
    finite = values[np.isfinite(values)]
    if (finite < 0).any():
        return "symlog" if np.abs(finite).max() > 1e3 else "linear"
    return "log" if (finite > 0).any() else "linear"


def plugin(spec: dict[str, Any], slot: str) -> Any:
    """The plugin that a member's resolved spec names in a slot. Raises UserError where it is not installed."""
    from ebayes_core.registry import Registry

    registry, kind = Registry.load(), spec[slot]["kind"]
    if kind not in registry.kinds(slot):
        raise UserError(
            f"the {slot} '{kind}' of this run is not registered here; install the plugin that provides it"
            f"{registry.suspects()}"
        )
    # as JSON: in a resolved table a list may stand for a tuple
    return registry.composed(registry.kinds(slot)[kind]).model_validate_json(json.dumps(spec[slot]))


def multiplier(spec: dict[str, Any]) -> float:
    """c of a member's cost, where the spec gives s as well (Eq. 48)."""
    return float(plugin(spec, "cost").multiplier)


def slope_of(spec: dict[str, Any], mu: float) -> Callable[[np.ndarray], np.ndarray]:
    """sigma -> -sigma d(cost)/d sigma of a synapse of mean mu: c rho sigma**-rho for a power law, 1 for an entropy.

    The cost is all that the objective charges beside the loss. At the optimum it equals N H sigma^2 (Eq. 27), for any
    cost, and for variational Bayes with its prior.
    """
    import torch

    from ebayes_core.bound import elasticity

    inference, cost = plugin(spec, "inference"), plugin(spec, "cost")

    def slope(sigma: np.ndarray) -> np.ndarray:
        at = torch.as_tensor(sigma, dtype=torch.float64)
        return elasticity(lambda s: inference.penalty(torch.full_like(s, mu), s, cost), at).numpy()

    return slope


def optimum(slope: Callable[[np.ndarray], np.ndarray], curvature: np.ndarray) -> np.ndarray:
    """sigma with curvature * sigma^2 = slope(sigma), by bisection on log sigma; curvature: data-set sum, positive."""
    low, high = np.full_like(curvature, -60.0), np.full_like(curvature, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        small = curvature * np.exp(2 * middle) < slope(np.exp(middle))
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.exp((low + high) / 2)


def analytic_slope(slope: Callable[[np.ndarray], np.ndarray], sigma: float) -> float:
    """d log sigma^2 / d log H along the optimum: -2/(rho + 2) for a power law, -1 for an entropy (Appendix 5).

    NaN where no curvature has that sigma as its optimum, as beyond the width of a prior.
    """
    step = 1e-4
    above, below = slope(np.array([sigma * np.exp(step), sigma * np.exp(-step)]))
    if not (above > 0 and below > 0):
        return np.nan
    exponent = (np.log(above) - np.log(below)) / (2 * step)
    return float(2 / (exponent - 2))


def mean_band(values: np.ndarray) -> tuple[float, float]:
    """Mean of the finite values and their standard deviation, 0 for a single one; NaN without any."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.nan, np.nan
    return float(finite.mean()), float(finite.std(ddof=1)) if len(finite) > 1 else 0.0


def finished(run: Run) -> list[int]:
    """Members that did not diverge."""
    return [i for i, status in enumerate(run.status) if status == "done"]


def offering(run: Run, members: list[int], name: str, others: Iterable[str] = ()) -> list[int]:
    """The members of whose synapses the file holds an array of this name.

    Raises UserError where there is none, with those of `others` that would do.
    """
    found = [i for i in members if name in run.layer_names(i)]
    if members and not found:
        known = dict.fromkeys(other for i in members for other in run.layer_names(i) if other in others)
        why = "".join(f" ({words})" for start, words in SOMETIMES.items() if name.startswith(start))
        instead = f"; these would do: {', '.join(known)}" if known else ""
        raise UserError(f"'{name}' is not known of these networks{why}{instead}")
    return found


def curvature(run: Run, member: int, layer: int) -> np.ndarray:
    """Which synapses have curvature is asked of this: Gauss-Newton, and the true Fisher where a task is too large."""
    exact = "gauss_newton_noise" in run.layer_names(member)
    return run.layer(member, layer, "gauss_newton_noise" if exact else "fisher_true_noise")


def grid(figure: Any, rows: int, columns: int, size: float = 2.7) -> np.ndarray:
    """Axes (rows, columns) in a figure that is large enough for them."""
    figure.set_size_inches(max(size * columns, 3.4), max(0.85 * size * rows + 0.4, 2.6))
    return figure.subplots(rows, columns, squeeze=False)


def note(axes: Axes, text: str) -> None:
    """A remark in a corner of the panel."""
    axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=7, va="bottom", color="0.25")


def caption(figure: Any, *lines: str) -> None:
    """Lines above the panels, wrapped at the figure's width."""
    width = int(14 * figure.get_figwidth())  # letters
    figure.suptitle("\n".join(part for line in lines for part in wrap(line, width)), fontsize=9)


def balance_range(group: np.ndarray, balance: np.ndarray) -> str:
    """How far each group of networks is from its optimum, in words for a caption."""
    parts = []
    for name in dict.fromkeys(group.tolist()):
        known = balance[(group == name) & np.isfinite(balance)]
        if known.size:
            parts.append(f"{known.min():.2g} to {known.max():.2g} ({name})")
    return f"balance B, 1 at the optimum: {', '.join(parts)}" if parts else "no noise, hence no balance"


def few_ticks(ax: Axes) -> None:
    """1, 2 and 5 of each decade, as plain numbers, on log axes of less than two: labels of all nine collide."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, scale in ((ax.xaxis, ax.get_xscale()), (ax.yaxis, ax.get_yscale())):
        low, high = axis.get_view_interval()
        if scale == "log" and high < 100 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
