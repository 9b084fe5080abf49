"""Whether a results file is whole: it opens, nothing in it has changed, nothing is missing, and its spec is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ebayes_core import spec as specs
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import EbayesError, InUse, SpecError, told
from ebayes_core.results.reader import Run
from ebayes_core.wording import networks

#: the slots of a spec whose kinds must be registered for it to validate
SLOTS = ("dataset", "network", "cost", "noise", "inference")


@dataclass
class Report:
    """What is off, why it could not be looked at, and what is only worth knowing.

    schema and networks are those of a file that could say so.
    """

    path: Path
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(
        default_factory=list
    )  #: of the disk, memory, or another program: nothing against the file
    notes: list[str] = field(default_factory=list)
    schema: int | None = None
    networks: int | None = None


def verify(path: Path, registry: Registry) -> Report:
    """Look at all of a file. Never raises for anything that a file holds, or that keeps it from being read."""
    report = Report(path)
    try:
        with Run(path) as run:
            report.schema, report.networks = run.schema, run.n_members
            report.problems += run.broken()
            if run.schema < 2:
                report.notes.append("written before files were sealed: only the checksums of its arrays were looked at")
            if not report.problems:
                report.problems += _incomplete(run)
                _specs(run, registry, report)
    except (InUse, OSError, MemoryError) as error:
        report.unread.append(told(error).removeprefix(f"{path}: "))
    except EbayesError as error:
        report.problems.append(str(error).removeprefix(f"{path}: "))
    except Exception as error:  # HDF5 of a damaged file raises what it likes
        report.problems.append(f"cannot be read: {type(error).__name__}: {error}")
    return report


def _incomplete(run: Run) -> Iterator[str]:
    """Members that are missing, or that stand where they should not."""
    n = run.n_members
    for name, length in run.lengths().items():
        if length != n:
            yield f"{name} has {length} members in place of {n}"
    stand = run.standing()
    if not np.array_equal(np.sort(stand), np.arange(n)):
        yield f"the networks of {n} members should stand in /networks once each; there are {len(stand)}"
    missing = run.provenance.get("missing", [])
    if missing:
        yield f"{networks(len(missing))} of its spec failed or were not finished when it was gathered"


def _specs(run: Run, registry: Registry, report: Report) -> None:
    """The file's spec and its members' validate, as far as their plugins are registered here."""
    asked = [("Experiment", run.spec, "its spec")]
    asked += [("Member", run.member_spec(i), f"the spec of member {i}") for i in range(run.n_members)]
    for model, table, what in asked:
        strange = _unregistered(table, registry)
        try:
            specs.revived(model, table, registry, what)
        except SpecError as error:
            if not strange:
                report.problems.append(str(error))
        for name in strange:
            note = f"its {name} belongs to a plugin that is not registered here: what is asked of it was not looked at"
            note += registry.suspects()
            report.notes += [note] if note not in report.notes else []


def _unregistered(table: dict[str, Any], registry: Registry) -> list[str]:
    asked = [(slot, table.get(slot)) for slot in SLOTS] + [("analysis", a) for a in table.get("analysis", ())]
    kinds = [(slot, t.get("kind")) for slot, t in asked if isinstance(t, dict)]
    return [f"{slot} '{kind}'" for slot, kind in kinds if kind not in registry.kinds(slot)]
