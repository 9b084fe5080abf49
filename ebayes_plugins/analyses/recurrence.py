"""Recurrence: the longer a synapse has to keep a signal, the more reliable it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._arms import noisy
from ebayes_plugins.analyses._common import curvature, exponent, not_flat, pays
from ebayes_plugins.analyses._integrators import best, expected_slope, is_integrator, power, response
from ebayes_plugins.analyses._memory_profile import profile
from ebayes_plugins.analyses._panels import Arrays, over_points, table
from ebayes_plugins.analyses._rebuilt import dataset_of
from ebayes_plugins.analyses._tasks import differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run


class Recurrence(Analysis):
    """Sigma of recurrent synapses against the length of a sequence, beside that of a perfect integrator."""

    kind: Literal["recurrence"] = "recurrence"
    flat_below: float = Field(
        1e-6,
        ge=0,
        lt=1,
        description="recurrent synapses with less than this share of their median curvature count as flat and are left "
        "out: any sigma would do for them",
    )

    def measure(self, run: Run) -> Arrays:
        """Per network: steps, mean ln sigma and ln H of its recurrent synapses, and where in a sequence H comes from.

        Per task, noise, mechanism and seed: the slope of ln sigma on ln T. Raises UserError if no network with noise is
        recurrent, or if all sequences are equally long. Without curvature, as at a length of 1, a network has no row.
        """
        members = [i for i in noisy(run) if run.member_spec(i)["network"]["kind"] == "recurrent"]
        rows = _named(run, [row for i in members if (row := self._row(run, i))])
        groups = {group(row) for row in rows}
        if not any(len({row["steps"] for row in rows if group(row) == g}) > 1 for g in groups):
            raise UserError(
                "no recurrent network with noise has been trained on sequences of several lengths, of which recurrence "
                'shows the effect: add  [sweep]  dataset = [{ kind = "memory", delay = 5 }, { kind = "memory", '
                'delay = 20 }]  and network = { kind = "recurrent" }'
            )
        arrays = table(rows)
        point = np.array(["|".join(map(str, (*group(row), row["steps"]))) for row in rows])
        mean = over_points(point, arrays["log_sigma"])
        arrays |= {"log_sigma_mean": mean[0], "log_sigma_over_seeds": mean[1], "log_sigma_seeds": mean[2]}
        return arrays | {f"slope_{name}": values for name, values in _slopes(arrays).items()}

    def _row(self, run: Run, member: int) -> dict[str, Any]:
        """The numbers of one network; none if it has no curvature."""
        spec, dataset = run.member_spec(member), dataset_of(run, [member], self.kind)
        steps, inputs = dataset.load("train")[0].shape[1:]
        sigma, mu, h = self._curved(run, member, inputs)
        if not len(h):
            return {}
        examples = run.metric("n_examples")[member]
        return {
            "member": member, "seed": run.seeds[member], "task": spec["dataset"]["kind"], "steps": steps,
            "noise": spec["network"]["noise"], "mechanism": _mechanism(spec), "rho": exponent(spec),
            "response": response(spec, float(np.median(np.abs(mu))), float(np.median(sigma))),
            "integrator": is_integrator(spec), "n": len(h),
            "log_sigma": np.log(sigma).mean(), "log_h": np.log(h).mean(),
            "balance": run.layer_metric("balance")[member, 0],
            "exact": np.log(best(spec, np.array([steps]), examples)[0]) if is_integrator(spec) else np.nan,
            "profile": profile(run, member, dataset),
        }  # fmt: skip

    def _curved(self, run: Run, member: int, inputs: int) -> np.ndarray:
        """Sigma, mu and curvature of the recurrent synapses that are not flat, (3, synapses)."""
        layers = (run.layer(member, 1, "sigma"), run.layer(member, 1, "mu"), curvature(run, member, 1))
        found = np.array([values[:, inputs:-1].astype(float).ravel() for values in layers])
        found = found[:, found[-1] > 0]
        return found[:, not_flat(found[-1], self.flat_below)]

    def statistics(self, arrays: Arrays) -> Arrays:
        """Per task, noise and mechanism: the slope of ln sigma on ln T over seeds, beside the integrator's."""
        named = {
            "task": "task", "noise": "noise", "mechanism": "mechanism", "seeds": "seeds", "T from": "shortest",
            "T to": "longest", "slope": "mean", "± (seeds)": "over_seeds", "linear unit, same T": "expected",
            "linear unit, long T": "power", "curvature slope": "curvature", "± curvature": "curvature_over_seeds",
        }  # fmt: skip
        return {heading: arrays[f"slope_{name}"] for heading, name in named.items()}

    def headline(self, arrays: Arrays) -> str:
        """The slopes of each task and noise, beside those that theory expects of a linear unit."""
        parts = [_said(arrays, task) for task in dict.fromkeys(arrays["slope_task"].tolist())]
        return f"Slopes of ln sigma of recurrent synapses on ln T, the length of a sequence: {'; '.join(parts)}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Sigma against T of integrators and of trained networks, all slopes, and the share of each step."""
        from ebayes_plugins.analyses import _recurrence_figure

        _recurrence_figure.draw(arrays, figure, title(arrays))


