"""Experiment: do unreliable synapses change more, and busy ones vary less, in cortex as in the networks (Fig. 6)?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import NEGATIVE, SIGN, Claim, Measured
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses import _together
from ebayes_plugins.analyses._choices import (
    CHANGE,
    INPUT,
    RATE,
    RELEASE,
    VARIABILITY,
    WHOLE,
    Choice,
    last,
    plasticity,
    rates,
    simulated,
)  # fmt: skip
from ebayes_plugins.analyses._clouds import noisy
from ebayes_plugins.analyses._colours import colour
from ebayes_plugins.analyses._common import exponent, label, offering
from ebayes_plugins.analyses._experiment_words import finding
from ebayes_plugins.analyses._layout import counted, few_ticks, note, short
from ebayes_plugins.analyses._measured import PLASTICITY, RATES
from ebayes_plugins.analyses._regression import SMALL, regress
from ebayes_plugins.analyses._titles import small, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

UNITS = {
    CHANGE: "|Δμ| / μ", VARIABILITY: "normalised variability σ²/|μ|", RELEASE: "release probability before",
    RATE: "presynaptic rate (a.u.)", INPUT: "mean |input| (a.u.)",
}  # fmt: skip
PANELS = {"a": 0, "b": 2, "c": 0, "d": 0}  #: panel -> row of its choice of axes: raw in panel a, logarithmic in others
LONGEST = 120  #: largest number of letters of a network's name in the caption
COLUMNS = ("source", "member", "x", "y", "scale", "beside", "n", "r", "slope", "stderr", "p", "low", "high")


def _slopes(source: str, scales: tuple[str, ...]) -> Any:
    """The slope for every choice of axes of one experiment, alone and with the size of the mean as second regressor."""

    def measured(analysis: Experiment, a: dict[str, np.ndarray]) -> Iterator[Measured]:
        for i in np.flatnonzero((a["source"] == source) & np.isin(a["scale"], scales)):
            name = (
                f"{a['y'][i]} on {a['x'][i]}, {a['scale'][i]}{', beside ' + a['beside'][i] if a['beside'][i] else ''}"
            )
            slope, low, high = (float(a[k][i]) for k in ("slope", "low", "high"))
            yield Measured(name, slope, low, high, f"bootstrap of {a['n'][i]} pairs")

    return measured


def _schug(analysis: Experiment, a: dict[str, np.ndarray]) -> Iterator[Measured]:
    """The correlation of the deposited values minus the published one."""
    found = (a["source"] == PLASTICITY) & (a["x"] == RELEASE) & (a["scale"] == "raw") & (a["beside"] == "")
    why = "computed from the deposited values: nothing is sampled"
    yield Measured("Pearson's r", float(a["r"][found][0]) + 0.4416, because=why)


#: Midpoints between the slopes that rho = 4/3 and rho = 2 predict: -2/(rho + 2) on the mean square rate, or on the rate
#: of binary spikes; -4/(rho + 2) on a graded rate.
NEAREST = "midpoint between the slopes of rho = 4/3 and 2"
BINARY, GRADED = -(0.6 + 0.5) / 2, -(1.2 + 1.0) / 2
CLAIMS = (
    Claim(13, "Schug et al.'s r = -0.4416 is reproduced", "r - published r", (-0.005, 0.005), _schug, ("after",)),
    Claim(
        13, "reliable synapses change less", "slope, for each choice of axes and regressors", NEGATIVE,
        _slopes(PLASTICITY, ("raw", "log")), ("after",), SIGN,
    ),
    Claim(
        13, "busy synapses vary less", "log-log slope, for each choice of axes and regressors", NEGATIVE,
        _slopes(RATES, ("log",)), ("after",), SIGN,
    ),
    Claim(
        22, "the slope on the rate is nearest to that of rho = 2 (binary spikes)", "log-log slope", (BINARY, 0.0),
        _slopes(RATES, ("log",)), ("after",), NEAREST, None,
    ),
    Claim(
        22, "the slope on the rate is nearest to that of rho = 2 (graded rates)", "log-log slope", (GRADED, 0.0),
        _slopes(RATES, ("log",)), ("after",), NEAREST, None,
    ),
)  # fmt: skip


class Experiment(Analysis):
    """Measured synapses and the networks' on the same axes: every choice of axes, with one and two regressors."""

    kind: Literal["experiment"] = "experiment"
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS
    layer: int = Field(2, ge=1, le=65, description="layer of the simulated synapses, counted from 1")
    near_zero: float = Field(
        0.1,
        gt=0,
        le=10,
        description="synapses with |mu| below this share of the layer's RMS mean are left out of a second fit, unless "
        "the noise fixes the signs of weights",
    )
    points: int = Field(2000, ge=10, le=100_000, description="largest number of simulated synapses in the scatter plot")
    together: bool = Field(
        False, description="draw cortex and networks on one set of axes, each in units of its median"
    )

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """A row per choice of axes and regressors, and the points of the panels.

        Raises UserError if the layer does not exist or no network has noise.
        """
        able = noisy(run)
        if not able:
            raise UserError("no network has noise: the experiment is compared with sigma, so choose another noise mode")
        members = [i for i in able if run.n_layers(i) >= self.layer]
        if not members:
            most = max(run.n_layers(i) for i in able)
            raise UserError(f"layer = {self.layer}: the networks have at most {most} layers; choose one of them")
        members = offering(run, members, "input_abs")
        of = (c for i in members for c in simulated(run, i, self.layer, self.near_zero))
        choices = [*plasticity(), *rates(), *of]
        rows = [list(_rows(choice)) for choice in choices]
        table = {name: np.array([row[name] for row in sum(rows, [])]) for name in rows[0][0]}
        places = (0, 2, last(choices, members[0], VARIABILITY), last(choices, members[0], INPUT))
        for (panel, row), which in zip(PANELS.items(), places, strict=True):
            table |= {f"{panel}_{axis}": self._kept(getattr(choices[which], axis)) for axis in "xy"}
            table[f"{panel}_row"] = np.array([sum(map(len, rows[:which])) + row])
        if self.together:
            table |= _together.together(run, choices, members, self._kept)
        rho = exponent(run.member_spec(members[0]))
        return table | {"shown": np.array([label(run, members[0])]), "shown_rho": np.array([rho])}

    def _kept(self, values: np.ndarray) -> np.ndarray:
        return values[np.random.default_rng(0).permutation(len(values))[: self.points]]

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every choice of axes: r, and the slope with its standard error and 95% interval."""
        more = _together.statistics(arrays) if self.together else {}
        columns = (name for name in COLUMNS if name != "member")
        return {name: np.concatenate([arrays[name], more.get(name, arrays[name][:0])]) for name in columns}

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """How synapses of cortex and of networks change and vary; with their slopes, if they are drawn together."""
        return _together.headline(arrays) if self.together else finding(arrays)

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Cortex above, the first network below, on the same axes; or both on one set of axes."""
        if self.together:
            _together.draw(arrays, figure, short(str(arrays["shown"][0]), LONGEST))
            return
        figure.set_size_inches(5.4, 5.2)
        axes = figure.subplots(2, 2)
        titles = ("cortex: plasticity", "cortex: firing rates", "network: learning rates", "network: inputs")
        for ax, panel, title in zip(axes.flat, PANELS, titles, strict=True):
            row = {name: arrays[name][arrays[f"{panel}_row"][0]] for name in COLUMNS}
            tone = "0.2" if row["member"] < 0 else colour(float(arrays["shown_rho"][0]))
            _scatter(ax, arrays[f"{panel}_x"], arrays[f"{panel}_y"], row, tone)
            ax.set_title(f"{panel}  {title}", fontsize=9, loc="left")
            ax.set(xlabel=UNITS[row["x"]], ylabel=UNITS[row["y"]])
        small(figure)
        titled(figure, finding(arrays), *self._notes(arrays))

    def _notes(self, arrays: dict[str, np.ndarray]) -> list[str]:
        """Where the synapses are from, and what is drawn of them."""
        networks = len(set(arrays["member"][arrays["member"] >= 0].tolist()))
        whole = str(arrays["source"][arrays["c_row"][0]]).endswith(WHOLE)
        return [
            f"Network: {short(str(arrays['shown'][0]), LONGEST)}, layer {self.layer}, "
            f"{WHOLE if whole else 'synapses whose mean is not near zero'}. Red: least squares; brackets: 95% interval "
            "of the slope over synapses; n: synapses; r: Pearson's correlation, of logarithms on logarithmic axes. "
            "Δμ: change by plasticity in cortex, learning rate in networks; a.u.: arbitrary units.",
            counted(networks=(1, networks)),
        ]


