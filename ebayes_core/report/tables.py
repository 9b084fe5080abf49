"""The tables of a finished run: its networks, their convergence, and the numbers behind the figures.

The screen (`screen`) and the HTML page (`page`) show the same tables. Columns are in order of importance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from ebayes_core.console.printing import Column, Listing
from ebayes_core.contract.registry import Registry
from ebayes_core.results.reader import Run
from ebayes_core.spec import Measurement, Training
from ebayes_core.wording import networks, text

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, np.ndarray]  #: arrays of equal length by heading
HEADINGS = {
    "accuracy_sample": "accuracy\nsample", "rmse_sample": "RMSE\nsample\n(target)",
    "sigma_median": "sigma\nmedian\n(weight)", "balance": "B",
    "accuracy_ensemble": "accuracy\nensemble", "rmse_ensemble": "RMSE\nensemble\n(target)",
    "accuracy_mean": "accuracy\nmean", "rmse_mean": "RMSE\nmean\n(target)",
    "reliability_cost": "reliability\ncost\n(nat)", "sigma_rms_curved": "sigma RMS\nnot flat\n(weight)",
    "nll_sample": "NLL\nsample\n(nat)", "sigma_rms": "sigma\nRMS\n(weight)",
}  # fmt: skip
MEMBERS_LEGEND = {
    "sample": "one sampled network for every few test examples (measurement.sample_batch)",
    "ensemble": "average of the predictions of several sampled networks (measurement.samples)",
    "mean": "the mean weights, without noise",
    "B": "balance: what noise costs in loss over what it saves in energy; 1 at the optimum, below 1 if the energy "
    "still drives sigma up, above 1 if the loss drives it down",
    "flat": "a flat synapse (silent input or dead unit) does not affect the loss: it has no finite optimal sigma",
    "sigma": "standard deviation of a synapse's weight; RMS is the root mean square over the synapses",
    "NLL": "negative log-likelihood per test example",
    "cost": "c times the energy, summed over all synapses; comparable with the loss summed over the training set",
}
CONVERGENCE_LEGEND = {
    "B": "balance: what noise costs in loss over what it saves in energy, sum sigma E[g xi] / -sum sigma d cost/d "
    "sigma, with its standard error (s.e.); 1 at the optimum",
    "B1, B2 ..": "the balance of each layer, from the input",
    "B magnitude": "the balance of the means, -sum mu E[g] / sum mu d cost/d mu; 1 where they are stationary",
    "motion": "change of the mean of log sigma in the last tenth of training; 0 if sigma is constant",
    "stuck": "share of synapses whose sigma is still within a factor of 2 of its initial value",
    "flat": "number of flat synapses (curvature zero: silent input or dead unit), in the network and by layer",
    "over budget": "energy spent relative to the budget, minus 1, where that is furthest from 0",
    "margin ratio": "loss that a unit of energy saves, in the layer where that is most over that where it is least; 1 "
    "where layers pay equally",
}


def member_listing(run: Run) -> Listing:
    """The table of networks: swept values, accuracy (or RMSE), sigma and cost."""
    columns = [_numbers(heading, values) for heading, values in member_numbers(run).items()]
    if any(status != "done" for status in run.status):
        columns.insert(0, Column("status", run.status, words=True))
    return Listing(f"{run.name}: {networks(run.n_members)}", [*keys(run), *columns])


def member_numbers(run: Run) -> dict[str, np.ndarray]:
    """The numbers in the table of networks: arrays (member,) by heading."""
    classifies = "accuracy_mean" in run.metrics and bool(np.isfinite(run.metric("accuracy_mean")).any())
    others = "rmse" if classifies else "accuracy"
    shown = [name for name in HEADINGS if name in run.metrics and not name.startswith(others)]
    return {HEADINGS[name]: run.metric(name) for name in shown}


def keys(run: Run) -> list[Column]:
    """Columns that identify a network: the swept fields, by their last names if these differ, and the seed."""
    swept, last = run.swept, [name.rsplit(".", 1)[-1] for name in run.swept]
    heads = [short if last.count(short) == 1 else name for name, short in zip(swept, last, strict=True)]
    found = [_key(head, values) for head, values in zip(heads, swept.values(), strict=True)]
    return [*found, _key("seed", run.seeds.tolist())]


def _key(heading: str, values: list[Any]) -> Column:
    return Column(heading, [text(v) for v in values], words=any(isinstance(v, (str, dict)) for v in values), key=True)


def keys_legend(run: Run, registry: Registry) -> dict[str, str]:
    """What the swept fields mean, by heading: the descriptions in the classes that validate the spec."""
    meanings = (_meaning(run.member_spec(0), name.split("."), registry) for name in run.swept)
    return {column.heading: text for column, text in zip(keys(run), meanings, strict=False) if text}


def _meaning(spec: dict[str, Any], path: list[str], registry: Registry) -> str:
    """The description of a field of one of the spec's tables; empty if that is not known here."""
    if len(path) != 2 or not isinstance(spec.get(path[0]), dict):
        return ""
    own: dict[str, type[BaseModel]] = {"training": Training, "measurement": Measurement}
    model = own.get(path[0]) or registry.kinds(path[0]).get(str(spec[path[0]].get("kind")))
    field = model.model_fields.get(path[1]) if model else None
    return (field.description or "") if field else ""


