"""Modules of trained networks: equal to plain models of torch, and as noisy as their synapses."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Network, Noise, hookimpl
from ebayes_core.errors import AbsentError, UserError
from ebayes_core.results.reader import Run
from ebayes_core.trained.data import examples_of
from ebayes_core.trained.module import Module, module
from ebayes_core.trained.plugins import plugin
from ebayes_plugins.datasets import Digits
from tests.trained.runs import ARCHITECTURES, NOISES, TEXT, build, everything, layers, of, ran, stepwise


class Elman(nn.Module):
    """A recurrent network as a user writes it."""

    def __init__(self, inputs: int, units: int, outputs: int, every: bool = False) -> None:
        super().__init__()
        self.recurrent, self.readout, self.every = nn.Linear(inputs + units, units), nn.Linear(units, outputs), every

    def forward(self, x: Tensor) -> Tensor:
        h, found = torch.zeros(len(x), self.readout.in_features, dtype=x.dtype), []
        for t in range(x.shape[1]):
            h = torch.tanh(self.recurrent(torch.cat([x[:, t], h], 1)))
            found.append(self.readout(h))
        return torch.stack(found, 1) if self.every else found[-1]


PLAIN: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 5), nn.Softplus(), nn.Linear(5, 10)
    ),
    "convolutional": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3), nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 10),
    ),
    "mean pooling": lambda: nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(45, 10)
    ),
    "position": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 10)),
    "recurrent": lambda: Elman(8, 5, 10),
    "module": lambda: build((1, 8, 8), (10,)),
}  # fmt: skip


def taken(architecture: str = "mlp", noise: str = "heterogeneous") -> Module:
    return module(of(architecture, noise), 0, everything())


def shown(architecture: str, count: int = 23) -> Tensor:
    return Digits(layout=ARCHITECTURES[architecture][0]).load("test")[0][:count]


def engine(architecture: str, x: Tensor) -> Tensor:
    """The outputs that the engine computes with the means in the file."""
    run = of(architecture)
    network = plugin(run.member_spec(0), "network", everything())
    inputs, outputs = tuple(x.shape[1:]), (10,)
    network.shapes(inputs, outputs)
    means = [torch.as_tensor(m)[None] for m in layers(run, "mu")]
    times = network.draws(inputs, outputs)
    return network.forward(
        [m if n == 1 else m[:, None].expand(-1, n, *m.shape[1:]) for m, n in zip(means, times, strict=True)], x
    )[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_plain_model_that_loads_the_state_predicts_the_same(architecture: str) -> None:
    found, plain, x = taken(architecture), PLAIN[architecture](), shown(architecture)
    plain.load_state_dict(found.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(found(x), engine(architecture, x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(plain(x), found(x), rtol=0, atol=1e-6)
        torch.testing.assert_close(plain.double()(x.double()), found.double()(x.double()), rtol=0, atol=1e-8)


def test_outputs_at_every_step_too(tmp_path: Path) -> None:
    run = stepwise(tmp_path)
    found, plain = module(run, 0, everything()), Elman(3, 4, 2, every=True)
    plain.load_state_dict(found.state_dict())
    x = examples_of(run, [0], plugin(run.member_spec(0), "dataset", everything()), "test")[0].float()
    torch.testing.assert_close(plain(x), found(x), rtol=0, atol=1e-6)
    found.ensemble(3, torch.Generator().manual_seed(1))
    assert found(x).shape == (8, 6, 2)
    torch.testing.assert_close(found(x).exp().sum(-1), torch.ones(8, 6))


@pytest.mark.parametrize("architecture", ["mlp", "module"])
def test_a_state_is_loaded_alone_and_as_a_part(architecture: str) -> None:
    found, plain, x = taken(architecture), PLAIN[architecture](), shown(architecture)
    whole = nn.ModuleDict({"mine": found})
    assert list(whole.state_dict()) == [f"mine.{name}" for name in plain.state_dict()]
    found.load_state_dict(plain.state_dict())
    torch.testing.assert_close(found(x), plain(x), rtol=0, atol=1e-6)
    whole.load_state_dict({f"mine.{name}": 2 * t for name, t in plain.state_dict().items()})
    assert torch.equal(
        found.state_dict()["0.weight" if architecture == "module" else "1.weight"], 2 * next(plain.parameters())
    )
    with pytest.raises(RuntimeError, match="Unexpected key"):
        found.load_state_dict({**plain.state_dict(), "other": torch.zeros(1)})


def test_it_is_copied_moved_and_converted_with_its_noise() -> None:
    found, x = taken("convolutional", "bernoulli"), shown("convolutional")
    other = copy.deepcopy(found).double().eval()
    assert {t.dtype for t in (*other.parameters(), *other.buffers())} == {torch.float64}
    a, b = (
        m.sample(torch.Generator().manual_seed(3))(y)
        for m, y in ((other, x.double()), (copy.deepcopy(other), x.double()))
    )
    assert torch.equal(a, b) and a.dtype == torch.float64
    assert other.to("meta").mean()(x.double().to("meta")).shape == (23, 10)
    assert other.sample()(x.double().to("meta")).device.type == "meta"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_draw_is_seeded_and_new_at_each_call(architecture: str) -> None:
    found, x = taken(architecture), shown(architecture)
    mean = found(x)
    found.sample(torch.Generator().manual_seed(5))
    first, second = found(x), found(x)
    assert not torch.allclose(first, second) and not torch.allclose(first, mean)
    assert torch.equal(found.sample(torch.Generator().manual_seed(5))(x), first)
    assert torch.equal(found.mean()(x), mean)


@pytest.mark.parametrize("noise", NOISES)
def test_sampled_weights_have_the_moments_of_their_noise(noise: str) -> None:
    """Known from the file: mean, variance, and the third moment, zero for normal weights; per synapse, in z-scores."""
    run, draws = of("mlp", noise), 4000
    found = module(run, 0, everything()).double().trained()
    with torch.no_grad():
        weights = found.weights(found.xi(draws, [1, 1, 1], torch.Generator().manual_seed(0)))
    for layer, w in enumerate(weights, 1):
        mu, sigma = (run.layer(0, layer, name).astype(np.float64) for name in ("mu", "sigma"))
        if noise == "none":
            assert np.array_equal(w.numpy(), np.broadcast_to(mu, w.shape))
            continue
        off = (w.numpy() - mu) / sigma
        assert np.abs(off.mean(0)).max() * np.sqrt(draws) < 5
        fourth = (off**4).mean(0)
        assert (np.abs((off**2).mean(0) - 1) * np.sqrt(draws) < 6 * np.sqrt(fourth)).all()
        skew = np.broadcast_to(skewness(noise, run, layer, mu, sigma), mu.shape)
        assert abs(np.median((off**3).mean(0) / np.where(skew, skew, 1)) - (skew != 0).mean()) < 0.1


def skewness(noise: str, run, layer: int, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Third standardised moment, from textbooks."""
    cv = sigma / np.abs(mu)
    if noise == "log_normal":
        return np.sign(mu) * (3 * cv + cv**3)
    if noise in ("bernoulli", "binomial"):
        n, p = (run.layer(0, layer, name).astype(np.float64) for name in ("release_sites", "release_probability"))
        return np.sign(mu) * (1 - 2 * p) / np.sqrt(n * p * (1 - p))
    return np.zeros_like(mu)


