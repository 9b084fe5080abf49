"""Data and networks of one's own: trained from scratch, or with the means of a network that is trained already."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ebayes_core.api import own_data
from ebayes_core.api.runs import Place, Run
from ebayes_core.api.training import run
from ebayes_core.contract.slots import Plugin
from ebayes_core.errors import DataError
from ebayes_core.modules.instance import is_module, network_of, outputs_of

#: With the learning rates of the paper, sigma takes hundreds of epochs to reach its optimum.
AT_OPTIMUM = {"sigma": "fixed_point", "schedule": "cosine"}
PATH = (str, os.PathLike)
Table = str | Mapping[str, Any] | Plugin  #: a kind, a table as in a spec, or a plugin


def fit(
    x: Any, y: Any = None, *, test: Any = None, test_fraction: float | None = None, split_seed: int | None = None,
    standardise: str | None = None, likelihood: str = "auto", classes: int | None = None, noise_sd: float | None = None,
    network: Any = "mlp", cost: Table = "membrane", noise: Table = "heterogeneous", optimizer: Table = "adam",
    inference: Table = "energy_efficient", training: Mapping[str, Any] | None = None,
    measurement: Mapping[str, Any] | None = None, sweep: Mapping[str, Any] | None = None, seeds: Sequence[int] = (0,),
    analysis: Sequence[Table] = (), name: str = "fit", description: str = "", out: Place | None = None,
    fresh: bool = False, device: str = "auto", plugins: Iterable[Any] = (), progress: bool = True,
) -> Run:  # fmt: skip
    """Train noisy synapses with an energy cost on data and, if wanted, a network of one's own.

    x: inputs (examples, *shape) as an array or tensor; a table of pandas; a data set of torch, with y left out; or the
    path of a CSV, npz, npy or HDF5 file. y: targets, or the name of the target column. Integers and texts are classes,
    other numbers the targets of a regression; likelihood = "classification" or "regression" decides it. test: the same
    for testing, as a pair (x, y), a table, a data set or a path; if left out, test_fraction (0.2) of the examples is
    held out, by split_seed. standardise: "each" input alone by its mean and deviation over the training set (the
    default for vectors), "all" together (the default for images and sequences), or "none". classes: number of classes,
    if the labels are integers from 0 that do not show all of them. noise_sd: standard deviation of the targets of a
    regression, in their units.

    network: a kind, a table as in a spec, or a class or function that builds a `torch.nn.Module` and is called for each
    seed, with the shapes of an example and of its outputs if it asks for them. A `torch.nn.Module` itself starts at its
    own weights; it gets the inputs as they are unless standardise says otherwise, and labels are the numbers of its
    outputs.

    The other keywords are the fields of a spec; a slot takes a kind, a table or a plugin. Unless training says
    otherwise, sigma is solved for and learning rates fall along a cosine, so that networks end at their optimum. The
    data are stored beside the results, which can then be used without them.

    Raises DataError for data that cannot be trained on, and what `run` raises.
    """
    path = Path(out or f"results/{name}.h5")
    options: dict[str, Any] = {
        "likelihood": likelihood, "noise_sd": noise_sd, "test_fraction": test_fraction, "split_seed": split_seed,
    }  # fmt: skip
    if is_module(network):
        standardise = standardise or "none"
        classes = classes or (None if likelihood == "regression" else _classes(network, x, y))
    architecture, own = _architecture(network)
    dataset = _dataset(x, y, test, path.with_suffix(""), standardise)
    options |= {"classes": classes}
    slots = {
        "network": architecture, "cost": cost, "noise": noise, "optimizer": optimizer, "inference": inference,
    }  # fmt: skip
    spec = {
        "name": name, "description": description, "seeds": list(seeds), "dataset": dataset | options,
        **{slot: _table(value) for slot, value in slots.items()}, "training": AT_OPTIMUM | dict(training or {}),
        "measurement": measurement, "sweep": sweep, "analysis": [_table(one) for one in analysis],
    }  # fmt: skip
    with _as_given(dataset):
        return run(spec, out=path, fresh=fresh, device=device, plugins=[*plugins, *own], progress=progress)


def solve(
    module: Any, x: Any, y: Any = None, *, cost: Table = "membrane", training: Mapping[str, Any] | None = None,
    analysis: Sequence[Table] = ("reliability",), name: str = "solve", **options: Any,
) -> Run:  # fmt: skip
    """Find the noise that each synapse of a trained network bears, with its means held at the module's weights.

    module: a trained `torch.nn.Module`, or a table as in a spec of a network with given `means`. x, y: the examples
    that it was trained on, as it takes them. cost: what reliability costs; with a multiplier `c` it decides how much
    loss may be traded for energy, `{"kind": "membrane", "c": 0.1}`, and `sweep={"cost.c": [...]}` tries several. The
    other keywords are those of `fit`.

    The analysis `reliability` of the result shows which synapses may be noisy, and how much energy it saves that each
    has a sigma of its own. Raises what `fit` raises.
    """
    held = {"means": "held", **AT_OPTIMUM, **(training or {})}
    how = {"standardise": "none", **options}
    return fit(x, y, network=module, cost=cost, training=held, analysis=analysis, name=name, **how)


def _architecture(network: Any) -> tuple[Any, list[Any]]:
    """A network as the table of a spec, and the class behind it if that is a module or builds one."""
    if isinstance(network, (str, Mapping, Plugin)):
        return network, []
    made, table = network_of(network)
    return table, [made]


def _classes(module: Any, x: Any, y: Any) -> int | None:
    """How many classes a module tells apart, if the targets are labels: as many as it has outputs."""
    if isinstance(x, PATH):
        return None
    found = own_data.examples(x, y)
    if found.y.dtype.kind in "US":
        raise DataError("y: labels are texts, and a module's outputs have numbers: give integers from 0 in their order")
    labels = found.y.dtype.kind in "iub" and found.y.ndim == 1
    shape = outputs_of(module, found.x[:1]) if labels else ()
    return shape[0] if len(shape) == 1 and shape[0] > 1 else None


@contextlib.contextmanager
def _as_given(dataset: Mapping[str, Any]) -> Iterator[None]:
    """A block whose messages about the files of the data call them what the user knows them as."""
    try:
        yield
    except DataError as error:
        names = {dataset["train"]: "x and y", dataset.get("test"): "test x and y"}
        text = str(error)
        for path, name in names.items():
            text = text.replace(path, name) if path else text
        raise DataError(text) from error


def _table(value: Table) -> Mapping[str, Any] | Plugin:
    """The table of a slot; a name alone is its kind."""
    return {"kind": value} if isinstance(value, str) else value


def _dataset(x: Any, y: Any, test: Any, stem: Path, standardise: str | None) -> dict[str, Any]:
    """The table of the data set: of files as they are, or of a file in which the examples are stored."""
    if isinstance(x, PATH):
        if not (y is None or isinstance(y, str)) or not isinstance(test, (*PATH, type(None))):
            raise DataError(
                "x is the path of a file: let y be the name of its targets, and test a path too, or leave out"
            )
        names = {"train": os.path.abspath(x), "test": test and os.path.abspath(test), "targets": y}
        return {"kind": "arrays", **names, "standardise": standardise}
    train = own_data.examples(x, y)
    files = {"train": own_data.store(train, stem)}
    if test is not None:
        x_test, y_test = test if isinstance(test, tuple) else (test, y)
        held_out = own_data.examples(x_test, y_test, "test ")
        own_data.check_alike(train, held_out)
        files["test"] = own_data.store(held_out, stem)
    how = standardise or ("each" if train.x.ndim <= 2 else "all")
    return {"kind": "arrays", "standardise": how, **{split: str(path) for split, path in files.items()}}
