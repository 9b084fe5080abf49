"""Means that a network is given by a file: round trips of every format and architecture, and what does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ebayes
from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.errors import DataError, SpecError
from ebayes_core.trained import exporting
from ebayes_plugins.networks import Mlp
from tests.build import data_of
from tests.trained.runs import ARCHITECTURES, everything, of

TEXT = """
name = "given"
dataset = {{ kind = "digits", layout = "{layout}" }}
network = {network}
noise = {{ kind = "heterogeneous", sigma_0 = 0.1 }}
training = {{ epochs = 1, batch_size = 400, means = "held" }}
measurement = {{ probe_examples = 20 }}
seeds = [0, 3]
"""


def cohort_of(folder: Path, text: str, registry: Registry | None = None) -> Cohort:
    points = spec.loads(text, registry or everything(), folder=folder).members()
    return Cohort(points[-1:], data_of(points[0]), False)


def given_by(folder: Path, name: str, architecture: str = "mlp", more: str = "") -> Cohort:
    layout, network = ARCHITECTURES[architecture]
    table = f'{network.rstrip(" }")}, means = "{name}"{more} }}'
    return cohort_of(folder, TEXT.format(layout=layout, network=table))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("ending", [".pt", ".npz", ".h5"])
def test_a_trained_network_is_where_another_starts(tmp_path: Path, architecture: str, ending: str) -> None:
    run, path = of(architecture), tmp_path / f"net{ending}"
    if ending == ".h5":
        shutil.copy(run.path, path)
    else:
        exporting.export(run, tmp_path / "net.pt", everything())
    if ending == ".npz":
        saved = torch.load(tmp_path / "net.pt", weights_only=True)
        np.savez(path, **{name: t.numpy() for name, t in saved.items()})
    c = given_by(tmp_path, path.name, architecture)
    for i, mean in enumerate(c.layered(c.start().parameters.mu), 1):
        np.testing.assert_array_equal(mean[0].numpy(), run.layer(0, i, "mu"))


def state() -> dict[str, torch.Tensor]:
    """Of the mlp of ARCHITECTURES."""
    torch.manual_seed(1)
    return Mlp(hidden=(7, 5), activations=("tanh", "softplus", "linear")).plain((64,), (10,)).state_dict()


def mistaken(name: str) -> dict[str, torch.Tensor]:
    found = state()
    if name == "shape":
        found["3.weight"] = torch.zeros(5, 6)
    elif name == "nan":
        found["5.bias"][2] = torch.nan
    elif name == "missing":
        del found["3.bias"], found["5.weight"]
    else:
        found["7.weight"] = torch.zeros(2)
    return found


@pytest.mark.parametrize(
    "name, message",
    [
        ("shape", r"net\.pt: parameter 3\.weight has shape \(5, 6\), the network needs \(5, 7\)$"),
        ("nan", r"net\.pt: parameter 5\.bias holds NaN or infinity"),
        ("missing", r"net\.pt: it lacks the parameters 3\.bias, 5\.weight, which the network needs"),
        ("extra", r"net\.pt: it has the parameter 7\.weight, which the network does not have; the network's are 1\."),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, message: str) -> None:
    torch.save(mistaken(name), tmp_path / "net.pt")
    with pytest.raises(DataError, match=message):
        given_by(tmp_path, "net.pt").start()


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "net.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "texts.npz", a=np.array(["x"]))
    for name in ("net.pt", "list.pt", "text.pth", "text.npz", "texts.npz"):
        with pytest.raises(DataError, match=name):
            given_by(tmp_path, name).start()


def test_a_network_of_a_results_file_is_chosen_by_its_number(tmp_path: Path) -> None:
    shutil.copy(of().path, tmp_path / "net.h5")
    with pytest.raises(DataError, match="net.h5: it has 1 networks, counted from 0, and no network 4"):
        given_by(tmp_path, "net.h5", more=", means_member = 4").start()


@pytest.mark.parametrize(
    "name, more, message",
    [
        ("net.pkl", "", "means must be a file ending in .pt, .pth, .npz, .h5"),
        ("net.pt", ", means_member = 0", "means_member chooses a network of a results file"),
        ("net.pt", ", init = 0.3", "init is the size of random initial means: leave it out"),
        ("nat.pt", "", "there is no file .*nat.pt; did you mean 'net.pt'"),
        ("net.pt", f', digest = "{"0" * 64}"', "digest is 0000"),
    ],
)
def test_a_mistake_in_the_table_is_one_of_the_spec(tmp_path: Path, name: str, more: str, message: str) -> None:
    torch.save(state(), tmp_path / "net.pt")
    (tmp_path / "net.pkl").touch()
    with pytest.raises(SpecError, match=message):
        given_by(tmp_path, name, more=more)


def test_content_identifies_a_network_and_place_does_not(tmp_path: Path) -> None:
    digests, experiments = [], []
    for folder, shift in (("a", 0.0), ("b", 0.0), ("c", 1e-3)):
        (tmp_path / folder).mkdir()
        torch.save({name: t + shift for name, t in state().items()}, tmp_path / folder / "net.pt")
        text = TEXT.format(layout="flat", network='{ kind = "mlp", hidden = [7, 5], means = "net.pt" }')
        loaded = spec.loads(text, everything(), folder=tmp_path / folder)
        digests.append(loaded.members()[0].setting.digest)
        experiments.append(spec.digest(loaded))
    assert digests[0] == digests[1] != digests[2]
    assert experiments[0] == experiments[1] != experiments[2]


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "net.pt")
    c = given_by(tmp_path, "net.pt")
    torch.save({name: 2 * t for name, t in state().items()}, tmp_path / "net.pt")
    with pytest.raises(DataError, match="net.pt: its content has changed since the spec was read"):
        c.start()


def test_constants_have_to_be_those_of_the_network(tmp_path: Path) -> None:
    def build(inputs, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, *outputs)).eval()

    registry = everything().of(*_hook(build))
    module = build((64,), (10,))
    text = TEXT.format(layout="flat", network='{ kind = "normed", means = "net.pt" }')
    torch.save(module.state_dict(), tmp_path / "net.pt")
    c = cohort_of(tmp_path, text, registry)
    assert torch.equal(c.layered(c.start().parameters.mu)[0][0], module[1].weight.detach())
    module[2].running_mean += 0.5
    torch.save(module.state_dict(), tmp_path / "net.pt")
    with pytest.raises(DataError, match="2.running_mean, which is not trained, differs from that of the network"):
        cohort_of(tmp_path, text, registry).start()


def _hook(build):
    from types import SimpleNamespace

    made = ebayes.module_network(build, "normed")
    return [SimpleNamespace(__name__="normed", ebayes_networks=ebayes.hookimpl(lambda: [made]))]
