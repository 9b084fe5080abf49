"""A finished run in words and tables: the members, and how far each is from a stationary point."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ebayes_core.runfile import Run

LISTED = (
    "accuracy_mean", "accuracy_sample", "accuracy_ensemble", "nll_mean", "nll_sample", "nll_ensemble",
    "sigma_mean", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost",
)  # fmt: skip
REGRESSION = ("rmse_mean", "rmse_sample", "rmse_ensemble")
#: A balance this close to 1, a sigma that moved this little: taken as the optimum.
BALANCED, STILL = 0.1, 0.05


def summary(run: Run) -> dict[str, Any]:
    """What `ebayes show --json` prints."""
    rows = run.member_table()
    swept = list(run.swept)
    names = [*swept, "seed", "status", *LISTED, *(n for n in REGRESSION if n in run.metrics)]
    return {
        "name": run.name,
        "file": str(run.path),
        "members": [{name: row.get(name) for name in names} for row in rows],
    }


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, dict):
        return str(value.get("kind", value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def members(run: Run, console: Console) -> None:
    """The table of members: what was swept, accuracy (or RMSE), and sigma."""
    rows, swept = run.member_table(), list(run.swept)
    task = "accuracy" if any(row["accuracy_mean"] is not None for row in rows if "accuracy_mean" in row) else "rmse"
    scores = [f"{task}_{way}" for way in ("mean", "sample", "ensemble")]
    names = [*swept, "seed", *scores, "nll_sample", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost"]
    table = Table(title=f"{run.name}: {run.n_members} networks", box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name.split(".")[-1].replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in names))
    console.print(table)
    console.print(
        "mean: with the mean weights; sample: one sampled network per few examples; ensemble: averaged prediction.\n"
        "curved: synapses with curvature only; the others' sigma has no finite optimum.",
        highlight=False,
    )


def convergence(run: Run, console: Console) -> None:
    """The convergence report: balance by layer, magnitude, motion, stuck and flat synapses; then what it means."""
    balance, flat = run.layer_metric("balance"), run.layer_metric("flat_synapses")
    layers = range(balance.shape[1])
    table = Table(title="Convergence", box=None, header_style="bold", pad_edge=False)
    names = [*(n.split(".")[-1] for n in run.swept), "seed", *(f"B{layer + 1}" for layer in layers)]
    for name in (*names, "B network", "± s.e.", "B magnitude", "motion", "stuck", "flat synapses"):
        table.add_column(name, justify="right")
    columns = ("balance", "balance_error", "magnitude_balance", "sigma_motion", "stuck_fraction")
    numbers = [run.metric(name) for name in columns]
    for i in range(run.n_members):
        fields = [_text(values[i]) for values in run.swept.values()]
        flats = "+".join(f"{n:.0f}" for n in flat[i] if not math.isnan(n))
        by_layer = [_text(float(b)) for b in balance[i]]
        table.add_row(*fields, str(run.seeds[i]), *by_layer, *(_text(float(n[i])) for n in numbers), flats)
    console.print(table)
    console.print(
        "B: sum of sigma E\\[g xi] over minus sum of sigma d cost/d sigma, by layer; 1 at a stationary point.\n"
        "motion: change of mean log sigma in the last tenth of training; stuck: share of synapses within a factor 2\n"
        "of their start; flat: synapses without curvature, by layer, which log-log fits leave out.",
        highlight=False,
    )
    for line in verdicts(run):
        console.print(f"- {line}", highlight=False)


def verdicts(run: Run) -> list[str]:
    """What the report means, in sentences."""
    found = [f"member {i}: {status}; frozen there" for i, status in enumerate(run.status) if status != "done"]
    balance, motion, stuck = (run.metric(name) for name in ("balance", "sigma_motion", "stuck_fraction"))
    by_layer = run.layer_metric("balance")
    if run_shared(run):
        by_layer = balance[:, None]  # one sigma for the network: only the whole has to balance
    worst = np.nanmax(np.abs(np.log(np.clip(by_layer, 1e-12, None))), axis=1, initial=0.0, where=np.isfinite(by_layer))
    noisy = np.isfinite(balance)
    done = noisy & (worst < math.log1p(BALANCED))
    if noisy.any():
        found.append(
            f"{done.sum()} of {noisy.sum()} noisy networks are at the optimum in sigma (every B within {BALANCED:.0%} of 1)"
            + ("" if done.all() else "; the others show a moment of training")
        )
    below = noisy & ~done & (balance < 1)
    if below.any():
        found.append(f"{below.sum()} have B below 1: reliability cost still drives their sigma up; train longer")
    still = noisy & (np.abs(motion) > STILL)
    if still.any():
        found.append(f"in {still.sum()} sigma still moved by more than {STILL:.0%} in the last tenth of training")
    if (stuck > 0.5).any():
        found.append(f"in {(stuck > 0.5).sum()} most of the sigmas hardly left their start: raise learning_rate_phi or sigma_0")
    flat = np.nansum(run.layer_metric("flat_synapses"), axis=1)
    if flat.any():
        found.append(f"up to {flat.max():.0f} synapses of a network have no curvature, hence no finite optimal sigma")
    return found


def run_shared(run: Run) -> bool:
    """Whether the networks have one sigma each."""
    return all(run.member_spec(i)["noise"]["kind"] == "homogeneous" for i in range(run.n_members))
