"""Estimators: which estimates of the curvature are unbiased, where a linear teacher tells what it is exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_core.results.record import HELD_OUT as HALVES
from ebayes_plugins.analyses._common import (
    analytic_slope,
    exponent,
    finished,
    follows,
    mechanism,
    multiplier,
    optimum,
    paid,
    slope_of,
)
from ebayes_plugins.analyses._linear_teacher import EXACT, NAMES, TEST, exact, firsts
from ebayes_plugins.analyses._panels import Arrays, over_points, table
from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.analyses._regression import fit_halves, fit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run


class Estimators(Analysis):
    """Bias of every estimator of the curvature against its exact value, for linear students of a linear teacher."""

    kind: Literal["estimators"] = "estimators"
    points: int = Field(2000, ge=10, le=100_000, description="largest number of synapses drawn of each layer")

    def measure(self, run: Run) -> Arrays:
        """Per network, layer and estimator: its bias, and the slope of log sigma^2 on its logarithm.

        Of the noisiest network also the synapses themselves. Raises UserError if no network is a linear student.
        """
        members = [i for i in finished(run) if _is_student(run.member_spec(i))]
        if not members:
            raise UserError(
                "no network that finished training has a curvature that is known exactly: estimators needs "
                'dataset = { kind = "teacher" } and network = { kind = "mlp", hidden = [10], activations = '
                '["linear", "linear"] }'
            )
        named = zip(members, _mechanisms(run, members), strict=True)
        rows = [{**row, "mechanism": name} for i, name in named for layer in (1, 2) for row in _rows(run, i, layer)]
        arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        parts = (arrays[name].tolist() for name in ("mechanism", "layer", "estimator"))
        point = np.array([", ".join(map(str, part)) for part in zip(*parts, strict=True)])
        for name in ("bias", "slope"):
            mean, half, seeds = over_points(point, arrays[name])
            arrays |= {f"{name}_mean": mean, f"{name}_over_seeds": half, "seeds": seeds}
        noisiest = max(members, key=lambda i: run.metric("sigma_median")[i])
        shown = table([_shown(run, noisiest, layer, self.points) for layer in (1, 2)])
        return arrays | {"shown": np.array([noisiest])} | {f"shown_{name}": values for name, values in shown.items()}

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per mechanism, layer and estimator: bias and slope of sigma^2, means over seeds with 95% intervals."""
        first = firsts(arrays)
        named = {
            "mechanism": "mechanism", "layer": "layer", "estimator": "estimator", "seeds": "seeds",
            "bias (%)": "bias_mean", "± bias (%)": "bias_over_seeds", "slope of sigma^2": "slope_mean",
            "± slope": "slope_over_seeds", "slope at the optimum": "analytic_slope",
        }  # fmt: skip
        times = {"bias_mean": 100, "bias_over_seeds": 100}
        chosen = {name: arrays[name][first] for name in named.values()}
        return {heading: chosen[n] * times[n] if n in times else chosen[n] for heading, n in named.items()}

    def headline(self, arrays: Arrays) -> str:
        """The biases of the estimators that theory calls unbiased, with how many intervals include 0, and of others."""
        known = {words: names for words, names in GROUPS.items() if np.isin(names, arrays["estimator"]).any()}
        parts = [f"of {words} {_range(arrays, names)}" for words, names in known.items()]
        parts[0] += _including_zero(arrays, GROUPS[BOTH])
        if "gauss_newton_noise" not in arrays["estimator"]:
            parts[0] = parts[0].replace("Gauss-Newton and ", "")
        return f"Bias against the exact curvature of a linear student: {', '.join(parts)}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Layers in rows: estimates against the exact curvature, biases, and sigma^2 against the exact curvature."""
        from ebayes_plugins.analyses import _estimators_figure

        _estimators_figure.draw(arrays, figure, self.headline(arrays))


BOTH = "Gauss-Newton and the true Fisher, averaged over the noise,"
#: estimators that the headline names together; the first are those that theory calls unbiased
GROUPS = {
    BOTH: ("gauss_newton_noise", TEST, "fisher_true_noise"),
    "Gauss-Newton at the means": ("gauss_newton_mean",),
    "the empirical Fisher": ("fisher_empirical_noise",),
}