def test_a_synapse_that_releases_or_not_transmits_q_or_nothing() -> None:
    run = of("mlp", "bernoulli")
    found = module(run, 0, everything()).double().trained()
    with torch.no_grad():
        w = found.weights(found.xi(4000, [1, 1, 1], torch.Generator().manual_seed(0)))[0].numpy()
    q, p = (run.layer(0, 1, name).astype(np.float64) for name in ("quantal_size", "release_probability"))
    silent = w == 0
    np.testing.assert_allclose(np.where(silent, q, w), np.broadcast_to(q, w.shape), rtol=1e-5)
    assert (np.abs(silent.mean(0) - (1 - p)) < 5 * np.sqrt(p * (1 - p) / 4000)).all()


def test_noise_per_position_is_drawn_at_each_position() -> None:
    """The variance of the drives of an untrained kernel's output is that of its own draw at each position."""
    found = taken("position")
    assert found.times == [4, 1]
    weights = found.trained().weights(found.trained().xi(3, found.times))
    assert weights[0].shape == (3, 4, 3, 10) and weights[1].shape == (3, 10, 13)


def test_an_ensemble_averages_probabilities_and_returns_outputs() -> None:
    found, x = taken(), shown("mlp")
    with torch.no_grad():
        outputs = found.ensemble(5, torch.Generator().manual_seed(2))(x)
        generator = torch.Generator().manual_seed(2)
        each = [found.sample(generator)(x).softmax(-1) for _ in range(5)]
    torch.testing.assert_close(outputs.softmax(-1), torch.stack(each).mean(0))
    with pytest.raises(UserError, match="samples = 0: an ensemble needs at least one"):
        found.ensemble(0)


