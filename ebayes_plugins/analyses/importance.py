"""Importance: important synapses, those with curvature, are the precise ones (Fig. 5a, App. 5, App. 6)."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field

from ebayes_core.claims import Claim
from ebayes_core.errors import UserError
from ebayes_core.slots import Analysis
from ebayes_plugins.analyses._common import (
    analytic_slope,
    caption,
    colour,
    exponent,
    finished,
    grid,
    label,
    note,
    offering,
    optimum,
    slope_of,
)
from ebayes_plugins.analyses._importance_claims import CLAIMS, POWERS
from ebayes_plugins.analyses._regression import fit_line, over_seeds, running_quantiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.runfile import Run

ESTIMATORS = Literal[
    "gauss_newton_noise", "gauss_newton_mean", "fisher_true_noise", "fisher_true_mean", "fisher_empirical_noise",
    "fisher_empirical_mean", "learning_rate_rms", "learning_rate_authors", "input_abs", "input_square",
]  # fmt: skip
NAMES = {
    "learning_rate_rms": "log10 learning rate", "learning_rate_authors": "log10 learning rate (authors')",
    "input_abs": "log10 mean |input|", "input_square": "log10 mean input$^2$",
}  # fmt: skip
LINE = 40  #: points of the analytic curve
WIDE = 4  #: networks in a row of one layer


class Importance(Analysis):
    """sigma^2 against the Hessian diagonal, learning rate or input, with the fitted slope beside the optimum's."""

    kind: Literal["importance"] = "importance"
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS
    estimator: ESTIMATORS = Field(
        "gauss_newton_noise",
        description="what sigma is set against: a Hessian diagonal (the optimum knows the one that is averaged over "
        "the noise), the learning rate (Eq. 7, or as in the authors' code) or the input of the synapse",
    )
    layer: int | None = Field(None, ge=1, le=65, description="layer of weights, from 1; all layers if left out")
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="synapses with less than this share of their layer's median curvature (or of what a learning rate "
        "or an input says of it) count as flat: their unit hardly ever fires, and in logarithms they decide the fit",
    )
    columns: int = Field(
        5, ge=1, le=12, description="at most so many sweep points drawn, spread evenly, each by its first seed"
    )
    points: int = Field(3000, ge=10, le=100_000, description="at most so many synapses kept for each panel's scatter")

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Per member and layer: fit, rank correlation, counts, analytic slope, and a sample of the synapses.

        Raises UserError where no member has a sigma of its own for each synapse.
        """
        members = [i for i in finished(run) if self._spreads(run, i)]
        if not members:
            raise UserError(
                'no member has a spread of sigma to explain: importance needs noise = { kind = "heterogeneous" } '
                "and a network that did not diverge"
            )
        members = offering(run, members, self.estimator, get_args(ESTIMATORS))
        panels = [(i, layer) for i in members for layer in range(1, run.n_layers(i) + 1) if self.layer in (None, layer)]
        if not panels:
            most = max(run.n_layers(i) for i in members)
            raise UserError(f"layer = {self.layer}: the networks have at most {most} layers; name one of them")
        found = [self._panel(run, i, layer) for i, layer in panels]
        arrays = {name: np.array([panel[name] for panel in found]) for name in found[0]}
        skipped = np.array([run.n_members - len(members)])
        return {**arrays, "skipped": skipped, **_over_seeds(run, arrays)}

    def _spreads(self, run: Run, member: int) -> bool:
        sigma = run.layer(member, 1, "sigma")
        return bool(sigma.min() < sigma.max())

    def _panel(self, run: Run, member: int, layer: int) -> dict[str, Any]:
        """One scatter: log10 sigma^2 against log10 H of the synapses with curvature."""
        variance = run.layer(member, layer, "sigma").astype(float) ** 2
        h = np.broadcast_to(run.layer(member, layer, self.estimator).astype(float), variance.shape)
        curved = np.isfinite(h) & (h > 0) & (variance > 0)
        curved[curved] = self._above(h[curved])
        x, y = np.log10(h[curved]), np.log10(variance[curved])
        keep = np.random.default_rng(0).permutation(len(x))[: self.points]
        return {
            "member": member, "layer": layer, "label": label(run, member), "rho": exponent(run.member_spec(member)),
            "seed": run.seeds[member], "n": len(x), "left_out": h.size - len(x), **fit_line(x, y),
            **self._expected(run, member, layer, x, y),
            "layers": run.n_layers(member), "balance": run.layer_metric("balance")[member, layer - 1],
            "mu_rms": np.sqrt((run.layer(member, layer, "mu").astype(float) ** 2).mean()),
            "x": _padded(x[keep], self.points), "y": _padded(y[keep], self.points),
        }  # fmt: skip

    def _above(self, h: np.ndarray) -> np.ndarray:
        """Which synapses are not next to flat, by the curvature that h tells of: a high learning rate, a low one."""
        curvature = h ** (1 / POWERS.get(self.estimator, 1.0))
        return curvature > self.flat_below * np.median(curvature) if len(h) else h > 0

    def _expected(self, run: Run, member: int, layer: int, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """Where the optimum lies: sigma at each curvature; of what only goes with it, the slope through the medians."""
        if not len(x):
            return {"analytic_slope": np.nan, **dict.fromkeys(("line_x", "line_y"), np.full(LINE, np.nan))}
        slope = slope_of(run.member_spec(member), float(np.median(np.abs(run.layer(member, layer, "mu")))))
        ends, total = np.linspace(x.min(), x.max(), LINE), run.metric("n_examples")[member]
        if self.estimator not in POWERS:
            middle = optimum(slope, total * 10 ** np.median(x, keepdims=True))[0]
            line = 2 * np.log10(optimum(slope, total * 10**ends))
            return {"analytic_slope": analytic_slope(slope, middle), "line_x": ends, "line_y": line}
        expected = analytic_slope(slope, 10 ** (np.median(y) / 2)) / POWERS[self.estimator]
        return {"analytic_slope": expected, "line_x": ends, "line_y": np.median(y) + expected * (ends - np.median(x))}

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Per network and layer: the slope of log sigma^2 on log H with its 95% interval, beside the analytic one."""
        named = {
            "network": "label", "layer": "layer", "n": "n", "slope": "slope", "± (synapses)": "slope_half_width",
            "± (seeds)": "point_slope_half_width", "analytic": "analytic_slope", "rank r": "rank_correlation",
            "RMS mean": "mu_rms", "B": "balance",
        }  # fmt: skip
        return {heading: arrays[name] for heading, name in named.items()}

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Layers in rows, members in columns; axes span the central 99% of the synapses, the numbers are of all."""
        members = list(_first_seeds(arrays))
        shown = [members[i] for i in np.unique(np.linspace(0, len(members) - 1, self.columns).round().astype(int))]
        layers = sorted(set(arrays["layer"].tolist()))
        wide = (
            WIDE if len(layers) == 1 and len(shown) > WIDE else len(shown)
        )  # one layer of many networks: rows of them
        axes = grid(figure, len(layers) * -(-len(shown) // wide), wide, 2.4)
        panels = {}
        for panel, (member, layer) in enumerate(zip(arrays["member"], arrays["layer"], strict=True)):
            if member in shown:
                row, column = divmod(shown.index(member), wide)
                panels[layers.index(layer) + row, column] = panel
        for place, ax in np.ndenumerate(axes):
            if place in panels:
                _scatter(ax, arrays, panels[place])
            else:  # networks of a sweep may differ in depth
                figure.delaxes(ax)
        _name(axes, arrays, panels, NAMES.get(self.estimator, "log10 H (nat / weight$^2$)"))
        handles = max((axes[place].get_legend_handles_labels() for place in panels), key=lambda found: len(found[0]))
        figure.legend(*handles, loc="outside lower center", ncols=4 if len(shown) > 2 else 2)
        caption(figure, *self._title(arrays, len(set(arrays["member"].tolist())), len(shown)))

    def _title(self, arrays: dict[str, np.ndarray], members: int, shown: int) -> list[str]:
        what = self.estimator.replace("_", " ")
        title = f"{what if self.estimator in POWERS else f'H: {what}, per datapoint'}; intervals: 95%, by synapse"
        if (arrays["point_seeds"] > 1).any():
            title += ", and over seeds"
        parts = [f"{shown} of {members} networks drawn"] if shown < members else []
        if arrays["skipped"][0]:
            parts.append(f"left out, as diverged or without spread of sigma or estimator: {arrays['skipped'][0]}")
        return [title, "; ".join(parts)]


def _over_seeds(run: Run, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean slope over the seeds of a sweep point, its 95% interval and the seeds' number, beside each panel."""
    named = [label(run, int(i), ("seed",)) for i in arrays["member"]]
    keys = np.array([f"{name}, layer {layer}" for name, layer in zip(named, arrays["layer"], strict=True)])
    rows = np.full((len(keys), 3), np.nan)
    for key in np.unique(keys):
        slopes = arrays["slope"][keys == key]
        rows[keys == key] = (*over_seeds(slopes), np.isfinite(slopes).sum())
    return {"point": keys, "point_slope": rows[:, 0], "point_slope_half_width": rows[:, 1], "point_seeds": rows[:, 2]}