def _including_zero(arrays: Arrays, names: tuple[str, ...]) -> str:
    """How many of the intervals over seeds include 0, in brackets; nothing without intervals."""
    first = firsts(arrays)
    some = first[np.isin(arrays["estimator"][first], names) & np.isfinite(arrays["bias_over_seeds"][first])]
    within = np.abs(arrays["bias_mean"][some]) <= arrays["bias_over_seeds"][some]
    return f" ({within.sum()} of {len(some)} intervals include 0)" if len(some) else ""


def _range(arrays: Arrays, names: tuple[str, ...]) -> str:
    """The range of the mean biases over mechanisms and layers, in percent."""
    first = firsts(arrays)
    found = 100 * arrays["bias_mean"][first][np.isin(arrays["estimator"][first], names)]
    low, high = (f"{end:+.0f}" if abs(end) >= 10 else f"{end:+.1f}" for end in (found.min(), found.max()))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _is_student(spec: dict[str, Any]) -> bool:
    """Whether a network is a linear one of two layers, on the data of a linear teacher."""
    network = spec["network"]
    linear = network["kind"] == "mlp" and network.get("activations") == ["linear", "linear"]
    return spec["dataset"]["kind"] == "teacher" and linear


def _mechanisms(run: Run, members: list[int]) -> list[str]:
    """The mechanism of each network, with its price if networks of one mechanism have several."""
    names = [", ".join(mechanism(run, i, ())) for i in members]
    prices = [f"{multiplier(run.member_spec(i)):g}" for i in members]
    if follows(prices, names):
        return names
    return [f"{name}, c = {price}" for name, price in zip(names, prices, strict=True)]


def _synapses(run: Run, member: int, layer: int) -> dict[str, np.ndarray]:
    """The exact curvature and all estimates of each synapse, (synapses,), per example."""
    means, sigmas = ([run.layer(member, i, name) for i in (1, 2)] for name in ("mu", "sigma"))
    known = exact(means, sigmas, plugin(run.member_spec(member), "dataset").spectrum())[layer - 1].ravel()
    there = [name for name in (*NAMES, *HALVES) if name in run.layer_names(member)]
    found = {name: run.layer(member, layer, name).astype(float).ravel() for name in (*there, "sigma")}
    tested = {TEST: np.mean([found[name] for name in HALVES], axis=0)} if HALVES[0] in found else {}
    return {EXACT: known, **found, **tested, "variance": found["sigma"] ** 2}


def _rows(run: Run, member: int, layer: int) -> list[dict[str, Any]]:
    """A row for the exact curvature and for each estimator of a layer."""
    s = _synapses(run, member, layer)
    about = {
        "member": member, "layer": layer, "seed": run.seeds[member], "rho": exponent(run.member_spec(member)),
        "balance": run.layer_metric("balance")[member, layer - 1],
        "analytic_slope": _analytic(run, member, layer, s[EXACT]),
    }  # fmt: skip
    bias = lambda name: float((s[name] / s[EXACT]).mean() - 1)
    return [{**about, "estimator": n, "bias": bias(n), "slope": _slope(s, n)} for n in (EXACT, *NAMES) if n in s]


def _slope(s: dict[str, np.ndarray], name: str) -> float:
    """Of log sigma^2 on log H by an estimate; halves of the test set are each the instrument of the other."""
    names = HALVES if name == TEST else (name,)
    known = np.all([s[n] > 0 for n in names], axis=0)
    logs, y = [np.log(s[n][known]) for n in names], np.log(s["variance"][known])
    return (fit_halves(logs, y) if len(logs) > 1 else fit_line(logs[0], y))["slope"]


def _analytic(run: Run, member: int, layer: int, h: np.ndarray) -> float:
    """Slope of log sigma^2 on log H at the optimum, at the median mean and curvature."""
    slope = _price(run, member, layer)
    return analytic_slope(
        slope, float(optimum(slope, run.metric("n_examples")[member] * np.median(h, keepdims=True))[0])
    )


def _price(run: Run, member: int, layer: int) -> Any:
    mu = float(np.median(np.abs(run.layer(member, layer, "mu"))))
    return slope_of(run.member_spec(member), mu, paid(run, member, layer))


def _shown(run: Run, member: int, layer: int, most: int) -> dict[str, Any]:
    """Synapses of a layer, and the sigma^2 that is optimal at each exact curvature."""
    s = _synapses(run, member, layer)
    keep = np.random.default_rng(0).permutation(len(s[EXACT]))[:most]
    best = optimum(_price(run, member, layer), run.metric("n_examples")[member] * s[EXACT][keep]) ** 2
    return {"optimum": best, **{name: s[name][keep] for name in (EXACT, *NAMES, "variance") if name in s}}
