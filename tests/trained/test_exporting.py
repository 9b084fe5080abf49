"""Files for other programs: what they hold is what the results file holds, and ONNX predicts what torch does."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import hookimpl
from ebayes_core.errors import AbsentError, UserError
from ebayes_core.trained.exporting import export
from ebayes_core.trained.module import module
from ebayes_plugins.networks import module_network
from tests.trained.runs import ARCHITECTURES, TEXT, everything, of, ran, stepwise
from tests.trained.test_module import PLAIN, shown

SEVERAL = """
name = "taken"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [3] }
training = { epochs = 1, batch_size = 400 }
measurement = { probe_examples = 20 }
[sweep]
"cost.c" = [0.1, 1.0]
"""


SLOW = ("mean pooling", "position")  #: tracing takes seconds, and these are traced as other convolutions


@pytest.mark.parametrize(
    "architecture", [pytest.param(a, marks=[pytest.mark.slow] * (a in SLOW)) for a in ARCHITECTURES]
)
def test_onnx_predicts_what_torch_does_for_batches_of_any_size(architecture: str, tmp_path: Path) -> None:
    run = of(architecture)
    export(run, tmp_path / "net.onnx", everything())
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    session, net = onnxruntime.InferenceSession(tmp_path / "net.onnx"), module(run, 0, everything())
    for count in (1, 7, 23):
        x = shown(architecture, count)
        (found,) = session.run(["outputs"], {"inputs": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, net(x).numpy(), rtol=0, atol=1e-6)


def test_onnx_of_outputs_at_every_step(tmp_path: Path) -> None:
    run = stepwise(tmp_path)
    export(run, tmp_path / "net.onnx", everything())
    x = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))
    (found,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"inputs": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, module(run, 0, everything())(x).numpy(), rtol=0, atol=1e-6)


def test_a_state_is_loaded_without_running_code(tmp_path: Path) -> None:
    export(of("convolutional"), tmp_path / "net.pt", everything())
    plain, x = PLAIN["convolutional"](), shown("convolutional")
    plain.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    torch.testing.assert_close(plain(x), module(of("convolutional"), 0, everything())(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_hold_all_networks_or_one(tmp_path: Path, ending: str) -> None:
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[ending]
    run = ran(SEVERAL)
    for name in ("members", "synapses"):
        export(run, tmp_path / f"{name}.{ending}", everything())
        export(run, tmp_path / f"of-1-{name}.{ending}", everything(), 1)
    members, synapses = (read(tmp_path / f"{name}.{ending}") for name in ("members", "synapses"))
    assert list(members["member"]) == [0, 1] and list(members["cost.c"]) == [0.1, 1.0]
    np.testing.assert_allclose(members["nll_mean"], run.metric("nll_mean"))
    assert list(synapses.columns[:6]) == ["member", "layer", "post", "pre", "mu", "sigma"]
    assert len(synapses) == 2 * (3 * 65 + 10 * 4)
    row = synapses.query("member == 1 and layer == 1 and post == 2 and pre == 40").iloc[0]
    assert row["mu"] == pytest.approx(run.layer(1, 1, "mu")[2, 40])
    assert row["gauss_newton_noise"] == pytest.approx(run.layer(1, 1, "gauss_newton_noise")[2, 40])
    one = read(tmp_path / f"of-1-synapses.{ending}")
    assert set(one["member"]) == {1} and len(one) == len(synapses) / 2
    assert list(read(tmp_path / f"of-1-members.{ending}")["member"]) == [1]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_swept_lists_and_tables_are_written_as_json(tmp_path: Path, ending: str) -> None:
    text = SEVERAL.replace('"cost.c" = [0.1, 1.0]', '"network.activations" = [["tanh", "linear"], ["relu", "tanh"]]')
    text += 'noise = [{ kind = "none" }, { kind = "homogeneous" }, { kind = "bernoulli", p_0 = 0.5 }]\n'
    export(ran(text), tmp_path / f"members.{ending}", everything())
    table = {"csv": pd.read_csv, "parquet": pd.read_parquet}[ending](tmp_path / f"members.{ending}")
    assert len(table) == 6 and list(table["network.activations"].map(json.loads))[-1] == ["relu", "tanh"]


def test_axes_of_other_layers_are_numbered(tmp_path: Path) -> None:
    export(of("module"), tmp_path / "synapses.csv", everything())
    table = pd.read_csv(tmp_path / "synapses.csv")
    kernels = table.query("layer == 1")
    assert list(table.columns[:4]) == ["member", "layer", "post", "pre"] and "dim_3" in table
    assert kernels["post"].isna().all() and kernels["dim_3"].max() == 2 and len(kernels) == 18


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("net.hdf", r"the ending '\.hdf' names no known format; known are net\.pt, net\.onnx"),
        ("all.csv", r"a table is named by what it holds; known are .* members\.csv"),
        ("net.pt", r"it has 2 networks; choose one of 0 to 1 \(--member\)"),
    ],
)
def test_names_that_do_not_say_what_is_wanted_are_refused(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        export(ran(SEVERAL), tmp_path / name, everything())
    assert not (tmp_path / name).exists()


def test_a_network_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for name in ("net.pt", "members.csv", "synapses.csv"):
        with pytest.raises(AbsentError, match="no network 5; there are 1"):
            export(of(), tmp_path / name, everything(), 5)


def test_a_missing_package_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "ebayes_core.trained.exporting.find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    with pytest.raises(
        UserError, match=r'net\.onnx needs onnxscript, not installed here: pip install "ebayes\[export\]"'
    ):
        export(of(), tmp_path / "net.onnx", everything())


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (lambda x: x.view(len(x), -1), r"write x\.shape\[0\] in place of len\(x\)"),
        (lambda x: torch.linalg.eigvalsh(x[:, 0] + x[:, 0].mT).repeat(1, 8), "No ONNX function found for .*eigh"),
    ],
    ids=["a constant batch", "no such operation"],
)
def test_what_torch_cannot_trace_is_refused(tmp_path: Path, outputs: Callable[[Tensor], Tensor], why: str) -> None:
    class Odd(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.readout = nn.Linear(64, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.readout(outputs(x))

    kind = module_network(lambda inputs, outputs: Odd(*outputs), "odd")
    registry = Registry.of(SimpleNamespace(__name__="odd", ebayes_networks=hookimpl(lambda: [kind])))
    run = ran(TEXT.format(layout="image", network='{ kind = "odd" }', noise='{ kind = "none" }'), registry=registry)
    with pytest.raises(UserError, match=f"cannot write the network 'odd' as ONNX for batches of any size: .*{why}"):
        export(run, tmp_path / "net.onnx", registry)
    assert not [*tmp_path.iterdir()]
