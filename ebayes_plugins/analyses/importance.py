"""Importance: important synapses, those of high curvature, are the reliable ones (Fig. 5a, App. 5, App. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field

from ebayes_core.contract.claim import Claim
from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.results.record import HELD_OUT as HALVES
from ebayes_plugins.analyses._common import (
    NOISE,
    analytic_slope,
    exponent,
    finished,
    label,
    mechanism,
    not_flat,
    offering,
    optimum,
    paid,
    slope_of,
)
from ebayes_plugins.analyses._headlines import fit_sentence
from ebayes_plugins.analyses._importance_claims import CLAIMS, CURVATURE, HELD_OUT, POWERS, Arrays
from ebayes_plugins.analyses._panels import firsts, over_points, points, table
from ebayes_plugins.analyses._regression import fit_halves, fit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

ESTIMATORS = Literal[
    "gauss_newton_noise", "gauss_newton_mean", "fisher_true_noise", "fisher_true_mean", "fisher_empirical_noise",
    "fisher_empirical_mean", "gauss_newton_test", "learning_rate_rms", "learning_rate_authors", "input_abs",
    "input_square",
]  # fmt: skip
LINE = 40  #: points of the analytic curve
POINT = ("point_slope", "point_slope_half_width", "point_seeds")  #: over the seeds of a panel's sweep point


class Importance(Analysis):
    """sigma^2 against Hessian diagonal, learning rate or input, with the fitted slope beside the optimum's."""

    kind: Literal["importance"] = "importance"
    claims: ClassVar[tuple[Claim, ...]] = CLAIMS
    estimator: ESTIMATORS = Field(
        "gauss_newton_noise",
        description="what sigma^2 is plotted against: a Hessian diagonal (the optimum depends on the one averaged over "
        "the noise; _test is one of test examples, which did not set sigma), the learning rate (Eq. 7, or as in the "
        "authors' code) or the input of the synapse",
    )
    layer: int | None = Field(None, ge=1, le=65, description="layer, counted from 1; all layers if omitted")
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="synapses with less than this share of their layer's median curvature (estimated from the learning "
        "rate or input, if these are plotted) count as flat: their unit is almost never active, and they would "
        "dominate the log-log fit",
    )
    columns: int = Field(
        4, ge=1, le=12, description="largest number of sweep points drawn, spread evenly, each with its first seed"
    )
    points: int = Field(2000, ge=10, le=100_000, description="largest number of synapses in each panel")

    def measure(self, run: Run) -> Arrays:
        """Per network and layer: fit, rank correlation, counts, analytic slope; of first seeds, some synapses.

        Raises UserError if no network has heterogeneous sigmas.
        """
        members = [i for i in finished(run) if self._spreads(run, i)]
        if not members:
            raise UserError(
                'no network has sigmas that differ: importance needs noise = { kind = "heterogeneous" } '
                "and a network that did not diverge"
            )
        members = offering(run, members, self._names[0], get_args(ESTIMATORS))
        panels = [(i, layer) for i in members for layer in range(1, run.n_layers(i) + 1) if self.layer in (None, layer)]
        if not panels:
            most = max(run.n_layers(i) for i in members)
            raise UserError(f"layer = {self.layer}: the networks have at most {most} layers; choose one of them")
        found = [self._panel(run, i, layer) for i, layer in panels]
        arrays, skipped = table(found), np.array([run.n_members - len(members)])
        point = points(run, arrays)
        mean = dict(zip(POINT, over_points(point, arrays["slope"]), strict=True))
        unseen = np.setdiff1d(np.arange(len(point)), firsts(point))
        for name in ("x", "y"):  # only the first seed is drawn, and most of a file of analyses would be dots
            arrays[name][unseen] = np.nan
        return {**arrays, "skipped": skipped, "point": point, **mean}

    @property
    def _names(self) -> tuple[str, ...]:
        """The arrays of the estimator: one, or two that estimate the same."""
        return HALVES if self.estimator == HELD_OUT else (self.estimator,)

    def _spreads(self, run: Run, member: int) -> bool:
        sigma = run.layer(member, 1, "sigma")
        return bool(sigma.min() < sigma.max())

    def _panel(self, run: Run, member: int, layer: int) -> dict[str, Any]:
        """One scatter: log10 sigma^2 against log10 H of the synapses that are not flat."""
        variance = run.layer(member, layer, "sigma").astype(float) ** 2
        each = [np.broadcast_to(run.layer(member, layer, name).astype(float), variance.shape) for name in self._names]
        curved = np.all([np.isfinite(h) & (h > 0) for h in each], axis=0) & (variance > 0)
        curved[curved] = self._above(np.mean([h[curved] for h in each], axis=0))
        logs, y = [np.log10(h[curved]) for h in each], np.log10(variance[curved])
        x, fit = np.mean(logs, axis=0), fit_halves(logs, y) if len(logs) > 1 else fit_line(logs[0], y)
        keep = np.random.default_rng(0).permutation(len(x))[: self.points]
        return {
            "member": member, "layer": layer, "label": label(run, member), "rho": exponent(run.member_spec(member)),
            "mechanism": ", ".join(mechanism(run, member, NOISE)),
            "solved": run.member_spec(member)["training"]["sigma"] == "fixed_point",
            "seed": run.seeds[member], "n": len(x), "left_out": variance.size - len(x), **fit,
            **self._expected(run, member, layer, x, y),
            "layers": run.n_layers(member), "balance": run.layer_metric("balance")[member, layer - 1],
            "mu_rms": np.sqrt((run.layer(member, layer, "mu").astype(float) ** 2).mean()),
            "x": _dots(x[keep]), "y": _dots(y[keep]),
        }  # fmt: skip

    def _above(self, h: np.ndarray) -> np.ndarray:
        """Which synapses are not nearly flat, by the curvature that h implies: a high learning rate implies a low
        curvature.
        """
        return not_flat(h ** (1 / POWERS.get(self.estimator, 1.0)), self.flat_below)

    def _expected(self, run: Run, member: int, layer: int, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """The optimum: sigma at each curvature; for other estimators, a line with the optimum's slope through the
        medians.
        """
        if not len(x):
            return {"analytic_slope": np.nan, **dict.fromkeys(("line_x", "line_y"), np.full(LINE, np.nan))}
        mu = float(np.median(np.abs(run.layer(member, layer, "mu"))))
        slope = slope_of(run.member_spec(member), mu, paid(run, member, layer))
        ends, total = np.linspace(x.min(), x.max(), LINE), run.metric("n_examples")[member]
        if self.estimator not in POWERS:
            middle, *line = optimum(slope, total * 10 ** np.array([np.median(x), *ends]))
            return {"analytic_slope": analytic_slope(slope, middle), "line_x": ends, "line_y": 2 * np.log10(line)}
        expected = analytic_slope(slope, 10 ** (np.median(y) / 2)) / POWERS[self.estimator]
        return {"analytic_slope": expected, "line_x": ends, "line_y": np.median(y) + expected * (ends - np.median(x))}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network and layer: the slope of log sigma^2 on log H with its 95% interval, beside the analytic one."""
        named = {
            "network": "label", "layer": "layer", "n": "n", "slope": "slope", "± (synapses)": "slope_half_width",
            "± (seeds)": "point_slope_half_width", "analytic": "analytic_slope", "rank r": "rank_correlation",
            "RMS mean (weight)": "mu_rms", "B": "balance",
        }  # fmt: skip
        return {heading: arrays[name] for heading, name in named.items()}

    def headline(self, arrays: Arrays) -> str:
        """Sign and strength of the rank correlation over layers and networks, and the slope beside the optimum's."""
        from ebayes_plugins.analyses._importance_figure import NAMES

        members, ranks = len(set(arrays["member"].tolist())), arrays["rank_correlation"]
        curvature = self.estimator.startswith(CURVATURE)
        against = "the curvature of the loss" if curvature else f"the {NAMES[self.estimator]}"
        of = "" if members == 1 else f" of {members} networks"
        return fit_sentence("sigma^2", against, ranks, "layer", of, arrays["slope"], arrays["analytic_slope"])

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Layers in rows, networks in columns; axes span the central 99% of the synapses, the numbers are of all."""
        from ebayes_plugins.analyses import _importance_figure

        _importance_figure.draw(arrays, figure, self.estimator, self.columns, self.headline(arrays))


def _dots(logs: np.ndarray) -> np.ndarray:
    """Positions to 1/1024 of a decade, finer than a dot in print; a power of 2 leaves zeros that compress well."""
    return ((1024 * logs).round() / 1024).astype(np.float32)
