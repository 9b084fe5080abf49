"""Importance: important synapses, those with curvature, are the precise ones (Fig. 5a, App. 5, App. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.errors import UserError
from ebayes_core.slots import Analysis
from ebayes_plugins.analyses._common import analytic_slope, colour, finished, grid, label, note, optimum, slope_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebayes_core.runfile import Run

ESTIMATORS = Literal[
    "gauss_newton_noise", "gauss_newton_mean", "fisher_true_noise", "fisher_true_mean", "fisher_empirical_noise",
    "fisher_empirical_mean",
]  # fmt: skip
LINE = 40  #: points of the analytic curve


class Importance(Analysis):
    """sigma^2 against the Hessian diagonal, with the fitted slope beside the analytic -2/(rho + 2)."""

    kind: Literal["importance"] = "importance"
    estimator: ESTIMATORS = Field(
        "gauss_newton_noise",
        description="which Hessian diagonal; the optimum knows the one that is averaged over the noise",
    )
    layer: int | None = Field(None, ge=1, le=65, description="layer of weights, from 1; all layers if left out")
    columns: int = Field(5, ge=1, le=12, description="at most so many members drawn, spread evenly over the sweep")
    points: int = Field(3000, ge=10, le=100_000, description="at most so many synapses kept for each panel's scatter")

    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """Per member and layer: fit, rank correlation, counts, analytic slope, and a sample of the synapses.

        Raises UserError where no member has a sigma of its own for each synapse.
        """
        members = [i for i in finished(run) if self._spreads(run, i)]
        if not members:
            raise UserError(
                "no member has a spread of sigma to explain: importance needs heterogeneous noise and a finished network"
            )
        panels = [(i, layer) for i in members for layer in range(1, run.n_layers(i) + 1) if self.layer in (None, layer)]
        if not panels:
            raise UserError(f"layer = {self.layer}: the networks have {run.n_layers(members[0])} layers; name one of them")
        found = [self._panel(run, i, layer) for i, layer in panels]
        arrays = {name: np.array([panel[name] for panel in found]) for name in found[0]}
        return {**arrays, **self._over_seeds(run, members, arrays)}

    def _spreads(self, run: Run, member: int) -> bool:
        sigma = run.layer(member, 1, "sigma")
        return bool(sigma.min() < sigma.max())

    def _panel(self, run: Run, member: int, layer: int) -> dict[str, Any]:
        """One scatter: log10 sigma^2 against log10 H of the synapses with curvature."""
        h = run.layer(member, layer, self.estimator).astype(float).ravel()
        variance = run.layer(member, layer, "sigma").astype(float).ravel() ** 2
        curved = np.isfinite(h) & (h > 0) & (variance > 0)
        x, y = np.log10(h[curved]), np.log10(variance[curved])
        spec, total = run.member_spec(member), run.metric("n_examples")[member]
        slope = slope_of(spec)
        ends = np.linspace(x.min(), x.max(), LINE) if len(x) else np.full(LINE, np.nan)
        middle = float(np.sqrt(10 ** np.median(y))) if len(y) else 1.0
        keep = np.random.default_rng(0).permutation(len(x))[: self.points]
        return {
            "member": member, "layer": layer, "label": label(run, member), "cost": spec["cost"]["kind"],
            "seed": run.seeds[member], "n": len(x), "left_out": h.size - len(x), **_fit(x, y),
            "analytic_slope": analytic_slope(slope, middle),
            "line_x": ends, "line_y": 2 * np.log10(optimum(slope, total * 10**ends)),
            "balance": run.layer_metric("balance")[member, layer - 1],
            "x": _padded(x[keep], self.points), "y": _padded(y[keep], self.points),
        }  # fmt: skip

    def _over_seeds(self, run: Run, members: list[int], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Mean slope over the seeds of one sweep point and its 95% interval: synapses of one network are not independent."""
        from scipy.stats import t

        points = {i: label(run, i, ("seed",)) for i in members}
        names = list(dict.fromkeys((points[m], int(layer)) for m, layer in zip(arrays["member"], arrays["layer"], strict=True)))
        rows = []
        for name, layer in names:
            mine = [points[m] == name and at == layer for m, at in zip(arrays["member"], arrays["layer"], strict=True)]
            slopes = arrays["slope"][np.array(mine)]
            k = len(slopes)
            half = t.ppf(0.975, k - 1) * slopes.std(ddof=1) / np.sqrt(k) if k > 1 else np.nan
            rows.append((slopes.mean(), half, k))
        mean, half, count = np.array(rows).T
        return {
            "point": np.array([f"{name}, layer {layer}" for name, layer in names]),
            "point_slope": mean, "point_slope_half_width": half, "point_seeds": count,
        }  # fmt: skip

    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Layers in rows, members in columns."""
        members = list(dict.fromkeys(arrays["member"].tolist()))
        shown = [members[i] for i in np.unique(np.linspace(0, len(members) - 1, self.columns).round().astype(int))]
        layers = sorted(set(arrays["layer"].tolist()))
        axes = grid(figure, len(layers), len(shown), 2.4)
        for panel, (member, layer) in enumerate(zip(arrays["member"], arrays["layer"], strict=True)):
            if member in shown:
                self._scatter(axes[layers.index(layer), shown.index(member)], arrays, panel)
        for ax in axes[-1]:
            ax.set_xlabel("log10 H, per datapoint")
        for ax, layer in zip(axes[:, 0], layers, strict=True):
            ax.set_ylabel(f"layer {layer}:  log10 sigma$^2$")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.suptitle(f"Precision follows importance; H: {self.estimator.replace('_', ' ')}", fontsize=10)

    def _scatter(self, ax: Axes, arrays: dict[str, np.ndarray], panel: int) -> None:
        """One panel: synapses, their running median, the fit, and where the optimum lies."""
        x, y = arrays["x"][panel], arrays["y"][panel]
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        tone = colour(str(arrays["cost"][panel]))
        ax.plot(x, y, linestyle="", marker=".", markersize=1.5, alpha=0.3, color=tone, rasterized=True, label="synapses")
        ends = arrays["line_x"][panel]
        fit = arrays["intercept"][panel] + arrays["slope"][panel] * ends
        ax.plot(ends, fit, color="0.1", label="fit")
        ax.plot(ends, arrays["line_y"][panel], color="tab:blue", linestyle="--", label="optimum at this H")
        if len(x) > 50:
            ax.plot(*_running_median(x, y), color="tab:red", marker="o", markersize=3, linestyle="", label="median of bins")
        if arrays["layer"][panel] == arrays["layer"].min():
            ax.set_title(str(arrays["label"][panel]))
        low, high = np.percentile(y, [0.5, 99.5]) if len(y) else (0, 1)
        line = arrays["line_y"][panel]
        bottom, top = min(low, np.nanmin(line)), max(high, np.nanmax(line))
        ax.set_ylim(bottom - 0.5 * (top - bottom + 0.2), top + 0.05 * (top - bottom + 0.2))
        note(
            ax,
            f"slope {arrays['slope'][panel]:.2f} ± {arrays['slope_half_width'][panel]:.2g}\n"
            f"analytic {arrays['analytic_slope'][panel]:.2f}, rank r {arrays['rank_correlation'][panel]:.2f}\n"
            f"n = {arrays['n'][panel]} + {arrays['left_out'][panel]} flat, B = {arrays['balance'][panel]:.2g}",
        )


def _fit(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Least squares of y on x with its 95% interval by synapse, and Spearman's rank correlation."""
    from scipy.stats import linregress, spearmanr, t

    if len(x) < 3 or np.ptp(x) == 0:
        return dict.fromkeys(("slope", "intercept", "slope_half_width", "rank_correlation"), np.nan)
    fit = linregress(x, y)
    half = t.ppf(0.975, len(x) - 2) * fit.stderr
    rank = spearmanr(x, y).statistic if np.ptp(y) > 0 else np.nan
    return {"slope": fit.slope, "intercept": fit.intercept, "slope_half_width": half, "rank_correlation": rank}


def _running_median(x: np.ndarray, y: np.ndarray, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Medians of y over bins of x that hold equally many points."""
    order = np.argsort(x)
    parts = np.array_split(order, bins)
    return np.array([np.median(x[p]) for p in parts]), np.array([np.median(y[p]) for p in parts])


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=np.nan)
