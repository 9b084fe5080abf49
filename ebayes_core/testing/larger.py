"""Checks of data sets and of analyses."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.slots import Analysis, Dataset
from ebayes_core.engine import data
from ebayes_core.testing.common import Changed, call, check_table, quick, random_states, same, steady
from ebayes_core.testing.strategies import plugins

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def check_dataset(cls: type[Dataset], plugin: Dataset | None = None) -> None:
    """Check that a data set returns the same finite tensors every time, and targets that fit its task.

    plugin: one instance to check, for data sets of which drawing arbitrary instances would be slow.
    """
    check_table(cls, Dataset)
    if plugin is not None:
        _dataset_holds(cls.__name__, plugin)
        return
    changed = Changed(cls)

    @quick
    @given(plugins(cls))
    @steady
    def holds(dataset: Dataset) -> None:
        _dataset_holds(cls.__name__, dataset)

    @changed.settings
    @given(changed.pairs())
    def fields_matter(pair: tuple[str, Dataset, Dataset]) -> None:
        changed.see(pair, _all_numbers)

    holds()
    fields_matter()
    changed.all_seen()


def _all_numbers(dataset: Dataset) -> Tensor:
    """All inputs and targets, with their shapes."""
    loaded = [*dataset.load("train"), *dataset.load("test")]
    return torch.cat([torch.tensor(t.shape).double() for t in loaded] + [t.double().flatten() for t in loaded])


def _loaded(where: str, dataset: Dataset, split: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets; checks that loading them leaves the global random number generators unchanged."""
    found = call(where, dataset.load, split)  # the first call may import modules that draw random numbers
    torch.rand(1), np.random.rand()  # so that setting a fixed seed is noticed too
    before = random_states()
    call(where, dataset.load, split)
    left = before == random_states()
    assert left, f"{where} seeds or draws from the global random generator: use a generator of its own, with a seed"
    pair = isinstance(found, tuple) and len(found) == 2 and all(isinstance(t, Tensor) for t in found)
    assert pair, f"{where} returned {type(found).__name__}: it must return two tensors, inputs and targets"
    return found


def _dataset_holds(name: str, dataset: Dataset) -> None:
    task = call(f"{name}.task", dataset.task)
    known = "like Classification(classes) of ebayes_core.contract.likelihoods"
    assert isinstance(task, Likelihood), f"{name}.task must return a Likelihood, {known}"
    splits = {split: _loaded(f"{name}.load('{split}')", dataset, split) for split in ("train", "test")}
    for split, (x, y) in splits.items():
        where = f"{name}.load('{split}')"
        for fault in data.faults(task, (x, y)):
            raise AssertionError(f"{where}: {fault}")
        again = dataset.load(split)
        kept = same(x, again[0]) and same(y, again[1])  # a missing target of a regression is NaN
        assert kept, f"{where} returned other values the second time: use a seed"
    train, test = (x for x, _ in splits.values())
    assert train.shape[1:] == test.shape[1:], f"{name}: examples of train and test differ in shape"
    assert train.shape != test.shape or not torch.equal(train, test), f"{name}: the test set is the training set"
    names = call(f"{name}.class_names", dataset.class_names)
    fits = names is None or (len(names) == task.shape[-1] and all(isinstance(n, str) for n in names))
    assert fits, f"{name}.class_names must return None, or a text for each of {task.shape[-1]} outputs"
    call(f"{name}.stages", data.stages, dataset, [len(x) for x, _ in splits.values()])
    try:
        dataset.load("nonsense")
    except ValueError:
        return
    except Exception as error:
        raise AssertionError(f"{name}.load('nonsense') raised {type(error).__name__}, not ValueError") from error
    raise AssertionError(f"{name}.load('nonsense') must raise ValueError: a misspelt split would pass unnoticed")


RUN = """
name = "made_up"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [4] }
noise = { kind = "heterogeneous", sigma_0 = 0.1 }
training = { epochs = 1, batch_size = 200 }
optimizer = { kind = "adam", learning_rate_phi = 0.1 }
measurement = { samples = 2, probe_examples = 100 }
[sweep]
"cost.c" = [0.01, 1.0]
"""


