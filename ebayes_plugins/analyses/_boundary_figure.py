"""The figure of `boundary`: measured synapses and boundaries, changes, predictions, and networks on the same axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_plugins.analyses._colours import OTHERS, colour
from ebayes_plugins.analyses._families import ALL_FOUR, ANY, FAMILIES
from ebayes_plugins.analyses._layout import counted, few_ticks, heading
from ebayes_plugins.analyses._regression import running_quantiles
from ebayes_plugins.analyses._titles import key, page, small, titled, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays = dict[str, np.ndarray]
MARKERS, CHANGED = "osD^", "v"
STYLES, MEASURED = ("-", "--", ":", "-."), ("0.35", "0.7")
LINE = 36  #: letters of a line of a panel's title
BELOW = 2.0  #: height of the words around the panels (inches)
#: what lines and bars are
NOTES = (
    "Lines: the smallest standard deviation that a given energy buys at each mean, for each cost, at its best fit. "
    "Brackets and bars: 95% intervals over synapses.",
)


def draw(a: Arrays, figure: Any, unit: str) -> None:
    """Draw the arrays that measure() returned; unit: of the means."""
    panels = _panels(a, unit)
    columns = 2 if len(panels) in (2, 4) else 3
    axes = page(figure, -(-len(panels) // columns), columns, 2.4, BELOW).ravel()
    for ax, panel, letter in zip(axes, panels, "abcdefghij", strict=False):
        ax.set_title(heading(f"{letter}  {panel(ax)}", LINE), loc="left")
    for ax in axes[len(panels) :]:
        ax.remove()
    small(figure)
    left_out = counted(networks=tuple(a["networks"].tolist()), layers=tuple(a["layers"].tolist()))
    key(figure, _names(a), *NOTES, left_out, ncols=2)
    titled(figure, _finding(a))


def _finding(a: Arrays) -> str:
    """For each table, how variance goes with the mean, and which boundary comes nearest."""
    parts = []
    for data in [str(a["set_set"][i]) for i in np.flatnonzero(a["set_layer"] == 0)]:
        fits = _fits(a, data)
        behind = np.where(fits["fit_family"] == ANY, np.inf, fits["fit_behind"])
        slope, nearest = _slope(a, data, "ln variance")[0], fits["fit_family"][np.argmin(behind)]
        goes = f"variance goes as the mean to the {slope:.2f}"
        parts.append(f"{_brief(data)}: {goes}, nearest to the boundary of {nearest}")
    return "; ".join(parts) + "."


def _panels(a: Arrays, unit: str) -> list[Callable[[Axes], str]]:
    tables = np.flatnonzero(a["set_layer"] == 0).tolist()
    panels: list[Callable[[Axes], str]] = [partial(_boundaries, a=a, table=i, unit=unit) for i in tables]
    panels += [partial(_changes, a=a, table=i) for i in tables if (a["moved_set"] == i).any()]
    panels.append(partial(_predictions, a=a))
    return panels + [partial(_networks, a=a)] * bool((a["set_layer"] > 0).any())


def tone(family: str) -> Any:
    """Colour of a family of costs: that of its mechanism, grey for the costs of sigma alone."""
    mechanisms = {"μ²/σ²": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3}
    return colour(mechanisms[family]) if family in mechanisms else {ALL_FOUR: OTHERS[0], ANY: "0.0"}.get(family, "0.55")


def _fits(a: Arrays, data: str) -> Arrays:
    """The rows of one set of synapses."""
    return {k: v[a["fit_data"] == data] for k, v in a.items() if k.startswith("fit_")}


def _slope(a: Arrays, data: str, start: str) -> list[float]:
    """Slope and interval of the first row whose quantity starts so."""
    which = next(i for i in np.flatnonzero(a["slope_data"] == data) if str(a["slope_what"][i]).startswith(start))
    return [float(a[f"slope_{name}"][which]) for name in ("slope", "low", "high")]


def _boundaries(ax: Axes, a: Arrays, table: int, unit: str) -> str:
    """Synapses, and the boundary of each family where it fits best."""
    data, here = str(a["set_set"][table]), a["point_set"] == table
    mean, sigma = a["point_mean"][here], a["point_sigma"][here]
    ax.loglog(mean, sigma, MARKERS[table % 4], color=MEASURED[0], markersize=3, alpha=0.6, markeredgewidth=0)
    fits = _fits(a, data)
    for family, x, y in zip(fits["fit_family"], fits["fit_line_x"], fits["fit_line_y"], strict=True):
        look = {"linestyle": "--", "linewidth": 1.2} if family in (ANY, ALL_FOUR) else {"linewidth": 1.2}
        ax.plot(a["set_median"][table] * np.exp(x), np.exp(y / 2), color=tone(str(family)), **look)
    span = np.log(sigma.max() / sigma.min())
    ax.set_ylim(sigma.min() * np.exp(-0.1 * span), sigma.max() * np.exp(0.1 * span))
    ax.set(xlabel=f"mean ({unit})", ylabel=f"standard deviation ({unit})")
    few_ticks(ax)
    slope, low, high = _slope(a, data, "ln variance")
    return f"{_brief(data)}, n = {len(mean)}: variance goes as the mean to the {slope:.2f} [{low:.2f}, {high:.2f}]"


def _changes(ax: Axes, a: Arrays, table: int) -> str:
    """Changes by plasticity, and the lines on which a synapse would stay on its own boundary."""
    here, data = a["moved_set"] == table, str(a["set_set"][table])
    x, y = a["moved_mean"][here], a["moved_sigma"][here]
    ends = np.array([min(x.min(), 0.0), max(x.max(), 0.0)])
    for family in FAMILIES:
        if np.isfinite(family.slope):
            ax.plot(ends, family.slope / 2 * ends, color=tone(family.name), linewidth=1.2)
    slope, low, high = _slope(a, data, "change")
    ax.plot(ends, y.mean() + slope * (ends - x.mean()), "--", color=tone(ANY), linewidth=1.2)
    ax.plot(x, y, CHANGED, color=MEASURED[0], markersize=3, alpha=0.7, markeredgewidth=0)
    ax.set_ylim(y.min() - 0.1 * np.ptp(y), y.max() + 0.1 * np.ptp(y))
    ax.set(xlabel="change of ln mean", ylabel="change of ln s.d.")
    known = ", ".join(f"{f.slope / 2:g}" for f in FAMILIES if np.isfinite(f.slope))
    found = f"slope {slope:.2f} [{low:.2f}, {high:.2f}]"
    return f"changes by plasticity, n = {len(x)}: {found}; along boundaries {known}"


def _predictions(ax: Axes, a: Arrays) -> str:
    """How much worse each family predicts synapses that were left out of the fit, per synapse."""
    sets = list(dict.fromkeys(a["fit_data"].tolist()))
    names = [family.name for family in FAMILIES]
    for number, data in enumerate(sets):
        fits = _fits(a, data)
        n = fits["fit_n"]
        middle, low, high = (fits[f"fit_behind{end}"] / n for end in ("", "_low", "_high"))
        at = np.array([names.index(name) for name in fits["fit_family"]]) + 0.22 * (number - (len(sets) - 1) / 2)
        tones = [tone(str(name)) for name in fits["fit_family"]]
        ax.hlines(at, low, high, color=tones, linewidth=1.2)
        ax.scatter(middle, at, s=16, c=tones, marker=_marker(a, data), zorder=3)
    ax.axvline(0.0, color="0.4", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(names)), [typeset(name) for name in names])
    ax.invert_yaxis()
    ax.set(xlabel="behind the best (nat per synapse)", ylabel="boundary")
    return "prediction of synapses that were left out of the fit (markers as in the panels before)"


def _brief(data: str) -> str:
    """The name of a table without its reference."""
    return data.split(" (", maxsplit=1)[0]


def _marker(a: Arrays, data: str) -> str:
    tables = a["set_set"].tolist()
    return MARKERS[tables.index(data) % 4] if data in tables else CHANGED


def _networks(ax: Axes, a: Arrays) -> str:
    """Running medians of the layers of networks over the measured clouds, each in units of its median mean."""
    costs = list(dict.fromkeys(_cost(a, i) for i in np.flatnonzero(a["set_layer"] > 0)))
    for i, layer in enumerate(a["set_layer"]):
        here, unit = a["point_set"] == i, a["set_median"][i]
        mean, sigma = a["point_mean"][here] / unit, a["point_sigma"][here] / unit
        if layer == 0:
            ax.loglog(mean, sigma, MARKERS[i % 4], color=MEASURED[i % 2], markersize=2.5, alpha=0.6, markeredgewidth=0)
            continue
        x, y = running_quantiles(np.log(mean), np.log(sigma), (0.5,))
        look = {"color": _shade(a, i, costs), "linestyle": _style(a, int(layer))}
        ax.plot(np.exp(x), np.exp(y), linewidth=1.2, label=str(a["set_set"][i]), **look)
    ax.set(xscale="log", yscale="log", xlabel="mean / median", ylabel="s.d. / median mean")
    return "synapses of cortex (dots) and of networks (running medians)"


def _cost(a: Arrays, i: Any) -> str:
    return str(a["set_set"][i]).rsplit(": layer", 1)[0]


def _shade(a: Arrays, i: int, costs: list[str]) -> Any:
    return colour(float(a["set_rho"][i]), other=1 + costs.index(_cost(a, i)))


def _names(a: Arrays) -> list[Any]:
    """Entries of the legend: the boundaries with the costs that have them, and the networks with their layers."""
    from matplotlib.lines import Line2D

    line = lambda tone, style, name: Line2D([], [], color=tone, linestyle=style, label=name)
    costs = [line(tone(f.name), "--" if f.shapes else "-", typeset(f"{f.name}: {f.costs}")) for f in FAMILIES]
    shown = np.flatnonzero(a["set_layer"] > 0).tolist()
    names = list(dict.fromkeys(_cost(a, i) for i in shown))
    first = {_cost(a, i): i for i in shown[::-1]}
    lines = [line(_shade(a, first[name], names), "-", name) for name in names]
    layers = sorted({int(a["set_layer"][i]) for i in shown})
    lines += [line("0.3", _style(a, k), f"layer {k}") for k in layers]
    return costs + lines


def _style(a: Arrays, layer: int) -> str:
    return STYLES[sorted(set(a["set_layer"][a["set_layer"] > 0].tolist())).index(layer) % 4]
