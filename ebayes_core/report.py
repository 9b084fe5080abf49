"""A finished run in words and tables: the members, and how far each is from a stationary point.

Each table is a `Listing` before anyone prints it, so that the screen and the page (`page`) say the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ebayes_core.runfile import Run
from ebayes_core.words import networks

LISTED = (
    "accuracy_mean", "accuracy_sample", "accuracy_ensemble", "nll_mean", "nll_sample", "nll_ensemble",
    "sigma_mean", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost",
)  # fmt: skip
REGRESSION = ("rmse_mean", "rmse_sample", "rmse_ensemble")
#: A balance this close to 1, a sigma that moved this little: taken as the optimum.
BALANCED, STILL = 0.1, 0.05
PRINTED = 60  #: rows of a table of statistics
#: Within this share of its largest value, sigma counts as one number for the whole network.
ONE_SIGMA = 1e-5

MEMBERS_LEGEND = {
    "mean": "with the mean weights",
    "sample": "with one sampled network per few examples",
    "ensemble": "with the averaged prediction of several sampled networks",
    "curved": "over the synapses with curvature; the sigma of the others has no finite optimum",
    "cost": "energy of all synapses, nat, on the scale of the data set's summed loss",
}
CONVERGENCE_LEGEND = {
    "B1, B2 ..": "balance by layer: sum sigma E[g xi] / -sum sigma d cost/d sigma; 1 at an optimum",
    "B network": "the same over the whole network, with its standard error",
    "B magnitude": "-sum mu E[g] / sum mu d cost/d mu; 1 at an optimum",
    "motion": "change of the mean log sigma in the last tenth of training",
    "stuck": "share of synapses whose sigma is within a factor of 2 of its start",
    "flat": "synapses without curvature, by layer: silent inputs, dead units",
}


@dataclass(frozen=True)
class Listing:
    """A table in words: whoever shows it only has to set it."""

    title: str
    headings: list[str]  #: some on two lines
    rows: list[list[str]]
    left: frozenset[int] = frozenset()  #: the columns of words; numbers stand to the right
    note: str = ""  #: what it leaves out


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


def text(value: Any) -> str:
    """A value as it stands in a table; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, dict):  # a whole table was swept: its kind, then what else the spec says of it
        fields = [f"{name}={text(v)}" for name, v in value.items() if name != "kind"]
        return " ".join([str(value.get("kind", "")), *fields]).strip()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def amount(value: float) -> str:
    """Seconds or megabytes: two digits where they are few, whole numbers where they are many."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def members(run: Run, console: Console) -> None:
    """Print the table of members and its legend."""
    _print(member_listing(run), console)
    console.print(_aligned(MEMBERS_LEGEND))


def member_listing(run: Run) -> Listing:
    """The table of members: what was swept, accuracy (or RMSE), and sigma."""
    rows, swept = run.member_table(), list(run.swept)
    task = "accuracy" if any(row["accuracy_mean"] is not None for row in rows if "accuracy_mean" in row) else "rmse"
    scores = [f"{task}_{way}" for way in ("mean", "sample", "ensemble")]
    names = [*swept, "seed", *scores, "nll_sample", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost"]
    names += [] if all(row["status"] == "done" for row in rows) else ["status"]
    cells = [[text(row.get(name)) for name in names] for row in rows]
    return Listing(f"{run.name}: {networks(run.n_members)}", [_header(name) for name in names], cells)


def _print(listing: Listing, console: Console) -> None:
    table = Table(title=listing.title, box=None, header_style="bold", pad_edge=False)
    for column, heading in enumerate(listing.headings):
        table.add_column(heading, justify="left" if column in listing.left else "right")
    for row in listing.rows:
        table.add_row(*row)
    console.print(table)
    if listing.note:
        console.print(listing.note)


def _aligned(legend: dict[str, str]) -> str:
    """A legend whose explanations stand below each other."""
    width = max(map(len, legend)) + 2
    return "\n".join(f"{name:<{width}}{words}" for name, words in legend.items())


def _header(name: str) -> str:
    """A name on two lines, so that a dozen columns fit beside each other."""
    return name.rsplit(".", 1)[-1].replace("_", "\n", 1).replace("_", " ")


def statistics(name: str, columns: dict[str, np.ndarray], console: Console) -> None:
    """Print the numbers behind one figure, if it has any."""
    if columns:
        _print(statistics_listing(name, columns), console)
        console.print()


def statistics_listing(name: str, columns: dict[str, np.ndarray]) -> Listing:
    """The numbers behind one figure; of many rows the first, since all are in the file."""
    rows = list(zip(*(values.tolist() for values in columns.values()), strict=True))
    cells = [[text(value) for value in row] for row in rows[:PRINTED]]
    left = frozenset(i for i, values in enumerate(columns.values()) if values.dtype.kind in "UO")
    more = len(rows) - PRINTED
    note = f"... and {more} more in the file, under /analyses/{name}" if more > 0 else ""
    return Listing(f"Statistics: {name}", list(columns), cells, left, note)


def convergence(run: Run, console: Console) -> None:
    """Print the convergence report, its legend, and what it means."""
    _print(convergence_listing(run), console)
    console.print(_aligned(CONVERGENCE_LEGEND))
    for line in verdicts(run):
        console.print(f"- {line}")


def convergence_listing(run: Run) -> Listing:
    """The convergence report: balance by layer, magnitude, motion, stuck and flat synapses."""
    balance, flat = run.layer_metric("balance"), run.layer_metric("flat_synapses")
    names = [*(n.split(".")[-1] for n in run.swept), "seed", *(f"B{layer + 1}" for layer in range(balance.shape[1]))]
    names += ["B\nnetwork", "\n± s.e.", "B mag-\nnitude", "\nmotion", "\nstuck", "flat\nsynapses"]
    columns = ("balance", "balance_error", "magnitude_balance", "sigma_motion", "stuck_fraction")
    numbers = [run.metric(name) for name in columns]
    rows = []
    for i in range(run.n_members):
        fields = [text(values[i]) for values in run.swept.values()]
        flats = "+".join(f"{n:.0f}" for n in flat[i] if not math.isnan(n))
        by_layer = [text(float(b)) for b in balance[i]]
        rows.append([*fields, str(run.seeds[i]), *by_layer, *(text(float(n[i])) for n in numbers), flats])
    return Listing("Convergence", names, rows)


def verdicts(run: Run) -> list[str]:
    """What the report means, in sentences."""
    ended = np.array([status == "done" for status in run.status])
    found = [f"member {i} {run.status[i]}; it is frozen there" for i in np.flatnonzero(~ended)]
    balance, error, motion, stuck = (
        np.where(ended, run.metric(name), np.nan)
        for name in ("balance", "balance_error", "sigma_motion", "stuck_fraction")
    )
    noisy = np.isfinite(balance)
    done = noisy & (_worst(run) < math.log1p(BALANCED))
    near, last, moment = f"{BALANCED:.0%}", "in the last tenth of training", "a moment of training and not the optimum"
    sentences = (
        (done, f"{{}} of {noisy.sum()} noisy networks are at their optimal sigma (each B within {near} of 1)"),
        (noisy & ~done & (balance < 1), f"{{}} have B below 1: cost still drives sigma up, {moment}; train longer"),
        (noisy & ~done & (balance >= 1), f"{{}} have B above 1: the loss now drives sigma down, {moment}"),
        (noisy & (error > BALANCED), f"in {{}} the standard error of B is over {near}: B is not known so well"),
        (np.abs(motion) > STILL, f"in {{}} sigma is still moving: by over {STILL:.0%} {last}"),
        (stuck > 0.5, "in {} most sigmas hardly left their start: train longer, or raise learning_rate_phi or sigma_0"),
    )
    found += [words.format(n.sum()) for n, words in sentences if n.any() or (n is done and noisy.any())]
    flat = np.nansum(run.layer_metric("flat_synapses"), axis=1)
    if flat.any():
        found.append(
            f"up to {flat.max():.0f} synapses of a network have no curvature, hence no finite optimal sigma; "
            "log-log fits leave them out"
        )
    return found


def _worst(run: Run) -> np.ndarray:
    """How far each member's balance is from 1 in its worst layer, as |log B|; 0 where nothing has to balance."""
    by_layer = np.array([
        np.full(len(layers), total) if _one_sigma(run, i) else layers  # then only the sum over layers has to balance
        for i, (layers, total) in enumerate(zip(run.layer_metric("balance"), run.metric("balance"), strict=True))
    ])  # fmt: skip
    logs = np.abs(np.log(np.clip(by_layer, 1e-12, None)))
    return np.max(logs, axis=1, initial=0.0, where=np.isfinite(logs))


def _one_sigma(run: Run, member: int) -> bool:
    """Whether one number is the sigma of the whole network."""
    sigmas = [run.layer(member, layer + 1, "sigma") for layer in range(run.n_layers(member))]
    return max(s.max() for s in sigmas) - min(s.min() for s in sigmas) <= ONE_SIGMA * max(s.max() for s in sigmas)
