"""Modules of one's own: trained, or with their means held, and refused in one sentence where they cannot be."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ebayes
from ebayes_core.errors import DataError, UserError
from tests.api.test_fitting import X, Y

IMAGES = np.random.default_rng(1).normal(size=(120, 1, 6, 6)).astype("float32")
LABELS = (IMAGES[:, 0, :3].sum((1, 2)) > 0).astype(int)
HOW = {"training": {"epochs": 2}, "progress": False}


def convolutional(inputs: tuple[int, ...] = (), outputs: tuple[int, ...] = ()) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2))


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(7, 3)


def test_a_builder_is_called_for_each_seed_and_its_network_taken_out(tmp_path: Path) -> None:
    run = ebayes.fit(IMAGES, LABELS, network=convolutional, seeds=(0, 1), out=tmp_path / "c.h5", **HOW)
    assert run.spec["dataset"]["standardise"] == "all"
    assert not np.array_equal(run.layer(0, 1, "mu"), run.layer(1, 1, "mu"))
    x, net, plain = run.examples("test")[0], run.module(1), convolutional()
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(plain(x), net(x), rtol=0, atol=1e-6)
    assert run.predict(IMAGES[:4], member=1).mean.shape == (4, 2)


class Net(nn.Module):
    """As people write their modules: its argument is no shape."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(7, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


BUILDERS = {"class": Net, "none": lambda: Net(5), "two": lambda i, o: nn.Linear(*i, *o), "partial": partial(Net, 6)}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_builder_may_do_without_shapes(build, tmp_path: Path) -> None:
    run = ebayes.fit(X, Y, network=build, out=tmp_path / "b.h5", **HOW)
    assert run.layer(0, 1, "mu").shape == {Net: (4, 7)}.get(build, run.layer(0, 1, "mu").shape)
    assert ebayes.open(tmp_path / "b.h5", plugins=[run.registry.kinds("network")["module"]]).module() is not None


def test_a_module_gets_its_inputs_and_labels_as_they_are(tmp_path: Path) -> None:
    module = linear()
    run = ebayes.fit(X, np.minimum(Y, 1), network=module, out=tmp_path / "m.h5", **HOW)
    assert run.spec["dataset"]["standardise"] == "none" and run.spec["dataset"]["classes"] == 3
    torch.testing.assert_close(run.prepare(X), torch.tensor(X, dtype=torch.float32))
    assert run.n_members == 1 and module.weight.grad is None
    again = ebayes.open(tmp_path / "m.h5", plugins=[module])
    torch.testing.assert_close(again.module()(run.prepare(X)), run.module()(run.prepare(X)))


def test_solve_holds_the_means(tmp_path: Path) -> None:
    module = linear()
    cost = {"kind": "membrane", "c": 0.1}
    run = ebayes.solve(module, X, Y, cost=cost, training={"epochs": 10}, out=tmp_path / "s.h5", progress=False)
    for name, values in run.module().state_dict().items():
        assert torch.equal(values, module.state_dict()[name])
    assert run.analyses == ["reliability"] and len(run.statistics("reliability"))
    sigma, h = (np.concatenate([run.layer(0, i, n).ravel() for i in (1, 2)]) for n in ("sigma", "gauss_newton_noise"))
    optimum = (0.1 * 2 / 3 / (run.metric("n_examples")[0] * h)) ** (3 / 8)
    assert np.median(np.abs(np.log(sigma / optimum))) < 0.1


def test_another_module_is_another_experiment(tmp_path: Path) -> None:
    module = linear()
    ebayes.fit(X, Y, network=module, out=tmp_path / "m.h5", **HOW)
    with torch.no_grad():
        module.weight[0, 0] += 1
    with pytest.raises(UserError, match="result of another spec"):
        ebayes.fit(X, Y, network=module, out=tmp_path / "m.h5", **HOW)


