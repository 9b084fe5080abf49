"""The data that trained networks are evaluated on again: those of their run, and no others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ebayes_core.errors import UserError
from ebayes_core.results import provenance
from ebayes_core.trained.plugins import plugin

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.network import Shape
    from ebayes_core.contract.registry import Registry
    from ebayes_core.contract.slots import Dataset
    from ebayes_core.results.reader import Run


def dataset_of(run: Run, members: list[int], registry: Registry, who: str) -> Dataset:
    """The data set that all these networks were trained on. who: what needs it, for messages.

    Raises UserError if they differ, or if the data are no longer those of the run.
    """
    tables = [run.member_spec(i)["dataset"] for i in members]
    if any(table != tables[0] for table in tables):
        raise UserError(f"{who} compares networks on one data set: remove the data set from [sweep]")
    found: Dataset = plugin({"dataset": tables[0]}, "dataset", registry)
    _same_data(found, run.provenance.get("data", {}).get(json.dumps(tables[0])), who)
    return found


def fit_of(run: Run, member: int, registry: Registry) -> tuple[Dataset, Shape, Shape]:
    """A network's data set, and the shapes of an example and of its outputs.

    The data need not be at hand, except for a file of an older ebayes. Raises UserError then.
    """
    table = run.member_spec(member)["dataset"]
    if known := provenance.shapes_of(run.provenance, table):
        found: Dataset = plugin({"dataset": table}, "dataset", registry)
        return found, *known
    found = dataset_of(run, [member], registry, "module")
    return found, tuple(found.load("train")[0].shape[1:]), found.task().shape


def examples_of(run: Run, members: list[int], dataset: Dataset, split: str) -> tuple[Tensor, Tensor]:
    """The examples on which these networks were measured: all, or if stages were shown in turn, those of the last one.

    Raises UserError if they were shown in turn to some, and together to others.
    """
    (x, y), stage = dataset.load(split), dataset.stages(split)
    shown = {run.member_spec(i)["training"].get("stages", "in_turn") for i in members} if stage is not None else set()
    if len(shown) > 1:
        raise UserError(
            "networks that were trained on the stages of a data set in turn, and on all together, were measured on "
            "different examples, and cannot be compared: remove training.stages from [sweep]"
        )
    last = stage == stage.max() if stage is not None and shown == {"in_turn"} else slice(None)
    return x[last], y[last]


def _same_data(dataset: Dataset, known: list[str] | None, who: str) -> None:
    """Compare with the digests of the data in the file; an older file without digests is not checked."""
    from ebayes_core.engine import data

    if not known:
        return
    try:
        now = data.digest(data.load(dataset, dataset.task()))
    except UserError as error:
        raise UserError(f"{who} evaluates networks on the training set again: {error}") from error
    if now not in known:
        raise UserError(
            f"{who} evaluates networks on their data again, and the data set '{dataset.kind}' is not what they "
            f"were trained on (digest {known[0][:12]}, now {now[:12]}); restore the original data"
        )