def check_analysis(cls: type[Analysis], run_file: str | Path | None = None, plugin: Analysis | None = None) -> None:
    """Check that an analysis measures plain arrays from a results file and draws labelled, finite figures from them
    alone.

    run_file: a results file to measure; without one, four small networks are trained on the digits. plugin: the
    instance to check; one with default fields if omitted.
    """
    from ebayes_core.contract.registry import Registry
    from ebayes_core.spec import loads
    from ebayes_core.sweeps.run import run

    check_table(cls, Analysis)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(run_file or Path(folder) / "run.h5")
        if run_file is None:
            registry = Registry.load()
            run(loads(RUN, registry), RUN, registry, path)
        _analysis_holds(plugin or cls.model_validate({}), path)


def _analysis_holds(analysis: Analysis, path: Path) -> None:
    from ebayes_core.results.reader import Run
    from ebayes_core.storage import hdf5

    name, before = type(analysis).__name__, path.read_bytes()
    with Run(path) as run:
        arrays, again = (call(f"{name}.measure", analysis.measure, run) for _ in range(2))
    assert path.read_bytes() == before, f"{name}.measure wrote to the results file"
    assert isinstance(arrays, dict) and arrays, f"{name}.measure must return a dict of arrays"
    for key, value in arrays.items():
        kind = call(f"{name}.measure: '{key}'", np.asarray, value).dtype.kind
        assert kind in "fiubU", f"{name}.measure: '{key}' is not an array of numbers or text"
    kept = f"{name}.measure returned other numbers the second time: it keeps state, or needs a seed"
    assert _equal(arrays, again), kept
    columns = _kept(f"{name}.statistics", analysis.statistics, arrays)
    assert isinstance(columns, dict), f"{name}.statistics returned {type(columns).__name__}, not a dict of columns"
    shapes = {np.shape(column) for column in columns.values()}
    assert len(shapes) <= 1, f"{name}.statistics: columns differ in length"
    assert all(len(shape) == 1 for shape in shapes), f"{name}.statistics: a column is one number or text per row"
    said = call(f"{name}.headline", analysis.headline, arrays)
    assert isinstance(said, str) and "\n" not in said, f"{name}.headline must return one line of text"
    with tempfile.TemporaryDirectory() as folder:
        hdf5.save(Path(folder) / "a.h5", arrays)
        arrays, _ = hdf5.load(Path(folder) / "a.h5")
    for _ in range(2):  # drawing twice shows whether draw() changed its arrays
        _figure_holds(name, analysis, arrays)


def _kept(name: str, method: Any, arrays: dict[str, Any], *more: Any) -> Any:
    """The result of a method; checks that it does not change the arrays."""
    copies = {key: np.array(value) for key, value in arrays.items()}
    found = call(name, method, arrays, *more)
    assert _equal(arrays, copies), f"{name} changed the arrays in place: the figure must be reproducible from them"
    return found


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    alike: Callable[[Any, Any], bool] = lambda x, y: np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f")
    return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)


def _figure_holds(name: str, analysis: Analysis, arrays: dict[str, Any]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    _kept(f"{name}.draw", analysis.draw, arrays, figure)
    assert figure.axes, f"{name}.draw drew nothing"
    figure.canvas.draw()
    for number, ax in enumerate(figure.axes):
        named = ax.get_xlabel() or any(other.get_xlabel() for other in figure.axes if _same_column(other, ax))
        assert named, f"{name}.draw: panel {number} has no label on its x axis"
        named = ax.get_ylabel() or any(other.get_ylabel() for other in figure.axes if _same_row(other, ax))
        assert named, f"{name}.draw: panel {number} has no label on its y axis"
        drawn = [line.get_ydata() for line in ax.lines] + [c.get_offsets() for c in ax.collections]
        finite = any(np.isfinite(np.asarray(d, dtype=float)).any() for d in drawn if np.size(d))
        assert finite or ax.patches or ax.images, f"{name}.draw: panel {number} shows no finite values"


def _same_column(a: Axes, b: Axes) -> bool:
    return bool(abs(a.get_position().x0 - b.get_position().x0) < 0.02)


def _same_row(a: Axes, b: Axes) -> bool:
    return bool(abs(a.get_position().y0 - b.get_position().y0) < 0.02)