def test_another_builder_is_another_experiment(tmp_path: Path) -> None:
    """One that is edited in a notebook keeps its name."""
    other = {"hidden": 4, "builds": lambda: Net(other["hidden"])}
    first = ebayes.fit(X, Y, network=other["builds"], out=tmp_path / "b.h5", **HOW)
    assert ebayes.fit(X, Y, network=other["builds"], out=tmp_path / "b.h5", **HOW).spec == first.spec
    other["hidden"] = 5
    with pytest.raises(UserError, match="result of another spec"):
        ebayes.fit(X, Y, network=other["builds"], out=tmp_path / "b.h5", **HOW)
    with pytest.raises(UserError, match="result of another spec"):
        ebayes.fit(X, Y, network=lambda i, o: nn.Linear(*i, *o), out=tmp_path / "b.h5", **HOW)


def test_another_forward_pass_is_another_module() -> None:
    from ebayes_core.modules.instance import digest

    def made(forward) -> nn.Module:
        torch.manual_seed(0)
        return type("Net", (Net,), {"forward": forward, "__module__": __name__})()

    def halved(self: Net, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) / 2

    torch.manual_seed(0)
    assert digest(made(Net.forward)) != digest(made(halved))


class Scaled(nn.Module):
    """What it computes is told by attributes that torch does not print."""

    def __init__(self, scale: float = 1.0, act=torch.relu) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.scale, self.act = nn.Linear(7, 3), scale, act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.act(self.body(x))


def test_attributes_of_a_module_are_part_of_the_experiment() -> None:
    from ebayes_core.modules.instance import digest

    found = [digest(Scaled(*how)) for how in ((), (2.0,), (1.0, torch.tanh), (1.0, lambda x: x))]
    assert len(set(found)) == 4 and digest(Scaled()) == found[0]


def test_variables_around_a_builder_are_part_of_the_experiment() -> None:
    from ebayes_core.modules.instance import network_of

    def known(width: int, act: type[nn.Module]) -> str:
        def build(inputs, outputs):
            return nn.Sequential(nn.Linear(*inputs, width), act(), nn.Linear(width, *outputs))

        return network_of(build)[0].model_fields["digest"].default

    parts = [network_of(partial(Net, hidden=n))[0].model_fields["digest"].default for n in (3, 4)]
    assert parts[0] != parts[1]
    assert len({known(3, nn.ReLU), known(4, nn.ReLU), known(3, nn.Tanh)}) == 3
    assert known(3, nn.ReLU) == known(3, nn.ReLU)


MISTAKES = {
    "outputs": (nn.Linear(7, 2), "x and y: .* has the label 2: labels are integers from 0 to 1"),
    "inputs": (nn.Linear(5, 3), r"examples have shape \(7,\) .* its module fails on such examples"),
    "no parameters": (nn.Flatten(), "has no parameters that require a gradient"),
    "buffers": (nn.Sequential(nn.Linear(7, 3), nn.BatchNorm1d(3)), "changes its buffers 1.running_mean.* batch norm"),
    "chance": (nn.Sequential(nn.Linear(7, 3), nn.Dropout()), "draws random numbers.* as dropout does"),
    "several": (nn.LSTM(7, 3), "its module returned tuple, not a tensor"),
    "nothing": (3, "a network is a torch.nn.Module or a function"),
    "builds nothing": (lambda inputs, outputs: 3, "build returned 3, which is no torch.nn.Module"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_a_network_is_named_before_anything_trains(name: str, tmp_path: Path) -> None:
    module, says = MISTAKES[name]
    with pytest.raises(UserError, match=says) as error:
        ebayes.fit(X, Y, network=module, out=tmp_path / "bad.h5", **HOW)
    assert "\n" not in str(error.value) and not (tmp_path / "bad.h5").exists()


def test_texts_have_no_place_among_the_outputs_of_a_module(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels are texts, and a module's outputs have numbers"):
        ebayes.fit(X, Y.astype(str), network=linear(), out=tmp_path / "bad.h5", **HOW)
