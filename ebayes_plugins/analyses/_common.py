"""Shared by analyses: groups and labels of networks, and the optimum for any cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._plugins import plugin, price_in_sigma

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

#: arrays that are not available for every network, and why
SOMETIMES = {
    "gauss_newton": "Gauss-Newton is measured for at most 100 outputs, and if the likelihood knows its curvature_roots",
    "fisher_true": "the true Fisher is measured for likelihoods that can be sampled",
    "input": "inputs are measured for architectures with a trace",
}
NOISE = ("noise", "noise.kind", "noise.sigma_0")  #: fields of the noise, which do not belong to the mechanism


def label(run: Run, member: int, leave_out: tuple[str, ...] = ()) -> str:
    """Label of a network: the swept values, and its seed if there are several; its cost if that is empty."""
    return ", ".join(settings(run, member, leave_out)) or run.member_spec(member)["cost"]["kind"]


def settings(run: Run, member: int, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Swept values of a network, and its seed if there are several; leave_out: dotted fields, or seed."""
    parts = [_named(name, v[member], leave_out) for name, v in run.swept.items() if name not in leave_out]
    if len(set(run.seeds.tolist())) > 1 and "seed" not in leave_out:
        parts.append(f"seed {run.seeds[member]}")
    return [part for part in parts if part]


def mechanism(run: Run, member: int, leave_out: tuple[str, ...]) -> list[str]:
    """Cost of a network, and what else it shares with networks that differ only in seed, c and the fields left out."""
    kinds = [run.member_spec(member)["cost"]["kind"]] if "cost" not in run.swept else []
    return [*kinds, *settings(run, member, ("seed", "cost.c", "cost.s", "cost.kind", *leave_out))]


def _named(name: str, value: Any, leave_out: tuple[str, ...] = ()) -> str:
    """A swept field in words; a table as its kind and the other fields that it sets."""
    if isinstance(value, dict):
        rest = [_named(f"{name}.{k}", v) for k, v in value.items() if k != "kind" and f"{name}.{k}" not in leave_out]
        return " ".join([str(value.get("kind", "")), *rest]).strip()
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return "(" + " + ".join(_named(name, part) for part in value) + ")"
    last = name.rsplit(".", maxsplit=1)[-1]
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if last == "kind" else f"{last} = {text}"


def follows(values: Iterable[Any], others: Iterable[Any]) -> bool:
    """Whether values are the same wherever the others are."""
    pairs = {(str(value), str(other)) for value, other in zip(values, others, strict=True)}
    return len(pairs) == len({other for _, other in pairs})


def pays(spec: dict[str, Any]) -> bool:
    """Whether the cost of the spec is part of a network's objective."""
    return bool(plugin(spec, "inference").pays)


def exponent(spec: dict[str, Any]) -> float:
    """rho of a network's reliability cost; NaN if it is not a power law, or is not paid."""
    return float(spec["cost"].get("rho", np.nan)) if pays(spec) else np.nan


def multiplier(spec: dict[str, Any]) -> float:
    """c of a network's cost, also if the spec gives s (Eq. 48)."""
    return float(plugin(spec, "cost").multiplier)


def copies(run: Run) -> np.ndarray:
    """Number of synapses that share each mean and sigma, (member, layer); 1 in a file that does not tell."""
    known = "n_copies" in run.layer_metrics
    return run.layer_metric("n_copies") if known else np.ones_like(run.layer_metric("balance"))


def paid(run: Run, member: int, layer: int) -> float:
    """By what the cost of the spec is multiplied in a layer, counted from 1.

    The number of synapses that share each sigma, times the multiplier that a budget implies: its median, if neurons or
    synapses have budgets of their own.
    """
    under = "multiplier" in run.layer_names(member)
    found = float(np.median(run.layer(member, layer, "multiplier"))) if under else 1.0
    return found * float(copies(run)[member, layer - 1])


