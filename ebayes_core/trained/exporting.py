"""Trained networks and their tables in formats of other programs: PyTorch, ONNX, CSV and Parquet; and records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ebayes_core.errors import AbsentError, UserError
from ebayes_core.storage import atomic

if TYPE_CHECKING:
    import pandas as pd

    from ebayes_core.contract.registry import Registry
    from ebayes_core.results.reader import Run
    from ebayes_core.trained.module import Module
    from ebayes_core.trained.prediction import Prediction

NETWORKS, TABLES, RECORDS = (".pt", ".onnx"), (".csv", ".parquet"), (".h5",)
HOLDS = ("members", "synapses")  #: what a table holds, by its name
KNOWN = "net.pt, net.onnx, members.csv, synapses.csv, members.parquet, synapses.parquet and record.h5"
EXAMPLES = 3  #: in the batch with which a network is traced; of one, ONNX would make a constant
NEEDS: Mapping[str, tuple[str, ...]] = {".onnx": ("onnx", "onnxscript"), ".parquet": ("pyarrow",)}


def export(run: Run, path: Path, registry: Registry, member: int | None = None, curves: bool = True) -> None:
    """Write a network, or a table of the run, in the format that the file's name asks for.

    `.pt`: the `state_dict` of the network with its mean weights; `.onnx`: that network, for batches of any size, of
    inputs as `Dataset.prepare` returns them. `members.csv` and `synapses.csv`, or the same with `.parquet`: a row for
    each network, or for each synapse of each network. `.h5`: a record, the results file without its synapses. member:
    the network; tables without it hold all of them, and so do records. curves: whether a record has the curves over
    training.

    Raises UserError for another ending, and if an optional package is missing.
    """
    ending = path.suffix.lower()
    check_target(path)
    if ending in RECORDS:
        _write_record(run, path, member, curves)
    elif ending in NETWORKS:
        from ebayes_core.trained.module import module

        net = module(run, the_only(run, member), registry)
        _replace(path, lambda beside: _write_network(net, ending, beside))
    else:
        table = _table(run, path, member)
        _replace(path, lambda beside: _write_table(table, ending, beside))


def _write_record(run: Run, path: Path, member: int | None, curves: bool) -> None:
    if member is not None:
        raise UserError(f"{path}: a record holds all networks, as its claims are about all of them; omit --member")
    from ebayes_core.results import abridged

    abridged.write_record(run, path, curves)


def write_prediction(found: Prediction, path: Path) -> None:
    """Write predictions as a CSV table, or as the arrays of an npz file."""
    arrays = found.arrays()
    if path.suffix.lower() == ".csv":
        _replace(path, lambda beside: found.frame().to_csv(beside))
    else:
        _replace(path, lambda beside: _write_arrays(arrays, beside))


def _write_arrays(arrays: Mapping[str, np.ndarray], beside: Path) -> None:
    with beside.open("wb") as file:  # numpy would add its ending to a path
        np.savez(file, allow_pickle=False, **arrays)


def check_target(path: Path) -> None:
    """Raise UserError for a name that says no known format, or one that needs a package that is not installed."""
    ending = path.suffix.lower()
    if ending not in (*NETWORKS, *TABLES, *RECORDS):
        raise UserError(f"{path}: the ending '{path.suffix}' names no known format; known are {KNOWN}")
    if ending in TABLES and len(_held(path)) != 1:
        raise UserError(f"{path}: a table is named by what it holds; known are {KNOWN}")
    require(path, NEEDS.get(ending, ()))


def require(path: Path, packages: Iterable[str]) -> None:
    """Raise UserError if a package is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UserError(f'{path} needs {" and ".join(missing)}, not installed here: pip install "ebayes[export]"')


def the_only(run: Run, member: int | None) -> int:
    """The network that was named, or the only one of a run. Raises UserError if there are several to choose from."""
    if member is None and run.n_members > 1:
        raise UserError(
            f"{run.path}: it has {run.n_members} networks; choose one of 0 to {run.n_members - 1} (--member)"
        )
    return member or 0


def _held(path: Path) -> list[str]:
    return [word for word in HOLDS if word in path.stem.lower()]


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, to which it is moved when it is complete."""
    with atomic.replacing(path) as beside:
        write(beside)


def _write_network(net: Module, ending: str, beside: Path) -> None:
    import torch

    if ending == ".pt":
        torch.save(net.state_dict(), beside)
    else:
        to_onnx(net, beside)


def to_onnx(net: Module, path: Path) -> None:
    """Write the network with its mean weights as ONNX, from `inputs` (batch, *inputs) to `outputs` (batch, *outputs).

    Raises UserError if torch cannot trace its module for batches of any size.
    """
    import torch

    x = torch.zeros(EXAMPLES, *net.inputs, dtype=next(net.parameters()).dtype)
    try:
        program = torch.onnx.export(
            net.plain.eval(), (x,), dynamo=True, verbose=False, input_names=["inputs"], output_names=["outputs"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    except Exception as error:
        raise UserError(f"{_refused(net)}: {_first(error)}") from error
    assert program is not None
    shapes = [value.shape for value in (*program.model.graph.inputs, *program.model.graph.outputs)]
    if any(shape is not None and isinstance(shape[0], int) for shape in shapes):
        raise UserError(f"{_refused(net)}: write x.shape[0] in place of len(x), which torch takes for a constant")
    program.save(path, external_data=False)


def _refused(net: Module) -> str:
    return f"torch cannot write the network '{net.network.kind}' as ONNX for batches of any size"


def _first(error: BaseException) -> str:
    """The deepest cause in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _table(run: Run, path: Path, member: int | None) -> pd.DataFrame:
    """One row per network, or one per synapse with its network in the first column."""
    import pandas as pd

    chosen = range(run.n_members) if member is None else [member]
    if member is not None and not 0 <= member < run.n_members:
        raise AbsentError(f"no network {member}; there are {run.n_members}, counted from 0")
    if _held(path) == ["members"]:
        return _as_text(run.members.loc[list(chosen)].reset_index())
    each = [run.synapses(i).assign(member=i) for i in chosen]
    whole = pd.concat(each, ignore_index=True)
    return whole[["member", *(name for name in whole if name != "member")]]


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with swept lists and tables as JSON, as in the results file: a column of Parquet has one type."""
    odd = [c for c in table if table[c].map(lambda v: isinstance(v, (list, dict, tuple))).any()]
    return table.assign(**{str(c): table[c].map(json.dumps) for c in odd})


def _write_table(table: pd.DataFrame, ending: str, beside: Path) -> None:
    if ending == ".csv":
        table.to_csv(beside, index=False)
    else:
        table.to_parquet(beside, index=False)