def _first_seeds(arrays: dict[str, np.ndarray]) -> list[int]:
    """The first member of each point of the sweep."""
    first: dict[str, int] = {}
    for point, member in zip(arrays["point"].tolist(), arrays["member"].tolist(), strict=True):
        first.setdefault(point.rpartition(",")[0], member)  # without the layer
    return list(first.values())


def _scatter(ax: Axes, arrays: dict[str, np.ndarray], panel: int) -> None:
    """One panel: the density of synapses, their running median, the fit, and where the optimum lies."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    x, y = arrays["x"][panel], arrays["y"][panel]
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if len(x):
        tone = colour(float(arrays["rho"][panel]))
        faint = LinearSegmentedColormap.from_list("", [[*to_rgb(tone), 0.25], [0.25 * part for part in to_rgb(tone)]])
        ax.plot([], [], color=tone, linestyle="", marker="h", label="synapses (darker: more)")
        ends, line = arrays["line_x"][panel], arrays["line_y"][panel]
        ax.plot(ends, arrays["intercept"][panel] + arrays["slope"][panel] * ends, color="0.1", label="fit")
        ax.plot(ends, line, color="tab:blue", linestyle="--", label="optimum")
        _limits(ax, x, y, ends, line, room=0.8 if arrays["point_seeds"][panel] > 1 else 0.6)
        inside = {"gridsize": (40, 32), "extent": (*ax.get_xlim(), *ax.get_ylim()), "mincnt": 1}
        ax.hexbin(x, y, **inside, bins="log", cmap=faint, linewidths=0, rasterized=True)
    if len(x) > 50:
        middles = running_quantiles(x, y, (0.5,))
        ax.plot(*middles, color="tab:red", marker="o", markersize=3, linestyle="", label="median of bins")
    note(ax, _remark({name: arrays[name][panel] for name in arrays if len(arrays[name]) == len(arrays["member"])}))


def _name(axes: np.ndarray, arrays: dict[str, np.ndarray], panels: dict[tuple[int, int], int], x: str) -> None:
    """Titles above, units below and beside the outermost panels; on the right, sigma relative to the layer's RMS mean.

    Mean and sigma of a ReLU network can grow together with nothing changed: only their ratio has a meaning by itself.
    """
    beside = {place: _relative(axes[place], float(arrays["mu_rms"][panel])) for place, panel in panels.items()}
    for (row, column), panel in panels.items():
        ax = axes[row, column]
        above = panels.get((row - 1, column))
        if above is None or arrays["label"][above] != arrays["label"][panel]:
            ax.set_title("\n".join(wrap(str(arrays["label"][panel]), 30)), fontsize=8)
        if row == max(r for r, c in panels if c == column):
            ax.set_xlabel(x)
        if column == min(c for r, c in panels if r == row):
            ax.set_ylabel(f"layer {arrays['layer'][panel]}:  log10 sigma$^2$")
        if column == max(c for r, c in panels if r == row):
            beside[row, column].set_ylabel("log10 (sigma / RMS mean)$^2$")


def _relative(ax: Axes, mu_rms: float) -> Any:
    """An axis on the right that reads log10 (sigma / RMS mean)^2."""
    shift = 2 * np.log10(mu_rms)
    return ax.secondary_yaxis("right", functions=(lambda y: y - shift, lambda y: y + shift))


def _limits(ax: Axes, x: np.ndarray, y: np.ndarray, ends: np.ndarray, line: np.ndarray, *, room: float) -> None:
    """Room for the central 99% of the synapses, for the optimum over them, and for the remark below."""
    left, right = np.percentile(x, [0.5, 99.5])
    low, high = np.percentile(y, [0.5, 99.5])
    beside = np.interp([left, right], ends, line)
    bottom, top = min(low, beside.min()), max(high, beside.max())
    width, height = right - left + 0.1, top - bottom + 0.2
    ax.set(xlim=(left - 0.05 * width, right + 0.05 * width), ylim=(bottom - room * height, top + 0.05 * height))


def _remark(at: dict[str, Any]) -> str:
    """The numbers of a panel; - where there is none, as in the tables."""
    if not at["n"]:
        return f"no synapse has curvature ({at['left_out']} flat)"
    analytic = "-" if np.isnan(at["analytic_slope"]) else f"{at['analytic_slope']:.2f}"
    over = f"{at['point_slope']:.2f} ± {at['point_slope_half_width']:.1g} over {at['point_seeds']:.0f} seeds\n"
    return (
        f"slope {at['slope']:.2f} ± {at['slope_half_width']:.1g}\n{over if at['point_seeds'] > 1 else ''}"
        f"analytic {analytic}, rank r {at['rank_correlation']:.2f}\n"
        f"n = {at['n']} + {at['left_out']} flat, B = {at['balance']:.2g}"
    )


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=np.nan)