def group(row: dict[str, Any]) -> tuple[str, str, str]:
    """What networks share whose sequences differ in length: task, noise and mechanism."""
    return str(row["task"]), str(row["noise"]), str(row["mechanism"])


def _mechanism(spec: dict[str, Any]) -> str:
    """The cost of a network, or its inference if that does not charge the cost."""
    return str(spec["cost"]["kind"] if pays(spec) else spec["inference"]["kind"].replace("_", " "))


def _named(run: Run, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with the name of each mechanism by what else differs between networks of one length and seed."""
    specs = [run.member_spec(row["member"]).items() for row in rows]
    tables = [{slot: table for slot, table in spec if isinstance(table, dict)} for spec in specs]
    apart = differences([group(row) for row in rows], tables, [(row["steps"], row["seed"]) for row in rows])
    return [row | {"mechanism": ", ".join([row["mechanism"], *more])} for row, more in zip(rows, apart, strict=True)]


def _slopes(a: Arrays) -> Arrays:
    """A row for each task, noise and mechanism that has several lengths: mean slope over seeds and its interval."""
    from ebayes_plugins.analyses._regression import over_seeds

    rows: list[dict[str, Any]] = []
    for task, noise, mechanism in dict.fromkeys(zip(a["task"], a["noise"], a["mechanism"], strict=True)):
        mine = (a["task"] == task) & (a["noise"] == noise) & (a["mechanism"] == mechanism)
        if np.ptp(a["steps"][mine]) == 0:
            continue
        sigma, h = (by_seed(a, mine, name) for name in ("log_sigma", "log_h"))
        steep, steps = float(a["response"][mine].mean()), np.unique(a["steps"][mine])
        (mean, half), (curved, curved_half) = over_seeds(sigma), over_seeds(h)
        rows.append({
            "task": task, "noise": noise, "mechanism": mechanism, "shortest": steps[0], "longest": steps[-1],
            "seeds": int(np.isfinite(sigma).sum()), "mean": mean, "over_seeds": half, "curvature": curved,
            "curvature_over_seeds": curved_half, "expected": expected_slope(task, noise, steep, steps),
            "power": power(task, noise) * steep,
        })  # fmt: skip
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def by_seed(a: Arrays, mine: np.ndarray, name: str) -> np.ndarray:
    """Least-squares slope on ln T over the networks of each seed; NaN for a seed with one length."""
    slopes, mine = [], mine & np.isfinite(a[name])
    for seed in np.unique(a["seed"][mine]):
        some = mine & (a["seed"] == seed)
        x, y = np.log(a["steps"][some]), a[name][some]
        x = x - x.mean()
        slopes.append(float(x @ y / (x @ x)) if x.any() else np.nan)
    return np.array(slopes)


def _said(a: Arrays, task: str) -> str:
    """The range of a task's slopes, and of those of an integrator over the same lengths."""
    mine = a["slope_task"] == task
    parts = []
    for noise in dict.fromkeys(a["slope_noise"][mine].tolist()):
        some = mine & (a["slope_noise"] == noise)
        parts.append(f"{_span(a['slope_mean'][some])} with {noise} noise (theory {_span(a['slope_expected'][some])})")
    return f"{task} {' and '.join(parts)}"


#: signs of the slopes that are not zero, and what they say
WORDS = {
    frozenset({-1.0}): "The longer a signal has to be kept, the smaller σ of the synapse that keeps it. ",
    frozenset({1.0}): "The longer a signal has to be kept, the larger σ of the synapse that keeps it. ",
}


def title(a: Arrays) -> str:
    """The finding: slopes as a share of those expected of a linear unit, for tasks in which none may be zero.

    A trend is stated only if it is that of every task, and seeds agree on it.
    """
    clear = np.abs(a["slope_mean"]) > a["slope_over_seeds"]
    said = [_share(a, a["slope_task"] == task, clear, task) for task in dict.fromkeys(a["slope_task"].tolist())]
    trend = WORDS.get(frozenset(np.sign(a["slope_mean"]).tolist()), "") if clear.all() else ""
    return f"{trend}Slopes of ln σ on ln T, relative to theory: {', '.join(said)}"


def _share(a: Arrays, mine: np.ndarray, clear: np.ndarray, task: str) -> str:
    """The slopes of a task relative to theory; a single seed has no interval that could leave them undecided."""
    single, share = np.isnan(a["slope_over_seeds"][mine]), a["slope_mean"][mine] / a["slope_expected"][mine]
    if not np.isfinite(share).any():
        return f"no theory ({task})"
    if not (clear[mine] | single).all():
        return f"undecided ({task})"
    return f"{_span(100 * share, '.0f')}% ({task}{', a single seed' if single.any() else ''})"


def _span(values: np.ndarray, digits: str = ".2f") -> str:
    """The range of those that are known."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "unknown"
    low, high = (f"{float(v):{digits}}" for v in (known.min(), known.max()))
    return low if low == high else f"{low} to {high}"
