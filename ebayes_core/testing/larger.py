"""Checks of the larger plugins: networks, data sets, analyses."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.slots import Analysis, Dataset, Network
from ebayes_core.tasks import Classification, Regression
from ebayes_core.testing.checks import Changed, attempt, check_table, quick
from ebayes_core.testing.strategies import plugins

INPUTS, OUTPUTS, BATCH = 3, 2, 5


def check_network(cls: type[Network], instances: Sequence[Network] = ()) -> None:
    """A network treats members and examples apart, and what it offers for speed agrees with autograd.

    instances: some to check besides the random ones, for fields that must fit each other.
    """
    check_table(cls, Network)
    changed = Changed(cls, instances)
    changed.fields -= {"init"}  # the engine's: it scales the means at the start

    @quick
    @given(changed.any, st.integers(0, 2**31 - 1))
    def holds(network: Network, seed: int) -> None:
        weights, x = _case(network, seed)
        _forward_holds(cls.__name__, network, weights, x)
        _gradients_hold(cls.__name__, network, weights, x)
        _trace_holds(cls.__name__, network, weights, x)

    @changed.settings
    @given(changed.pairs(), st.integers(0, 2**31 - 1))
    def fields_matter(pair: tuple[str, Network, Network], seed: int) -> None:
        changed.see(pair, lambda network: _outputs(network, seed))

    holds()
    fields_matter()
    changed.all_seen()


def _case(network: Network, seed: int) -> tuple[list[Tensor], Tensor]:
    """Random weights of two members, and a batch."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)  # noqa: E731
    return [draw(2, *shape) for shape in network.shapes(INPUTS, OUTPUTS)], draw(BATCH, INPUTS)


def _outputs(network: Network, seed: int) -> Tensor:
    weights, x = _case(network, seed)
    return network.forward(weights, x)


def _forward_holds(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    copies = [w.clone() for w in weights]
    out = attempt(f"{name}.forward", network.forward, weights, x)
    expected = (2, BATCH, OUTPUTS)
    assert out.shape == expected, f"{name}.forward gave {tuple(out.shape)}; (member, batch, outputs) is {expected}"
    assert all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True)), f"{name}.forward changed the weights"
    assert torch.equal(out, network.forward(weights, x)), f"{name}.forward gave another value the second time: it keeps state"
    turned = network.forward([w.flip(0) for w in weights], x)
    assert torch.allclose(turned, out.flip(0)), f"{name}.forward mixes members: exchanging them does not exchange the outputs"
    alone = network.forward([w[:1] for w in weights], x)
    assert torch.allclose(alone, out[:1]), f"{name}.forward mixes members: one alone has other outputs"
    part = network.forward(weights, x[1:3])
    assert torch.allclose(part, out[:, 1:3]), f"{name}.forward mixes examples: a part of the batch has other outputs"
    single = network.forward([w.float() for w in weights], x.float()).dtype
    assert single == torch.float32, f"{name}.forward turns float32 into {single}"


def _gradients_hold(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """The network's own backward pass against autograd, for a loss with a curved dependence on the outputs."""
    residual = lambda outputs: outputs.sin() + 0.3  # noqa: E731
    own, reference = ([torch.full_like(w, torch.nan) for w in weights] for _ in range(2))
    with torch.no_grad():
        outputs = attempt(f"{name}.gradients", network.gradients, weights, x, residual, own)
    Network.gradients(network, weights, x, residual, reference)
    assert torch.allclose(outputs, network.forward(weights, x)), f"{name}.gradients returns other outputs than forward"
    same = all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(own, reference, strict=True))
    assert same, f"{name}.gradients differs from autograd through forward"


