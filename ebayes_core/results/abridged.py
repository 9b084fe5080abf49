"""A record: a results file without its synapses, with all that figures, statistics and claims are computed from.

It is small enough to be kept beside a text that quotes its numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebayes_core.errors import StoreError, UserError
from ebayes_core.results import schema
from ebayes_core.results.reader import ONE_SIGMA, Run
from ebayes_core.results.record import Setting
from ebayes_core.results.writer import head
from ebayes_core.storage import hdf5, seal

#: If sigma varies by less than this, relative to its largest value, the network has a single sigma.
EQUAL = 1e-5


def write_record(run: Run, path: Path, curves: bool = True) -> None:
    """Write the record of a run. Raises UserError in place of the run itself, StoreError if the run is damaged.

    curves: whether it has the curves over training, which are large after thousands of epochs.
    """
    if path.exists() and path.samefile(run.path):
        raise UserError(f"{path}: is the results file itself; a record in its place would lose its synapses")
    if damaged := run.broken():  # sealed anew, it would pass for what was written
        raise StoreError(f"{run.path}: {damaged[0]}; restore it from a copy, or run its spec again")
    settings = [
        Setting(run.member_spec(i), {name: values[i] for name, values in run.swept.items()})
        for i in range(run.n_members)
    ]
    with hdf5.writing(path) as file:
        numbers = [result if curves else replace(result, curves={}) for result in run.results()]
        head(file, run.spec, settings, numbers, _published(run.provenance), run.spec_text)
        file["networks"].attrs[ONE_SIGMA] = uniform(run)
        for name in run.analyses:
            schema.analysis(file["analyses"].create_group(name), run.analysis(name))
        file.raise_refused()
        seal.seal(file)


def _published(provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance without the command and the names of machines, which are numbered: a record is for anyone."""
    items = [provenance, *provenance.get("items", [])]
    hosts = list(dict.fromkeys(item["host"] for item in items if item.get("host")))
    numbered = [
        {**item, "host": f"machine {hosts.index(item['host']) + 1}"} if item.get("host") else item for item in items
    ]
    whole = {name: value for name, value in numbered[0].items() if name != "command"}
    return whole | ({"items": numbered[1:]} if "items" in provenance else {})


def uniform(run: Run) -> list[bool]:
    """Whether all synapses of each network have the same sigma."""
    return [one_sigma(run, i) for i in range(run.n_members)]


def one_sigma(run: Run, member: int) -> bool:
    """Whether all synapses of a network have the same sigma: its optimum is then that of the network as a whole."""
    if not run.has_synapses:
        return run.uniform[member]
    low, high = math.inf, -math.inf
    for layer in range(1, run.n_layers(member) + 1):
        sigma = run.layer(member, layer, "sigma")
        low, high = min(low, sigma.min()), max(high, sigma.max())
        if high - low > EQUAL * high:
            return False
    return True
