"""The table of vesicles: n, p and q in each layer, where the noise has them or the cost implies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ebayes_core.console.printing import Column, Listing
from ebayes_core.report.tables import keys
from ebayes_core.results.reader import Run
from ebayes_core.wording import text

N, P, Q = "release_sites", "release_probability", "quantal_size"
LEGEND = {
    "n, p, |q|": "medians over the synapses of a layer: vesicles or release sites, release probability, and size of "
    "the weight that a vesicle transmits",
    "n < 1": "share of synapses with fewer than one vesicle, which n_min = 1 rules out",
}


def vesicle_listing(run: Run) -> Listing | None:
    """A row for each layer of the networks that have n, p and q; None if none has, or the file has no synapses."""
    if not run.has_synapses:
        return None
    rows = [(i, k) for i in range(run.n_members) if N in run.layer_names(i) for k in range(1, run.n_layers(i) + 1)]
    if not rows:
        return None
    named = [replace(column, cells=[column.cells[i] for i, _ in rows]) for column in keys(run)]
    layer = Column("layer", [str(k) for _, k in rows], key=True)
    median = lambda name: lambda i, k: float(np.median(np.abs(run.layer(i, k, name))))
    numbers: dict[str, Callable[[int, int], float]] = {
        "n": median(N), "p": median(P), "|q|\n(weight)": median(Q),
        "n < 1": lambda i, k: float((run.layer(i, k, N) < 1).mean()),
    }  # fmt: skip
    found = [Column(heading, [text(of(i, k)) for i, k in rows]) for heading, of in numbers.items()]
    return Listing("Vesicles", [*named, layer, *found])