def _trace_holds(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """What trace() offers is enough for the weights' gradients: delta^T input."""
    leaves = [w.clone().requires_grad_() for w in weights]
    trace = network.trace(leaves, x)
    if trace is None:
        return
    assert torch.allclose(trace.outputs, network.forward(weights, x)), f"{name}.trace has other outputs than forward"
    loss = trace.outputs.sin().sum()
    deltas = torch.autograd.grad(loss, trace.drives, retain_graph=True)
    for w, delta, a in zip(torch.autograd.grad(loss, leaves), deltas, trace.inputs, strict=True):
        product = delta.transpose(1, 2) @ a
        assert torch.allclose(w, product), f"{name}.trace: inputs and drives do not give the weights' gradient"


def check_dataset(cls: type[Dataset], plugin: Dataset | None = None) -> None:
    """A data set gives the same finite tensors every time, and targets that fit its task.

    plugin: one instance to check, where drawing any within the bounds would be slow.
    """
    check_table(cls, Dataset)
    if plugin is not None:
        _dataset_holds(cls.__name__, plugin)
        return
    changed = Changed(cls)

    @quick
    @given(plugins(cls))
    def holds(dataset: Dataset) -> None:
        _dataset_holds(cls.__name__, dataset)

    @changed.settings
    @given(changed.pairs())
    def fields_matter(pair: tuple[str, Dataset, Dataset]) -> None:
        changed.see(pair, lambda d: torch.cat([t.double().flatten() for t in (*d.load("train"), *d.load("test"))]))

    holds()
    fields_matter()
    changed.all_seen()


def _dataset_holds(name: str, dataset: Dataset) -> None:
    task = attempt(f"{name}.task", dataset.task)
    assert isinstance(task, (Classification, Regression)), f"{name}.task must give a task of ebayes_core.tasks"
    splits = {split: attempt(f"{name}.load", dataset.load, split) for split in ("train", "test")}
    for split, (x, y) in splits.items():
        where = f"{name}.load('{split}')"
        assert x.ndim == 2 and x.is_floating_point(), f"{where}: inputs must be (examples, inputs), floating; they are {tuple(x.shape)} {x.dtype}"
        assert len(x) == len(y) > 0, f"{where}: {len(x)} inputs and {len(y)} targets"
        assert bool(x.isfinite().all()), f"{where}: inputs are not all finite"
        _targets_fit(where, task, y)
        again = dataset.load(split)
        assert torch.equal(x, again[0]) and torch.equal(y, again[1]), f"{where} gave other values the second time: seed it"
    train, test = (x for x, _ in splits.values())
    assert train.shape[1] == test.shape[1], f"{name}: train and test have different numbers of inputs"
    assert train.shape != test.shape or not torch.equal(train, test), f"{name}: the test set is the training set"
    try:
        dataset.load("nonsense")
    except ValueError:
        return
    raise AssertionError(f"{name}.load('nonsense') must raise ValueError: a misspelt split would pass unnoticed")


def _targets_fit(where: str, task: Any, y: Tensor) -> None:
    if isinstance(task, Classification):
        fits = y.ndim == 1 and y.dtype == torch.int64 and 0 <= int(y.min()) and int(y.max()) < task.classes
        assert fits, f"{where}: targets of a classification are (examples,) int64 from 0 to {task.classes - 1}"
        return
    fits = y.ndim == 2 and y.shape[1] == task.outputs and y.is_floating_point() and bool(y.isfinite().all())
    assert fits, f"{where}: targets of this regression are (examples, {task.outputs}), floating and finite"


RUN = """
name = "made_up"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [4] }
noise = { kind = "heterogeneous", sigma_0 = 0.1 }
training = { epochs = 1, batch_size = 200, learning_rate_phi = 0.1 }
measurement = { samples = 2, probe_examples = 100 }
[sweep]
"cost.c" = [0.01, 1.0]
"""


def check_analysis(cls: type[Analysis], run_file: str | Path | None = None, plugin: Analysis | None = None) -> None:
    """An analysis measures plain arrays from a results file, and draws labelled, finite figures from them alone.

    run_file: a results file to measure; without one, four small networks are trained on the digits.
    plugin: the instance to check; with default fields if left out.
    """
    from ebayes_core.registry import Registry
    from ebayes_core.run import run
    from ebayes_core.spec import loads

    check_table(cls, Analysis)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(run_file or Path(folder) / "run.h5")
        if run_file is None:
            registry = Registry.load()
            run(loads(RUN, registry), RUN, registry, path)
        _analysis_holds(plugin or cls(), path)


def _analysis_holds(analysis: Analysis, path: Path) -> None:
    from ebayes_core import store
    from ebayes_core.runfile import Run

    name, before = type(analysis).__name__, path.read_bytes()
    with Run(path) as run:
        arrays = attempt_plain(f"{name}.measure", analysis.measure, run)
    assert path.read_bytes() == before, f"{name}.measure wrote to the results file"
    assert isinstance(arrays, dict) and arrays, f"{name}.measure must return a dict of arrays"
    for key, value in arrays.items():
        kind = np.asarray(value).dtype.kind
        assert kind in "fiubU", f"{name}.measure: '{key}' is no array of numbers or text"
    with tempfile.TemporaryDirectory() as folder:
        store.save(Path(folder) / "a.h5", arrays)
        arrays, _ = store.load(Path(folder) / "a.h5")
    for _ in range(2):  # the second time shows whether drawing used its arrays up
        _figure_holds(name, analysis, arrays)


def attempt_plain(name: str, function: Any, *arguments: Any) -> Any:
    """Call it; whatever it raises is named."""
    try:
        return function(*arguments)
    except Exception as error:
        raise AssertionError(f"{name} raised {type(error).__name__}: {error}") from error


def _figure_holds(name: str, analysis: Analysis, arrays: dict[str, Any]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    attempt_plain(f"{name}.draw", analysis.draw, arrays, figure)
    assert figure.axes, f"{name}.draw drew nothing"
    figure.canvas.draw()
    for number, ax in enumerate(figure.axes):
        named = ax.get_xlabel() or any(other.get_xlabel() for other in figure.axes if _same_column(other, ax))
        assert named, f"{name}.draw: panel {number} has no label on its x axis"
        named = ax.get_ylabel() or any(other.get_ylabel() for other in figure.axes if _same_row(other, ax))
        assert named, f"{name}.draw: panel {number} has no label on its y axis"
        drawn = [line.get_ydata() for line in ax.lines] + [c.get_offsets() for c in ax.collections]
        finite = any(np.isfinite(np.asarray(d, dtype=float)).any() for d in drawn if np.size(d))
        assert finite or ax.patches or ax.images, f"{name}.draw: panel {number} shows nothing finite"


def _same_column(a: Any, b: Any) -> bool:
    return abs(a.get_position().x0 - b.get_position().x0) < 0.02


def _same_row(a: Any, b: Any) -> bool:
    return abs(a.get_position().y0 - b.get_position().y0) < 0.02