def _numbers(heading: str, values: Iterable[float]) -> Column:
    return Column(heading, [text(float(v)) for v in values])


def convergence_listing(run: Run) -> Listing:
    """The table of the convergence report."""
    balance, flat = run.layer_metric("balance"), run.layer_metric("flat_synapses")
    layers = range(balance.shape[1] if balance.shape[1] > 1 else 0)  # a single layer has the balance of the network
    names = {"balance": "B", "balance_error": "± s.e.", "sigma_motion": "motion", "stuck_fraction": "stuck"}
    b, error, motion, stuck = (_numbers(heading, run.metric(name)) for name, heading in names.items())
    by_layer = [_numbers(f"B{i + 1}", balance[:, i]) for i in layers]
    flat_by_layer = [_counts(f"flat {i + 1}", flat[:, i]) for i in layers]
    magnitude = _numbers("B\nmagnitude", run.metric("magnitude_balance"))
    columns = [b, error, *by_layer, motion, stuck, _counts("flat", np.nansum(flat, axis=1)), magnitude, *flat_by_layer]
    return Listing("Convergence", [*keys(run), *columns, *_budgets(run)])


def _budgets(run: Run) -> list[Column]:
    """How far budgets are met, and whether layers pay equally, if networks have budgets."""
    names = {"budget_excess": "over\nbudget", "margin": "margin\nratio"}
    return [_numbers(heading, run.metric(name)) for name, heading in names.items() if name in run.metrics]


def _counts(heading: str, values: Iterable[float]) -> Column:
    return Column(heading, ["-" if math.isnan(v) else f"{v:.0f}" for v in values])


def aligned(columns: dict[str, Any]) -> Columns:
    """The statistics of an analysis as columns; raises ValueError if they differ in length."""
    found = {heading: np.asarray(values) for heading, values in columns.items()}
    if len({len(values) for values in found.values()}) > 1:
        raise ValueError(f"columns of {', '.join(str(len(v)) for v in found.values())} rows do not form a table")
    return found


def statistics_listing(name: str, columns: Columns) -> Listing:
    """The numbers behind one figure."""
    found = [
        Column(_folded(heading), [text(v) for v in values.tolist()], words=values.dtype.kind in "UO")
        for heading, values in columns.items()
    ]
    return Listing(f"Statistics: {name}", found)


def _folded(heading: str) -> str:
    """A heading on two lines, with the part in brackets or the last words below, to save width."""
    words, bracket, unit = heading.partition(" (")
    return f"{words}\n({unit}" if bracket else heading.replace(" ", "\n", 1)


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV with all digits: tables and lists as JSON, NaN as an empty cell."""
    plain = table.map(lambda value: json.dumps(value) if isinstance(value, (dict, list)) else value)
    return str(plain.to_csv(index=table.index.name is not None, lineterminator="\n"))
