"""The checks that plugin authors call: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.registry import Registry
from ebayes_core.run import run
from ebayes_core.slots import Analysis, Cost, Dataset, Inference, Network, Noise, Trace
from ebayes_core.spec import loads
from ebayes_core.tasks import Classification
from ebayes_core.testing import (
    check_analysis,
    check_cost,
    check_dataset,
    check_inference,
    check_network,
    check_noise,
)
from ebayes_core.testing.larger import RUN
from ebayes_plugins.datasets import Digits
from ebayes_plugins.networks import Mlp

TINY = {"digits", "cubic", "linear_gaussian"}  #: data sets that are quick to load in any form


def kinds(slot: str) -> list[str]:
    return sorted(Registry.load().kinds(slot))


@pytest.mark.parametrize("kind", kinds("cost"))
def test_costs_pass(registry: Registry, kind: str) -> None:
    check_cost(registry.composed(registry.kinds("cost")[kind]))


@pytest.mark.parametrize("kind", kinds("noise"))
def test_noises_pass(registry: Registry, kind: str) -> None:
    check_noise(registry.kinds("noise")[kind])


@pytest.mark.parametrize("kind", kinds("inference"))
def test_inferences_pass(registry: Registry, kind: str) -> None:
    check_inference(registry.kinds("inference")[kind])


def test_networks_pass(registry: Registry) -> None:
    names = ("relu", "linear", "tanh", "softplus")
    layered = [Mlp(hidden=(4,), activations=(a, b)) for a in names for b in names]
    check_network(Mlp, layered)
    assert set(registry.kinds("network")) == {"mlp"}


@pytest.mark.parametrize("kind", sorted(TINY))
def test_datasets_pass(registry: Registry, kind: str) -> None:
    check_dataset(registry.kinds("dataset")[kind])


def test_mnist5k_passes(registry: Registry) -> None:
    check_dataset(registry.kinds("dataset")["mnist5k"], registry.kinds("dataset")["mnist5k"]())


BAYES = """
[sweep]
"cost, inference" = [
    [{ kind = "entropic" }, { kind = "variational_bayes", scale = 1e4 }],
    [{ kind = "membrane", c = 1e-3 }, { kind = "energy_efficient" }],
    [{ kind = "actin", c = 1e-3 }, { kind = "energy_efficient" }],
]
"""
SMALL = 'name = "small"\ntraining = { epochs = 1 }\nmeasurement = { samples = 2 }\n'
#: analyses that ask for more than any run has: a variational network, and a function of one variable
RUNS = {
    "posterior": f'{SMALL}dataset = {{ kind = "digits" }}\nnetwork = {{ kind = "mlp", hidden = [8] }}\n{BAYES}',
    "predictive": f'{SMALL}dataset = {{ kind = "cubic" }}\nnetwork = {{ kind = "mlp", hidden = [8] }}\n{BAYES}',
}


@pytest.fixture(scope="module")
def run_file(registry: Registry, tmp_path_factory: pytest.TempPathFactory):
    folder, made = tmp_path_factory.mktemp("run"), {}

    def file(spec: str):
        if spec not in made:
            made[spec] = folder / f"{len(made)}.h5"
            run(loads(spec, registry), spec, registry, made[spec])
        return made[spec]

    return file


@pytest.mark.parametrize("kind", kinds("analysis"))
def test_analyses_pass(registry: Registry, run_file, kind: str) -> None:
    check_analysis(registry.kinds("analysis")[kind], run_file(RUNS.get(kind, RUN)))


class GoodCost(Cost):
    """A cost to break."""

    kind: Literal["good"] = "good"
    kappa: float = Field(0.1, gt=0.01, le=10, description="uptake")

    def energy(self, sigma, mu):
        return mu.abs() + self.kappa / sigma


def broken(name: str, energy, base=GoodCost, **members):
    return type(name, (base,), {"energy": energy, "__doc__": "Broken.", "__module__": __name__, **members})


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    def backward(ctx, grad):
        return grad / ctx.saved_tensors[0] ** 2  # the sign is missing


def stateful():
    calls = []

    def energy(self, sigma, mu):
        calls.append(1)
        return self.kappa / sigma * (1 + 1e-3 * len(calls))

    return energy


MISTAKES = {
    "sums over synapses": (lambda self, s, m: (self.kappa / s).sum(-1), "must be elementwise"),
    "mixes synapses": (lambda self, s, m: self.kappa / s + 1 / s.mean(-1, keepdim=True), "not elementwise"),
    "mixes members": (lambda self, s, m: self.kappa / s + 1 / s.mean(0), "not elementwise"),
    "rises with sigma": (lambda self, s, m: self.kappa * s, "rises with sigma"),
    "ignores sigma": (lambda self, s, m: self.kappa + 0 * s, "does not depend on sigma"),
    "wrong sign of the gradient": (lambda self, s, m: self.kappa * WrongBackward.apply(s), "gradient in argument 1"),
    "detached": (lambda self, s, m: self.kappa / s.detach(), "gradient in argument 1"),
    "not finite": (lambda self, s, m: self.kappa * (1 / s - 1e5).log(), "is not finite"),
    "double only": (lambda self, s, m: self.kappa * torch.ones(1, dtype=torch.float64) / s, "constant of a fixed type"),
    "single only": (lambda self, s, m: (self.kappa / s).float(), "constant of a fixed type"),
    "keeps state": (stateful(), "second time"),
    "changes its argument": (lambda self, s, m: self.kappa / s.mul_(1.5), "in place"),
    "bound to the CPU": (lambda self, s, m: self.kappa / s + torch.ones(1, dtype=s.dtype), "another device"),
    "decides by values": (lambda self, s, m: self.kappa / s if (s > 0).all() else s, "another device"),
    "no slope at zero": (lambda self, s, m: self.kappa / s + (m * m).sqrt(), "gradient in argument 2 is not finite"),
    "bound to the CPU, one number": (lambda self, s, m: (self.kappa / s).cpu(), "another device|leaves its device"),
    "uses math": (lambda self, s, m: math.sqrt(self.kappa) / s, "tensor methods"),
    "is no tensor": (lambda self, s, m: 3.0, "not a tensor"),
}


def test_good_cost_passes() -> None:
    check_cost(GoodCost)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_cost_mistakes_are_caught(mistake: str) -> None:
    energy, message = MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message):
        check_cost(broken("Broken", energy))


class Idle(GoodCost):
    """Has a field that changes nothing."""

    kind: Literal["idle"] = "idle"
    spare: float = Field(1.0, gt=0, le=2, description="nothing")


class Silent(GoodCost):
    """Has a field without a description."""

    kind: Literal["silent"] = "silent"
    kappa: float = Field(0.1, gt=0.01, le=10)


def test_idle_and_undescribed_fields_are_caught() -> None:
    with pytest.raises(AssertionError, match="spare changes nothing"):
        check_cost(Idle)
    with pytest.raises(AssertionError, match="description: kappa"):
        check_cost(Silent)


class GoodNoise(Noise):
    """A noise to break."""

    kind: Literal["good"] = "good"
    sigma_0: float = Field(0.1, gt=0.001, le=1, description="start")

    def init(self, mu):
        return (self.sigma_0 + 0 * mu).log()

    def sigma(self, phi):
        return phi.clamp(max=20).exp() + (phi - 20).relu()


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"sigma": lambda self, phi: (-phi).exp()}, "does not increase"),
        ({"sigma": lambda self, phi: phi}, "not positive"),
        ({"sigma": lambda self, phi: phi.exp() * phi.mean().exp()}, "not elementwise|not finite"),
        ({"sigma": lambda self, phi: phi.detach().clamp(max=20).exp()}, "gradient"),
        ({"init": lambda self, mu: (self.sigma_0 + 0 * mu).log()[0]}, "member, synapses"),
        ({"init": lambda self, mu: (self.sigma_0 + mu.zero_()).log()}, "changed its argument"),
        ({"init": lambda self, mu: (self.sigma_0 + torch.zeros(mu.shape, dtype=mu.dtype)).log()}, "another device"),
        ({"init": lambda self, mu: 0 * mu}, "sigma_0 changes nothing"),
        ({"init": lambda self, mu: (self.sigma_0 + 0 * mu).log().float()}, "of mu's type"),
    ],
)
def test_noise_mistakes_are_caught(methods, message: str) -> None:
    check_noise(GoodNoise)
    with pytest.raises(AssertionError, match=message):
        check_noise(type("Broken", (GoodNoise,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class GoodInference(Inference):
    """An objective to break."""

    kind: Literal["good"] = "good"
    decay: float = Field(0.1, ge=0, le=10, description="price of mu^2")

    def magnitude_cost(self, mu, sigma):
        return self.decay * mu**2

    def reliability_cost(self, mu, sigma, cost):
        return cost(sigma, mu)


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"magnitude_cost": lambda self, mu, sigma: self.decay * mu**2 / sigma}, "sigma = 0"),
        (
            {"magnitude_cost": lambda self, mu, sigma: self.decay * (mu**2 + sigma**2).sqrt()},
            "no finite gradient in mu",
        ),
        ({"log_prior": lambda self, mu, sigma: 0 * mu + mu.sum()}, "log_prior is not elementwise"),
        ({"magnitude_cost": lambda self, mu, sigma: (self.decay * mu**2).sum()}, "must be elementwise"),
        ({"magnitude_cost": lambda self, mu, sigma: mu**2}, "decay changes nothing"),
        ({"reliability_cost": lambda self, mu, sigma, cost: cost(sigma.detach(), mu)}, "gradient"),
        ({"reliability_cost": lambda self, mu, sigma, cost: cost(sigma, mu).float()}, "fixed type"),
    ],
)
def test_inference_mistakes_are_caught(methods, message: str) -> None:
    check_inference(GoodInference)
    with pytest.raises(AssertionError, match=message):
        check_inference(type("Broken", (GoodInference,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class GoodNetwork(Network):
    """A network to break."""

    kind: Literal["good"] = "good"

    def shapes(self, inputs, outputs):
        return [(outputs, inputs + 1)]

    def forward(self, weights, x):
        (w,) = weights
        return x @ w[..., :-1].transpose(1, 2) + w[..., None, :, -1]


def without_bias(self, weights, x):
    drives = GoodNetwork.forward(self, weights, x)
    return Trace(drives, [x], [drives])


def doubled(self, weights, x, residual, out):
    outputs = Network.gradients(self, weights, x, residual, out)
    for o in out:
        o.mul_(2)
    return outputs


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).mean(0)}, "member, batch, outputs"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + w[0].mean()}, "mixes members"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x - x.mean(0))}, "mixes examples"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).double()}, "float32 into"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, [w[0].mul_(1.5)], x)}, "changed the weights"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x.clamp_(-0.1, 0.1))}, "or the inputs in place"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) * torch.nan}, "not finite"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + torch.ones(2, dtype=x.dtype)}, "another device"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + 0 * float(x.sum())}, "torch.func.vmap"),
        ({"gradients": doubled}, "differs from autograd"),
        ({"trace": without_bias}, "not the weights' gradient"),
    ],
)
def test_network_mistakes_are_caught(methods, message: str) -> None:
    check_network(GoodNetwork)
    with pytest.raises(AssertionError, match=message):
        check_network(type("Broken", (GoodNetwork,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class GoodData(Dataset):
    """A data set to break."""

    kind: Literal["good"] = "good"
    noise: float = Field(0.1, gt=0, le=1, description="spread")

    def load(self, split):
        seed = {"train": 0, "test": 1}.get(split)
        if seed is None:
            raise ValueError(split)
        y = torch.arange(20) % 2
        return y[:, None] + self.noise * torch.randn(20, 3, generator=torch.Generator().manual_seed(seed)), y

    def task(self):
        return Classification(2)


def changed_targets(change):
    return lambda self, split: (GoodData.load(self, split)[0], change(GoodData.load(self, split)[1]))


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"load": changed_targets(lambda y: y + 1)}, "from 0 to 1"),
        ({"load": changed_targets(lambda y: y.float())}, "int64"),
        ({"load": changed_targets(lambda y: y[:-1])}, "20 inputs and 19 targets"),
        ({"load": lambda self, split: (torch.randn(20, 3), torch.arange(20) % 2)}, "second time"),
        ({"load": lambda self, split: GoodData.load(self, "train")}, "test set is the training set"),
        ({"load": lambda self, split: GoodData.load(self, split if split == "train" else "test")}, "misspelt split"),
        ({"task": lambda self: "classes"}, "must give a task"),
    ],
)
def test_dataset_mistakes_are_caught(methods, message: str) -> None:
    check_dataset(GoodData)
    with pytest.raises(AssertionError, match=message):
        check_dataset(type("Broken", (GoodData,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class GoodAnalysis(Analysis):
    """An analysis to break."""

    kind: Literal["good"] = "good"

    def measure(self, run):
        return {"sigma": run.metric("sigma_median")}

    def draw(self, arrays, figure):
        ax = figure.subplots()
        ax.plot(arrays["sigma"])
        ax.set(xlabel="member", ylabel="sigma (weight)")


def no_labels(self, arrays, figure):
    figure.subplots().plot(arrays["sigma"])


def nothing_finite(self, arrays, figure):
    ax = figure.subplots()
    ax.plot(arrays["sigma"] * np.nan)
    ax.set(xlabel="member", ylabel="sigma (weight)")


def uses_up(self, arrays, figure):
    GoodAnalysis.draw(self, {"sigma": arrays.pop("sigma")}, figure)


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"measure": lambda self, run: {"sigma": run.metric("nonsense")}}, "no metric 'nonsense'"),
        ({"measure": lambda self, run: {"sigma": np.array([object()])}}, "no array of numbers"),
        ({"draw": no_labels}, "no label"),
        ({"draw": nothing_finite}, "nothing finite"),
        ({"draw": uses_up}, "draw raised KeyError"),
        ({"draw": lambda self, arrays, figure: None}, "drew nothing"),
    ],
)
def test_analysis_mistakes_are_caught(run_file, methods, message: str) -> None:
    check_analysis(GoodAnalysis, run_file(RUN))
    with pytest.raises(AssertionError, match=message):
        cls = type("Broken", (GoodAnalysis,), {**methods, "__doc__": "Broken.", "__module__": __name__})
        check_analysis(cls, run_file(RUN))


def test_split_fields_of_the_digits_matter() -> None:
    a, b = (Digits(split_seed=seed).load("test")[0] for seed in (0, 1))
    assert not torch.equal(a, b)


def test_without_hypothesis_the_message_says_what_to_install(monkeypatch) -> None:
    import importlib.util

    import ebayes_core.testing

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"ebayes\[test\]"):
        importlib.reload(ebayes_core.testing)
