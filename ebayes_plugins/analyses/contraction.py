"""Contraction: how the variance of weights goes with the amount of data, and with the price of reliability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._arms import arm, common, noisy, tone
from ebayes_plugins.analyses._common import (
    analytic_slope,
    curvature,
    multiplier,
    not_flat,
    optimum,
    paid,
    pays,
    slope_of,
)
from ebayes_plugins.analyses._contraction_words import AXES, finding, groups
from ebayes_plugins.analyses._panels import Arrays, table
from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.analyses._regression import over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

SLOPES = ("found", "solved", "theory")


class Contraction(Analysis):
    """Powers of the amount of data and of the price with which the variance of weights goes, Bayesian or not."""

    kind: Literal["contraction"] = "contraction"
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="synapses with less than this share of their layer's median curvature are flat; those that are "
        "flat in any network of a seed and a kind are left out of all",
    )

    def measure(self, run: Run) -> Arrays:
        """Per network, the mean of ln sigma^2 over synapses, found and at the optimum of the curvatures measured.

        Then, per seed and kind of network, the slopes of both on ln N at one price, and on ln c at one N. Raises
        UserError if neither varies.
        """
        members = noisy(run)
        kinds = np.array([arm(run, i) for i in members])
        rows = []
        for kind in dict.fromkeys(kinds.tolist()):
            mine = [i for i, k in zip(members, kinds, strict=True) if k == kind]
            for seed in dict.fromkeys(run.seeds[mine].tolist()):
                rows += self._networks(run, kind, [i for i in mine if run.seeds[i] == seed])
        networks = table(rows) if rows else {}
        networks |= {f"along_{axis}": chosen for axis, chosen in _along(networks).items()} if rows else {}
        slopes = list(_slopes(networks)) if rows else []
        if not slopes:
            raise UserError(
                "contraction compares networks trained on different amounts of data, or at different prices: add  "
                '[sweep]  "dataset.examples" = [200, 400, 800]  or  "cost.c" = [0.01, 0.1, 1.0]  to the spec'
            )
        fits = {f"fit_{name}": values for name, values in table(slopes).items()}
        return networks | fits | {"skipped": np.array([run.n_members - len(members)])}

    def _networks(self, run: Run, kind: str, members: list[int]) -> list[dict[str, Any]]:
        """A row for each network of one kind and seed, over the synapses that are flat in none of them."""
        curvatures = [_curvatures(run, i) for i in members]
        kept = np.logical_and.reduce([self._curved(run, i) for i in members])
        return [
            {
                "member": i, "arm": kind, "seed": run.seeds[i], "examples": run.metric("n_examples")[i],
                "c": multiplier(run.member_spec(i)), "n": int(kept.sum()), **_powers(run, i, kept, best),
                "variance": float(np.log(_flat(run, i, "sigma")[kept] ** 2).mean()),
                "optimal": float(np.log(best**2).mean()),
                "curvature": float(np.log(h[kept]).mean()), "balance": run.metric("balance")[i],
                "tone": np.array([str(tone(run.member_spec(i)))])[0],
            }
            for i, h in zip(members, curvatures, strict=True) if kept.any() for best in [_optimal(run, i, h)[kept]]
        ]  # fmt: skip

    def _curved(self, run: Run, member: int) -> np.ndarray:
        """Which synapses of a network are not flat, layer after layer."""
        found = []
        for layer in range(1, run.n_layers(member) + 1):
            h = curvature(run, member, layer).ravel()
            steep = np.isfinite(h) & (h > 0)
            steep[steep] = not_flat(h[steep], self.flat_below)
            found.append(steep)
        return np.concatenate(found)

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per kind: the power of N and of c, found, at the optimum of its curvatures, and in theory; 95% over seeds."""
        rows = [
            {
                "of": AXES[axis], "network": kind, "seeds": int(mine.sum()), "power found": found[0],
                "± (seeds)": found[1], "at the optimum": solved[0], "± optimum (seeds)": solved[1],
                "at constant curvature": theory[0],
                "curvature's power": over_seeds(arrays["fit_curvature"][mine])[0],
            }
            for axis, kind, mine in groups(arrays)
            for found, solved, theory in [[over_seeds(arrays[f"fit_{name}"][mine]) for name in SLOPES]]
        ]  # fmt: skip
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def headline(self, arrays: Arrays) -> str:
        """The powers found for Bayes and for energies, with the number of data and with the price."""
        return finding(arrays)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Above, variances against data and against the price; below, their powers, found and predicted."""
        from ebayes_plugins.analyses import _contraction_figure

        _contraction_figure.draw(arrays, figure)


def _flat(run: Run, member: int, name: str) -> np.ndarray:
    """An array of all synapses of a network, layer after layer."""
    layers = range(1, run.n_layers(member) + 1)
    return np.concatenate([run.layer(member, layer, name).ravel().astype(np.float64) for layer in layers])


def _curvatures(run: Run, member: int) -> np.ndarray:
    """Curvature per example of all synapses of a network, layer after layer."""
    layers = range(1, run.n_layers(member) + 1)
    return np.concatenate([curvature(run, member, layer).ravel().astype(np.float64) for layer in layers])


def _optimal(run: Run, member: int, h: np.ndarray) -> np.ndarray:
    """The sigma that is optimal at each synapse's mean and curvature, or the one for all if they share it."""
    n, drives = run.metric("n_examples")[member], _drives(run, member)
    if np.ptp(_flat(run, member, "sigma")) > 0:
        return optimum(drives, np.where(h > 0, n * h, 1.0))
    shared = optimum(lambda sigma: drives(0 * h + sigma).sum(keepdims=True), np.array([n * h.sum()]))
    return np.asarray(0 * h + shared)


