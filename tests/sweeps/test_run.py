"""A run in parts is the run in one: checkpoints to the bit, cohorts, refusals."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint
from ebayes_core.engine.loop import train
from ebayes_core.errors import Interrupted, UserError
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.storage import hdf5
from ebayes_core.sweeps.options import Options, Watcher
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.run import run
from tests.build import DIGITS, cohort, trained

SPEC = """
name = "parts"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [6] }
training = { epochs = 3, batch_size = 100 }
optimizer = { kind = "adam", learning_rate_phi = 0.05 }
measurement = { samples = 2, probe_examples = 100 }
[sweep]
"cost.c" = [0.01, 1.0]
noise = [{ kind = "heterogeneous" }, { kind = "homogeneous" }, { kind = "none" }]
"""


class StopAt(Watcher):
    """Sends the process a signal after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def tick(self, cohort, state) -> None:
        self.left -= 1
        if self.left == 0:
            import signal

            signal.raise_signal(signal.SIGTERM)


def arrays(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_same(a: Path, b: Path) -> None:
    one, two = arrays(a), arrays(b)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize("sigma", ["descent", "fixed_point"])
@pytest.mark.parametrize("noise", ["heterogeneous", "homogeneous", "none"])
@pytest.mark.parametrize("stop", [1, 14, 28, 29])
def test_a_checkpoint_goes_on_to_the_bit(registry: Registry, tmp_path: Path, noise: str, stop: int, sigma: str) -> None:
    """At the first step, in mid-epoch, at an epoch's last step and just after it."""
    training = ("training.dtype=float32", "training.schedule=cosine", f"training.sigma={sigma}")
    c = cohort(registry, DIGITS, f"noise.kind={noise}", *training)
    whole = trained(c)
    state = next(islice(train(c, c.start()), stop - 1, None))
    hdf5.save(tmp_path / "c.h5", checkpoint.pack(state))
    state = checkpoint.unpack(hdf5.load(tmp_path / "c.h5")[0], c)
    for _ in train(c, state):
        pass
    for a, b in zip(whole.parameters.tensors(), state.parameters.tensors(), strict=True):
        assert torch.equal(a, b)
    for one, two in zip(whole.curves, state.curves, strict=True):
        for name in one:
            assert torch.equal(one[name].nan_to_num(), two[name].nan_to_num()), name


def test_a_stopped_run_ends_where_an_uninterrupted_one_does(registry: Registry, tmp_path: Path) -> None:
    """Stopped three times, in different cohorts and in mid-epoch: every array of the file is the same to the bit."""
    experiment, whole, parts = loads(SPEC, registry), tmp_path / "whole.h5", tmp_path / "parts.h5"
    assert run(experiment, SPEC, registry, whole)
    for steps in (5, 50, 100):
        with pytest.raises(Interrupted, match="run the same command again"):
            run(experiment, SPEC, registry, parts, Options(watcher=StopAt(steps)))
        assert not parts.exists()
    assert run(experiment, SPEC, registry, parts)
    assert_same(whole, parts)
    assert not parts.with_name("parts.h5.partial").exists()


def test_a_finished_result_is_not_run_again(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    experiment = loads(SPEC, registry, ["training.epochs=1", "seeds=[0]", "sweep={}"])
    assert run(experiment, SPEC, registry, out)
    before = out.stat().st_mtime_ns
    assert not run(experiment, SPEC, registry, out)
    assert out.stat().st_mtime_ns == before
    assert run(experiment, SPEC, registry, out, Options(fresh=True))
    assert out.stat().st_mtime_ns != before


def test_another_specs_result_or_unfinished_work_is_not_overwritten(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    one, two = (loads(SPEC, registry, [f"training.epochs={n}", "seeds=[0]", "sweep={}"]) for n in (1, 2))
    with pytest.raises(Interrupted):
        run(one, SPEC, registry, out, Options(watcher=StopAt(3)))
    with pytest.raises(UserError, match="unfinished run of another spec"):
        run(two, SPEC, registry, out)
    assert run(one, SPEC, registry, out)
    with pytest.raises(UserError, match="result of another spec"):
        run(two, SPEC, registry, out)
    assert run(two, SPEC, registry, out, Options(fresh=True))


def test_sweep_order_does_not_matter(registry: Registry, tmp_path: Path) -> None:
    base = ["training.epochs=1", "training.dtype=float64", "seeds=[0]"]
    for name, values in (("a", "[0.01, 1.0, 3.0]"), ("b", "[3.0, 0.01, 1.0]")):
        run(loads(SPEC, registry, [*base, f'sweep={{"cost.c"={values}}}']), SPEC, registry, tmp_path / f"{name}.h5")
    with Run(tmp_path / "a.h5") as a, Run(tmp_path / "b.h5") as b:
        order = [b.swept["cost.c"].index(c) for c in a.swept["cost.c"]]
        for name in ("sigma_rms", "nll_sample", "balance", "elbo", "accuracy_ensemble"):
            np.testing.assert_allclose(a.metric(name), b.metric(name)[order], rtol=1e-8)


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="finds no GPU"):
        find_device("cuda")
    assert find_device("auto").type == "cpu"