def _rows(choice: Choice) -> Iterator[dict[str, Any]]:
    """A choice of axes on linear and logarithmic scales, without and with the size of the mean as second regressor."""
    for scale in ("raw", "log") if choice.raw else ("log",):
        x, y, size = (np.log(v) if scale == "log" else v for v in choice[3:6])
        for second in (None, size):
            beside = "" if second is None else "mean PSP" if choice.member < 0 else "|μ|"
            named = {"source": choice.source, "member": choice.member, "x": choice.x_name, "y": choice.y_name}
            yield {**named, "scale": scale, "beside": beside, **regress(x, y, second)}


def _scatter(ax: Axes, x: np.ndarray, y: np.ndarray, row: dict[str, Any], tone: Any) -> None:
    """One panel with the fit, whose numbers are those of all synapses."""
    if not len(x):
        ax.text(0.5, 0.5, "no synapse has a gradient", transform=ax.transAxes, ha="center")
        return
    into, back = (np.log, np.exp) if row["scale"] == "log" else (np.asarray, np.asarray)
    ends = np.linspace(into(x).min(), into(x).max(), 50)
    line = into(y).mean() + row["slope"] * (ends - into(x).mean())
    size, alpha = (2, 0.4) if len(x) > SMALL else (5, 0.8)
    ax.plot(x, y, ".", color=tone, markersize=size, alpha=alpha, rasterized=len(x) > SMALL)
    ax.plot(back(ends), back(line), color="tab:red")
    low, high = into(y).min(), into(y).max()
    room = (low - 0.3 * (high - low), high + 0.05 * (high - low))  # room for the numbers below the dots
    if row["scale"] == "log":
        ax.set(xscale="log", yscale="log")
        few_ticks(ax)
    ax.set_ylim(*back(room))
    p = f"p = {row['p']:.2g}" if row["p"] > 1e-10 else "p < 1e-10"
    interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
    note(ax, f"n = {row['n']:,}, r = {row['r']:.2f}, {p}\nslope {row['slope']:.2f} {interval}", 6.5)
