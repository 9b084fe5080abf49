"""Checks that a results file can be read, is complete and unchanged, and that its spec validates."""

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
    """Problems of a file, reasons why it could not be read, and notes.

    schema and networks are None if the file could not be read far enough.
    """

    path: Path
    problems: list[str] = field(default_factory=list)
    #: errors of the disk, of memory or by another program, which do not mean that the file is damaged
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    schema: int | None = None
    networks: int | None = None


def verify(path: Path, registry: Registry) -> Report:
    """Check all of a file. Never raises, whatever the file contains and even if it cannot be read."""
    report = Report(path)
    try:
        with Run(path) as run:
            report.schema, report.networks = run.schema, run.n_members
            report.problems += run.broken()
            if run.schema < 2:
                report.notes.append("written before files had a seal: only the checksums of its arrays were checked")
            if not run.has_synapses:
                report.notes.append("a record: `ebayes export` wrote it without synapses")
            if not report.problems:
                report.problems += _incomplete(run)
                _specs(run, registry, report)
    except (InUse, OSError, MemoryError) as error:
        report.unread.append(told(error).removeprefix(f"{path}: "))
    except EbayesError as error:
        report.problems.append(str(error).removeprefix(f"{path}: "))
    except Exception as error:  # HDF5 raises many types of errors for a damaged file
        report.problems.append(f"cannot be read: {type(error).__name__}: {error}")
    return report


def _incomplete(run: Run) -> Iterator[str]:
    """Messages about networks that are missing or stored in the wrong place."""
    n = run.n_members
    for name, length in run.lengths().items():
        if length != n:
            yield f"{name} has {length} members instead of {n}"
    stand = run.standing()
    if run.has_synapses and not np.array_equal(np.sort(stand), np.arange(n)):
        yield f"/networks should contain each of the {n} networks once; it contains {len(stand)}"
    missing = run.provenance.get("missing", [])
    if missing:
        yield f"{networks(len(missing))} of its spec failed or were not finished when the file was gathered"


def _specs(run: Run, registry: Registry, report: Report) -> None:
    """Check that the spec of the file and of each network validates, as far as the plugins are registered here."""
    asked = [("Experiment", run.spec, "its spec")]
    asked += [("Member", run.member_spec(i), f"the spec of network {i}") for i in range(run.n_members)]
    for model, table, what in asked:
        strange = _unregistered(table, registry)
        try:
            specs.revived(model, table, registry, what)
        except SpecError as error:
            if not strange:
                report.problems.append(str(error))
        for name in strange:
            note = f"its {name} belongs to a plugin that is not registered here, so its options were not checked"
            note += registry.suspects()
            report.notes += [note] if note not in report.notes else []


def _unregistered(table: dict[str, Any], registry: Registry) -> list[str]:
    asked = [(slot, table.get(slot)) for slot in SLOTS] + [("analysis", a) for a in table.get("analysis", ())]
    kinds = [(slot, t.get("kind")) for slot, t in asked if isinstance(t, dict)]
    return [f"{slot} '{kind}'" for slot, kind in kinds if kind not in registry.kinds(slot)]
