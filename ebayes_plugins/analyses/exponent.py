"""Exponent: which power of sigma a synapse's energy behaves like, under any cost, and what sigma^2 does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.wording import span
from ebayes_plugins.analyses._common import curvature, finished, label, not_flat, paid
from ebayes_plugins.analyses._exponents import implied_slope, local_exponents, solved_slope
from ebayes_plugins.analyses._held import held
from ebayes_plugins.analyses._panels import Arrays, over_points, points, table
from ebayes_plugins.analyses._regression import fit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

RANGE = (0.05, 0.95)  #: shares of the synapses below and above which a range of 90% begins and ends
SLOPES = ("found", "implied", "solved")


class Exponent(Analysis):
    """Effective exponents of the energy at each synapse, and the slopes of sigma^2 on curvature they imply."""

    kind: Literal["exponent"] = "exponent"
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="synapses with less than this share of their layer's median curvature count as flat and are left "
        "out: any sigma would do for them",
    )
    columns: int = Field(4, ge=1, le=12, description="largest number of sweep points drawn, spread evenly")
    points: int = Field(1500, ge=10, le=100_000, description="largest number of synapses drawn of each layer")

    def measure(self, run: Run) -> Arrays:
        """Per network and layer: median and 90% range of both exponents, and three slopes of log sigma^2 on log H.

        The slopes are the one found, the one that the local exponents imply, and that of sigmas solved for at each
        synapse's own mean and curvature. Raises UserError if no network has sigmas that differ.
        """
        members = [i for i in finished(run) if np.ptp(run.layer(i, 1, "sigma")) > 0]
        if not members:
            raise UserError(
                "no network that finished training has sigmas that differ, of which exponent shows the slope: use "
                'noise = { kind = "heterogeneous" }'
            )
        arrays = table([self._panel(run, i, layer) for i in members for layer in range(1, run.n_layers(i) + 1)])
        arrays["point"] = points(run, arrays)
        for name in SLOPES:
            mean = over_points(arrays["point"], arrays[name])
            arrays |= {f"{name}_mean": mean[0], f"{name}_over_seeds": mean[1], "seeds": mean[2]}
        return arrays | {"skipped": np.array([run.n_members - len(members)])}

    def _panel(self, run: Run, member: int, layer: int) -> dict[str, Any]:
        """The numbers of one layer, and a sample of its synapses."""
        spec, times = run.member_spec(member), paid(run, member, layer)
        mu, sigma, h = self._synapses(run, member, layer)
        rho1, rho2 = local_exponents(spec, sigma, mu)
        fit = fit_line(np.log(h), 2 * np.log(sigma))
        one_n, one_p = held(spec, mu, sigma)
        keep = np.random.default_rng(0).permutation(len(h))[: self.points]
        return {
            "member": member, "layer": layer, "label": label(run, member), "seed": run.seeds[member], "n": len(h),
            "balance": run.layer_metric("balance")[member, layer - 1], **_ranges(rho1, "rho1"), **_ranges(rho2, "rho2"),
            "no_exponent": int(np.isnan(rho2).sum()), "found": fit["slope"], "half_width": fit["slope_half_width"],
            "implied": implied_slope(np.log(h), rho2), "solved": solved_slope(spec, mu, h, times),
            "one_n": one_n, "one_p": one_p,
            "s": (mu[keep] / sigma[keep]) ** 2, "rho1": rho1[keep], "rho2": rho2[keep],
        }  # fmt: skip

    def _synapses(self, run: Run, member: int, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu, sigma and curvature of the loss summed over the data set, of the synapses that are not flat."""
        mu, sigma, h = (
            np.asarray(values, dtype=np.float64).ravel()
            for values in (*(run.layer(member, layer, name) for name in ("mu", "sigma")), curvature(run, member, layer))
        )
        curved = np.isfinite(h) & (h > 0) & (sigma > 0)
        curved[curved] = not_flat(h[curved], self.flat_below)
        return mu[curved], sigma[curved], run.metric("n_examples")[member] * h[curved]

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per network and layer: medians and 90% ranges of rho1 and rho2, and the three slopes with their intervals.

        And what the synapses of a layer would spend if all had the same n, or the same p, relative to n, p and q of
        each its own, at the same means and standard deviations.
        """
        ranges = {f"{name} (90% of synapses)": _texts(arrays, name) for name in ("rho1", "rho2")}
        named = {
            "slope found": "found", "± (synapses)": "half_width", "± (seeds)": "found_over_seeds",
            "implied by rho2": "implied", "implied ± (seeds)": "implied_over_seeds", "solved at its mu, H": "solved",
            "solved ± (seeds)": "solved_over_seeds", "energy with one n": "one_n", "energy with one p": "one_p",
            "B": "balance",
        }  # fmt: skip
        return {
            "network": arrays["label"], "layer": arrays["layer"], "n": arrays["n"],
            "rho1": arrays["rho1_median"], "rho2": arrays["rho2_median"], **ranges,
            **{heading: arrays[name] for heading, name in named.items()},
        }  # fmt: skip

    def headline(self, arrays: Arrays) -> str:
        """The range of the effective exponents, and the slope found beside the two predictions."""
        low, high = arrays["rho2_low"], arrays["rho2_high"]
        return (
            f"Synapses have effective exponents of {span([*low, *high])} (90% of each layer); the slope of "
            f"log sigma^2 on log curvature is {span(arrays['found'])}, where the exponents imply "
            f"{span(arrays['implied'])} and the optimum at each synapse's mean and curvature has "
            f"{span(arrays['solved'])}."
        )

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Sweep points in columns, first seeds: above, exponents against mu^2/sigma^2; below, slopes by layer."""
        from ebayes_plugins.analyses import _exponent_figure

        _exponent_figure.draw(arrays, figure, self.columns, self.headline(arrays))


def _ranges(values: np.ndarray, name: str) -> dict[str, float]:
    """Median and 90% range of the finite values; NaN without any."""
    finite = values[np.isfinite(values)]
    shares = {"low": RANGE[0], "median": 0.5, "high": RANGE[1]}
    return {f"{name}_{at}": float(np.quantile(finite, s)) if len(finite) else np.nan for at, s in shares.items()}


def _texts(arrays: Arrays, name: str) -> np.ndarray:
    ends = zip(arrays[f"{name}_low"], arrays[f"{name}_high"], strict=True)
    return np.array([f"{low:.3g} to {high:.3g}" for low, high in ends])
