"""What analyses share: groups and labels of members, and the optimum of any cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.errors import UserError

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry
    from ebayes_core.results.reader import Run

#: what is not known of every network's synapses, and why
SOMETIMES = {
    "gauss_newton": "Gauss-Newton is measured of tasks with at most 100 outputs",
    "input": "inputs are known of networks with a trace",
}
NOISE = ("noise", "noise.kind", "noise.sigma_0")  #: fields of the noise, which is no part of the mechanism


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


def plugin(spec: dict[str, Any], slot: str) -> Any:
    """The plugin that a member's resolved spec names in a slot. Raises UserError where it is not installed."""
    registry, kind = _registry(), spec[slot]["kind"]
    if kind not in registry.kinds(slot):
        raise UserError(
            f"the {slot} '{kind}' of this run is not registered here; install the plugin that provides it"
            f"{registry.suspects()}"
        )
    # as JSON: in a resolved table a list may stand for a tuple
    return registry.composed(registry.kinds(slot)[kind]).model_validate_json(json.dumps(spec[slot]))


@cache
def _registry() -> Registry:
    """The installed plugins, asked for once: a sweep has thousands of networks."""
    from ebayes_core.contract.registry import Registry

    return Registry.load()


def multiplier(spec: dict[str, Any]) -> float:
    """c of a member's cost, where the spec gives s as well (Eq. 48)."""
    return float(plugin(spec, "cost").multiplier)


def slope_of(spec: dict[str, Any], mu: float) -> Callable[[np.ndarray], np.ndarray]:
    """sigma -> -sigma d(cost)/d sigma of a synapse of mean mu: c rho sigma**-rho for a power law, 1 for an entropy.

    The cost is all that the objective charges beside the loss. At the optimum it equals N H sigma^2 (Eq. 27), for any
    cost, and for variational Bayes with its prior.
    """
    import torch

    from ebayes_core.contract.functions import elasticity

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


def balance_range(group: np.ndarray, balance: np.ndarray) -> str:
    """How far each group of networks is from its optimum, in words for a caption."""
    parts = []
    for name in dict.fromkeys(group.tolist()):
        known = balance[(group == name) & np.isfinite(balance)]
        if known.size:
            parts.append(f"{known.min():.2g} to {known.max():.2g} ({name})")
    return f"balance B, 1 at the optimum: {', '.join(parts)}" if parts else "no noise, hence no balance"