def test_means_that_are_trained_on_move_the_samples() -> None:
    found, x = taken(), shown("mlp")
    found.sample(torch.Generator().manual_seed(2))(x).sum().backward()
    with torch.no_grad():
        for p in found.parameters():
            assert p.grad is not None and p.grad.abs().sum() > 0
            p.zero_()
        assert found.trained().mu[0].abs().max() == 0


def test_what_cannot_be_taken_out_is_refused() -> None:
    with pytest.raises(AbsentError, match="no network 1; there are 1, counted from 0"):
        module(of(), 1, everything())
    with pytest.raises(
        UserError, match=r"network 'mine' of this run is not registered here; .* ebayes.open\(path, plugins="
    ):
        module(of("module"), 0, Registry.load())


class Sums(Network):
    """A sum over the steps of a sequence, drawn anew at each; it has no plain module."""

    kind: Literal["sums"] = "sums"

    def shapes(self, inputs, outputs):
        return [(*outputs, inputs[-1])]

    def draws(self, inputs, outputs):
        return [inputs[0]]

    def single(self, weights, x):
        w = weights[0]
        return torch.einsum("bti,toi->bo" if w.ndim == 3 else "bti,oi->bo", x, w)


class Skewed(Noise):
    """Exponential weights: a network has one skewed distribution, and a field of its own."""

    kind: Literal["skewed"] = "skewed"
    factor: float = 0.3
    base: ClassVar[Literal["normal", "uniform"]] = "uniform"

    def init(self, mu):
        return {"log_size": mu.new_zeros(len(mu), 1) + self.factor.log()}

    def sigma(self, mu, free):
        return free["log_size"].exp()

    def draw(self, mu, free, xi):
        return mu + self.factor / self.factor * free["log_size"].exp() * (-(1 - xi).log() - 1)


@pytest.fixture(scope="module")
def strange() -> tuple[Run, Registry]:
    """A run with a network and a noise of somebody else."""
    hooks = {"ebayes_networks": hookimpl(lambda: [Sums]), "ebayes_noises": hookimpl(lambda: [Skewed])}
    registry = Registry.of(SimpleNamespace(__name__="strange", **hooks))
    text = TEXT.format(layout="rows", network='{ kind = "sums", init = 0.2 }', noise='{ kind = "skewed" }')
    return ran(text, registry=registry), registry


def test_a_network_without_a_plain_module_keeps_its_layout(strange: tuple[Run, Registry]) -> None:
    run, registry = strange
    found, x = module(run, 0, registry), shown("recurrent")
    assert list(found.state_dict()) == ["layer_1"]
    mu = run.layer(0, 1, "mu")
    np.testing.assert_array_equal(found.state_dict()["layer_1"], mu)
    np.testing.assert_allclose(found(x).detach(), x.sum(1).numpy() @ mu.T, rtol=1e-5, atol=1e-5)
    assert found.sample()(x).shape == (23, 10)