def _drives(run: Run, member: int) -> Callable[[np.ndarray], np.ndarray]:
    """What drives the sigmas of all synapses up, layer after layer: minus the derivative of the costs in ln sigma."""
    spec, layers = run.member_spec(member), range(1, run.n_layers(member) + 1)
    means = [run.layer(member, layer, "mu").ravel().astype(np.float64) for layer in layers]
    slopes = [slope_of(spec, mu, paid(run, member, layer)) for mu, layer in zip(means, layers, strict=True)]
    ends = np.cumsum([len(mu) for mu in means])[:-1]
    each = lambda sigma: zip(slopes, np.split(sigma, ends), strict=True)
    return lambda sigma: np.concatenate([slope(part) for slope, part in each(sigma)])


def _powers(run: Run, member: int, kept: np.ndarray, best: np.ndarray) -> dict[str, float]:
    """In theory, d ln sigma^2 / d ln N and / d ln c of the median synapse, at constant curvature and a weak prior.

    A budget is spent whatever N and c are, and variational Bayes does not pay c.
    """
    spec = run.member_spec(member)
    if plugin(spec, "inference").allowance is not None or not pays(spec):
        return {"power_data": 0.0 if pays(spec) else -1.0, "power_price": 0.0}
    mu = float(np.median(np.abs(_flat(run, member, "mu")[kept])))
    found = analytic_slope(slope_of(spec, mu), float(np.median(best)))
    return {"power_data": found, "power_price": -found}


def _along(networks: Arrays) -> dict[str, np.ndarray]:
    """The networks of each kind that differ in the amount of data, at one price, and in price, at one amount."""
    found = {axis: np.zeros(len(networks["arm"]), bool) for axis in AXES}
    for kind in dict.fromkeys(networks["arm"].tolist()):
        own, c, n = networks["arm"] == kind, networks["c"], networks["examples"]
        found["data"] |= own & (c == common(c[own], n[own]))
        found["price"] |= own & (n == common(n[own], c[own]))
    return found


def _slopes(networks: Arrays) -> Iterator[dict[str, Any]]:
    """A row for each axis, kind and seed that has several values on it."""
    for axis, name in (("data", "examples"), ("price", "c")):
        for kind, seed in dict.fromkeys(zip(networks["arm"].tolist(), networks["seed"].tolist(), strict=True)):
            mine = networks[f"along_{axis}"] & (networks["arm"] == kind) & (networks["seed"] == seed)
            if len(np.unique(networks[name][mine])) > 1:
                yield _fit(networks, mine, axis, np.log(networks[name][mine]))


def _fit(networks: Arrays, mine: np.ndarray, axis: str, x: np.ndarray) -> dict[str, Any]:
    """Slopes of ln sigma^2 on x, found and at the optimum, beside theory at constant curvature and a weak prior."""
    slope = lambda name: float(np.polyfit(x, networks[name][mine], 1)[0])
    return {
        "axis": axis, "arm": networks["arm"][mine][0], "seed": networks["seed"][mine][0], "found": slope("variance"),
        "solved": slope("optimal"), "curvature": slope("curvature"),
        "theory": float(networks[f"power_{axis}"][mine].mean()),
    }  # fmt: skip
