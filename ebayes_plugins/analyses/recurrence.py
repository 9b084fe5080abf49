"""Recurrence: the longer a synapse has to keep a signal, the more reliable it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._common import curvature, finished, not_flat
from ebayes_plugins.analyses._integrators import INTEGRATOR, POWERS, best, expected, is_integrator
from ebayes_plugins.analyses._memory_profile import profile
from ebayes_plugins.analyses._panels import Arrays, over_points, table
from ebayes_plugins.analyses._rebuilt import dataset_of

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

        Per task, noise, mechanism and seed: the slope of ln sigma on ln T. Raises UserError if no network is recurrent,
        or if all sequences are equally long.
        """
        members = [i for i in finished(run) if run.member_spec(i)["network"]["kind"] == "recurrent"]
        rows = [self._row(run, i) for i in members]
        groups = {group(row) for row in rows}
        if not any(len({row["steps"] for row in rows if group(row) == g}) > 1 for g in groups):
            raise UserError(
                "no recurrent network has been trained on sequences of several lengths, of which recurrence shows the "
                'effect: add  [sweep]  dataset = [{ kind = "memory", delay = 5 }, { kind = "memory", delay = 20 }]  '
                'and network = { kind = "recurrent" }'
            )
        arrays = table(rows)
        point = np.array(["|".join(map(str, (*group(row), row["steps"]))) for row in rows])
        mean = over_points(point, arrays["log_sigma"])
        arrays |= {"log_sigma_mean": mean[0], "log_sigma_over_seeds": mean[1], "log_sigma_seeds": mean[2]}
        return arrays | {f"slope_{name}": values for name, values in _slopes(arrays).items()}

    def _row(self, run: Run, member: int) -> dict[str, Any]:
        """The numbers of one network."""
        spec, dataset = run.member_spec(member), dataset_of(run, [member], self.kind)
        steps, inputs = dataset.load("train")[0].shape[1:]
        sigma, h = (
            w[:, inputs:-1].astype(float).ravel() for w in (run.layer(member, 1, "sigma"), curvature(run, member, 1))
        )
        curved = h > 0
        curved[curved] = not_flat(h[curved], self.flat_below)
        examples = run.metric("n_examples")[member]
        return {
            "member": member, "seed": run.seeds[member], "task": spec["dataset"]["kind"], "steps": steps,
            "noise": spec["network"]["noise"], "mechanism": spec["cost"]["kind"],
            "rho": spec["cost"].get("rho", np.nan),
            "integrator": is_integrator(spec), "n": int(curved.sum()), "left_out": int((~curved).sum()),
            "log_sigma": np.log(sigma[curved]).mean(), "log_h": np.log(h[curved]).mean(),
            "balance": run.layer_metric("balance")[member, 0],
            "exact": np.log(best(spec, np.array([steps]), examples)[0]) if is_integrator(spec) else np.nan,
            "profile": profile(run, member, dataset),
        }  # fmt: skip

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


def _slopes(a: Arrays) -> Arrays:
    """A row for each task, noise and mechanism that has several lengths: mean slope over seeds and its interval."""
    from ebayes_plugins.analyses._regression import over_seeds

    rows: list[dict[str, Any]] = []
    for task, noise, mechanism in dict.fromkeys(zip(a["task"], a["noise"], a["mechanism"], strict=True)):
        mine = (a["task"] == task) & (a["noise"] == noise) & (a["mechanism"] == mechanism)
        if np.ptp(a["steps"][mine]) == 0:
            continue
        sigma, h = (by_seed(a, mine, name) for name in ("log_sigma", "log_h"))
        rho, steps = float(a["rho"][mine][0]), np.unique(a["steps"][mine])
        (mean, half), (curved, curved_half) = over_seeds(sigma), over_seeds(h)
        rows.append({
            "task": task, "noise": noise, "mechanism": mechanism, "rho": rho,
            "shortest": steps[0], "longest": steps[-1],
            "seeds": int(np.isfinite(sigma).sum()), "mean": mean, "over_seeds": half, "curvature": curved,
            "curvature_over_seeds": curved_half, "expected": expected_slope(task, noise, rho, steps),
            "power": -(POWERS[noise] - (task != INTEGRATOR)) / (rho + 2),
        })  # fmt: skip
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def by_seed(a: Arrays, mine: np.ndarray, name: str) -> np.ndarray:
    """Least-squares slope on ln T over the networks of each seed; NaN for a seed with one length."""
    slopes = []
    for seed in np.unique(a["seed"][mine]):
        some = mine & (a["seed"] == seed)
        x, y = np.log(a["steps"][some]), a[name][some]
        x = x - x.mean()
        slopes.append(float(x @ y / (x @ x)) if x.any() else np.nan)
    return np.array(slopes)


def expected_slope(task: str, noise: str, rho: float, steps: np.ndarray) -> float:
    """Slope of the optimal ln sigma of a linear unit on ln T over these lengths of at least 2; NaN for a single one."""
    some = steps[steps > 1]
    x = np.log(some) - np.log(some).mean()
    return float(-(x @ np.log(expected(task, noise, some))) / (x @ x) / (rho + 2)) if len(some) > 1 else np.nan


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

    A trend is stated only if it is that of every task.
    """
    share, said = a["slope_mean"] / a["slope_expected"], []
    clear = np.abs(a["slope_mean"]) > np.nan_to_num(a["slope_over_seeds"])
    for task in dict.fromkeys(a["slope_task"].tolist()):
        mine = a["slope_task"] == task
        said.append(f"{_percent(share[mine])} ({task})" if clear[mine].all() else f"undecided ({task})")
    trend = WORDS.get(frozenset(np.sign(a["slope_mean"]).tolist()), "") if clear.all() else ""
    return f"{trend}Slopes of ln σ on ln T, relative to theory: {', '.join(said)}"


def _percent(values: np.ndarray) -> str:
    low, high = (round(100 * float(v)) for v in (np.nanmin(values), np.nanmax(values)))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _span(values: np.ndarray) -> str:
    low, high = (f"{float(v):.2f}" for v in (np.nanmin(values), np.nanmax(values)))
    return low if low == high else f"{low} to {high}"