def test_a_free_parameter_that_a_network_shares_is_stored_for_each_synapse(strange: tuple[Run, Registry]) -> None:
    run, registry = strange
    stored = run.layer(0, 1, "free_log_size")
    assert stored.shape == (10, 8) and len(np.unique(stored)) == 1
    np.testing.assert_allclose(np.exp(stored), run.layer(0, 1, "sigma"), rtol=1e-6)
    found = module(run, 0, registry).double().trained()
    with torch.no_grad():
        w = found.weights(found.xi(2000, [8], torch.Generator().manual_seed(0)))[0]
    assert w.shape == (2000, 8, 10, 8)
    off = ((w.numpy() - run.layer(0, 1, "mu")) / run.layer(0, 1, "sigma")).reshape(16_000, -1)
    assert (np.abs(off.mean(0)) * np.sqrt(16_000) < 5).all() and off.min() >= -1.001
    assert (np.abs(off.var(0) - 1) * np.sqrt(16_000) < 5 * np.sqrt(8)).all()  # the fourth moment is 9
    assert abs((off**3).mean() - 2) < 0.1


def test_a_file_of_an_older_ebayes_is_told_apart(tmp_path: Path) -> None:
    target = tmp_path / "old.h5"
    shutil.copy(of("mlp", "bernoulli").path, target)
    with h5py.File(target, "r+") as file:
        for layer in file["networks/0"].values():
            del layer["free_phi"]
    with pytest.raises(UserError, match="older ebayes wrote it without the free parameters of the noise 'bernoulli'"):
        module(Run(target), 0, everything())


def test_a_network_that_diverged_is_refused_with_those_that_did_not(tmp_path: Path) -> None:
    text = TEXT.format(layout="flat", network='{ kind = "mlp", hidden = [3] }', noise=NOISES["heterogeneous"])
    run = ran(text + "[sweep]\n'cost.c' = [0.1, 1.0, 2.0]\n", tmp_path)
    run.close()
    with h5py.File(run.path, "r+") as file:
        file["members/status"][1] = "diverged at step 7: loss is not finite"
    with pytest.raises(UserError, match=r"network 1 diverged at step 7: .*; trained to the end were 0, 2"):
        module(Run(run.path), 1, everything())


def test_a_network_is_taken_out_where_its_data_are_not_at_hand(tmp_path: Path) -> None:
    run = stepwise(tmp_path)
    known = module(run, 0, everything())
    (tmp_path / "own.npz").unlink()
    found, x = module(run, 0, everything()), torch.ones(2, 6, 3)
    assert torch.equal(found(x), known(x)) and found.sample()(x).shape == (2, 6, 2)
    with pytest.raises(UserError, match=r"there is no file .*own\.npz"):
        found.ensemble(3)
    run.close()
    with h5py.File(run.path, "r+") as file:  # of an older ebayes
        about = json.loads(file.attrs["provenance"])
        file.attrs["provenance"] = json.dumps({name: value for name, value in about.items() if name != "shapes"})
    with pytest.raises(UserError, match=r"module evaluates networks on the training set again: .*own\.npz"):
        module(Run(run.path), 0, everything())


def test_a_file_of_an_older_ebayes_is_used_with_its_data(tmp_path: Path) -> None:
    target = tmp_path / "old.h5"
    shutil.copy(of().path, target)
    with h5py.File(target, "r+") as file:
        file.attrs["provenance"] = json.dumps({"data": json.loads(file.attrs["provenance"])["data"]})
    assert torch.equal(module(Run(target), 0, everything())(shown("mlp")), taken()(shown("mlp")))


def test_a_network_whose_plugin_has_changed_is_refused(strange: tuple[Run, Registry]) -> None:
    class Other(Sums):
        """Another version."""

        def shapes(self, inputs, outputs):
            return [(*outputs, inputs[-1] + 1)]

    changed = {"ebayes_networks": hookimpl(lambda: [Other]), "ebayes_noises": hookimpl(lambda: [Skewed])}
    with pytest.raises(UserError, match=r"'sums' has layers \[\(10, 8\)\] in the file, and \[\(10, 9\)\] here"):
        module(strange[0], 0, Registry.of(SimpleNamespace(__name__="changed", **changed)))