def slope_of(spec: dict[str, Any], mu: float | np.ndarray, times: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """sigma -> -sigma d(cost)/d sigma of synapses with mean mu: c rho sigma**-rho for a power law, 1 for the entropic
    cost.

    mu: one mean for all, or one for each sigma.

    The cost is everything that the objective adds to the loss. At the optimum this equals N H sigma^2 (Eq. 27), for any
    cost, and for variational Bayes with its prior. times: number of synapses that pay with this mean and sigma.
    """
    import torch

    from ebayes_core.contract.functions import elasticity

    inference, price = plugin(spec, "inference"), price_in_sigma(spec)

    def slope(sigma: np.ndarray) -> np.ndarray:
        at, means = (torch.as_tensor(values, dtype=torch.float64) for values in (sigma, mu))
        return times * elasticity(lambda s: inference.penalty(means.expand_as(s), s, price), at).numpy()

    return slope


def optimum(slope: Callable[[np.ndarray], np.ndarray], curvature: np.ndarray) -> np.ndarray:
    """The sigma that solves curvature * sigma^2 = slope(sigma), by bisection on log sigma; curvature: data-set sum,
    positive.
    """
    low, high = np.full_like(curvature, -60.0), np.full_like(curvature, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        small = curvature * np.exp(2 * middle) < slope(np.exp(middle))
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.exp((low + high) / 2)


def analytic_slope(slope: Callable[[np.ndarray], np.ndarray], sigma: float) -> float:
    """d log sigma^2 / d log H at the optimum: -2/(rho + 2) for a power law, -1 for the entropic cost (Appendix 5).

    NaN if no curvature has that sigma as its optimum, as for sigma beyond the width of a prior.
    """
    step = 1e-4
    above, below = slope(np.array([sigma * np.exp(step), sigma * np.exp(-step)]))
    if not (above > 0 and below > 0):
        return np.nan
    exponent = (np.log(above) - np.log(below)) / (2 * step)
    return float(2 / (exponent - 2))


def mean_band(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the finite values, 0 for a single one; NaN without any."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.nan, np.nan
    return float(finite.mean()), float(finite.std(ddof=1)) if len(finite) > 1 else 0.0


def finished(run: Run) -> list[int]:
    """Networks that did not diverge."""
    return [i for i, status in enumerate(run.status) if status == "done"]


def offering(run: Run, members: list[int], name: str, others: Iterable[str] = ()) -> list[int]:
    """The networks for whose synapses the file contains an array of this name.

    Raises UserError if there are none, listing those of `others` that are available.
    """
    found = [i for i in members if name in run.layer_names(i)]
    if members and not found:
        known = dict.fromkeys(other for i in members for other in run.layer_names(i) if other in others)
        why = "".join(f" ({words})" for start, words in SOMETIMES.items() if name.startswith(start))
        instead = f"; available are {', '.join(known)}" if known else ""
        raise UserError(f"'{name}' was not measured for these networks{why}{instead}")
    return found


def curvature(run: Run, member: int, layer: int) -> np.ndarray:
    """The curvature that decides which synapses are flat: Gauss-Newton, or the best Fisher that was measured."""
    known = (f"{name}_noise" for name in ("gauss_newton", "fisher_true", "fisher_empirical"))
    return run.layer(member, layer, next(name for name in known if name in run.layer_names(member)))


def not_flat(h: np.ndarray, share: float) -> np.ndarray:
    """Which of the positive curvatures exceed this share of their median."""
    return np.asarray(h > share * np.median(h)) if len(h) else h > 0


def balance_range(group: np.ndarray, balance: np.ndarray) -> str:
    """How near each group of networks is to its optimum, for a caption."""
    parts = []
    for name in dict.fromkeys(group.tolist()):
        known = balance[(group == name) & np.isfinite(balance)]
        if known.size:
            parts.append(f"{known.min():.2g} to {known.max():.2g} ({name})")
    return f"balance B, 1 at the optimum: {', '.join(parts)}" if parts else "no balance without noise"
