"""A summary of many networks: what was swept, their status, and the range of each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ebayes_core.console.printing import Column, Listing
from ebayes_core.report.tables import keys, member_numbers
from ebayes_core.results.reader import Run
from ebayes_core.wording import networks, text

VALUES = 6  #: values of a swept field that are listed; of more, the range is shown
STATUSES = 5  #: kinds of status that are listed
LISTED = (
    "accuracy_mean", "accuracy_sample", "accuracy_ensemble", "nll_mean", "nll_sample", "nll_ensemble",
    "sigma_mean", "sigma_median", "sigma_rms", "sigma_rms_curved", "reliability_cost",
)  # fmt: skip
REGRESSION = ("rmse_mean", "rmse_sample", "rmse_ensemble")


def as_json(run: Run) -> dict[str, Any]:
    """The contents of `ebayes show --json`."""
    rows, swept = run.member_table(), list(run.swept)
    names = [*swept, "seed", "status", *LISTED, *(n for n in REGRESSION if n in run.metrics)]
    return {
        "name": run.name,
        "file": str(run.path),
        "members": [{name: row.get(name) for name in names} for row in rows],
    }


def extremes(run: Run) -> Listing:
    """Minimum, median and maximum of each number over the networks that finished, and in which networks they are."""
    ended = np.array([status == "done" for status in run.status])
    numbers = member_numbers(run) | {"motion": run.metric("sigma_motion")}
    found = {name: np.where(ended, values, np.nan) for name, values in numbers.items()}
    found = {name: values for name, values in found.items() if np.isfinite(values).any()}
    ends = [(int(np.nanargmin(v)), int(np.nanargmax(v))) for v in found.values()]
    names = [column.heading for column in keys(run)]
    labels = [", ".join(f"{n}={c}" for n, c in zip(names, row, strict=True)) for row in Listing("", keys(run)).rows]
    columns = [
        Column("", [" ".join(name.split("\n")) for name in found], words=True, key=True),
        Column("smallest", [text(float(v[i])) for v, (i, _) in zip(found.values(), ends, strict=True)]),
        Column("median", [text(float(np.nanmedian(v))) for v in found.values()]),
        Column("largest", [text(float(v[i])) for v, (_, i) in zip(found.values(), ends, strict=True)]),
        Column("smallest in", [labels[i] for i, _ in ends], words=True),
        Column("largest in", [labels[i] for _, i in ends], words=True),
    ]
    return Listing(f"{run.name}: {networks(run.n_members)}", columns)


def swept(run: Run) -> list[str]:
    """A line for each swept field and for the seeds; and one for the status if some networks did not finish."""
    values = [*run.swept.values(), run.seeds.tolist()]
    lines = [f"{column.heading}: {_values(found)}" for column, found in zip(keys(run), values, strict=True)]
    ends = Counter(status.split(" at ")[0] for status in run.status)
    return [*lines, f"status: {_ends(ends)}"] if set(ends) != {"done"} else lines


def _values(values: Sequence[Any]) -> str:
    found = list(dict.fromkeys(map(text, values)))
    if len(found) <= VALUES:
        return ", ".join(found)
    if all(isinstance(v, (int, float)) for v in values):
        return f"{len(set(values))} values, {text(min(values))} to {text(max(values))}"
    return f"{', '.join(found[:VALUES])} and {len(found) - VALUES} more"


def _ends(ends: Counter[str]) -> str:
    said = [f"{count} {status}" for status, count in ends.most_common(STATUSES)]
    return ", ".join(said) + (f" and {len(ends) - STATUSES} other" if len(ends) > STATUSES else "")
