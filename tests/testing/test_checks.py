"""The checks that plugin authors call: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.contract.likelihoods import Classification
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, Dataset, Network, Trace
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run
from ebayes_core.testing import (
    check_analysis,
    check_dataset,
    check_network,
)
from ebayes_core.testing.larger import RUN
from ebayes_plugins.datasets import Digits
from ebayes_plugins.networks import Convolutional, Mlp
from tests.plugins.test_networks import CONVOLUTIONAL

TINY = {
    "digits",
    "cubic",
    "linear_gaussian",
    "teacher",
    "integrator",
    "decision",
    "memory",
}  #: data sets that are quick to load in any form


def kinds(slot: str) -> list[str]:
    return sorted(Registry.load().kinds(slot))


ACTIVATIONS = ("relu", "linear", "tanh", "softplus")
#: instances whose fields fit each other, for each architecture
NETWORKS = {
    "mlp": [Mlp(hidden=(4,), activations=(a, b)) for a in ACTIVATIONS for b in ACTIVATIONS],
    "convolutional": [Convolutional(**fields) for fields in CONVOLUTIONAL],
    "recurrent": [],
}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "convolutional")) for kind in kinds("network")],
)
def test_networks_pass(registry: Registry, kind: str) -> None:
    check_network(registry.kinds("network")[kind], NETWORKS[kind])


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "digits")) for kind in sorted(TINY)]
)
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
STUDENT = 'network = { kind = "mlp", hidden = [2], activations = ["linear", "linear"] }\n'
TWO = SMALL.replace("epochs = 1", "epochs = 2")
KERNELS = """
[network]
kind = "convolutional"
layers = [{ channels = 2, size = 3, stride = 2 }]
[sweep]
"network.noise_per" = ["kernel", "position"]
"""
LENGTHS = """
[sweep]
dataset = [{ kind = "memory", delay = 1, examples = 20 }, { kind = "memory", delay = 3, examples = 20 }]
"""
#: analyses that ask for more than any run has: as a variational network, or tasks in a row
RUNS = {
    "posterior": f'{SMALL}dataset = {{ kind = "digits" }}\nnetwork = {{ kind = "mlp", hidden = [8] }}\n{BAYES}',
    "estimators": f'{SMALL}dataset = {{ kind = "teacher", inputs = 3, examples = 40 }}\n{STUDENT}',
    "continual": f'{TWO}dataset = {{ kind = "permuted", tasks = 2 }}\nnetwork = {{ kind = "mlp", hidden = [8] }}',
    "weight_sharing": f'{SMALL}dataset = {{ kind = "digits", layout = "image" }}\n{KERNELS}',
    "recurrence": f'{SMALL}network = {{ kind = "recurrent", hidden = 2 }}\n{LENGTHS}',
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


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "two_synapses")) for kind in kinds("analysis")]
)
def test_analyses_pass(registry: Registry, run_file, kind: str) -> None:
    check_analysis(registry.kinds("analysis")[kind], run_file(RUNS.get(kind, RUN)))


class GoodNetwork(Network):
    """A correct architecture, from which faulty ones are derived."""

    kind: Literal["good"] = "good"

    def shapes(self, inputs, outputs):
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError("it takes and gives vectors")
        return [(*outputs, inputs[0] + 1)]

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
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).mean(0)}, r"member, batch, \*outputs"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + w[0].mean()}, "mixes members"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x - x.mean(0))}, "mixes examples"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).double()}, "float32 into"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, [w[0].mul_(1.5)], x)}, "in place"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x.clamp_(-0.1, 0.1))}, "changed its argument in place"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) * torch.nan}, "not finite"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + torch.ones(2, dtype=x.dtype)}, "another device"),
        ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x) + 0 * float(x.sum())}, "torch.func.vmap"),
        ({"gradients": doubled}, "gradient of layer 1 is"),
        ({"trace": without_bias}, "not the weights' gradient"),
    ],
)
def test_network_mistakes_are_caught(methods, message: str) -> None:
    check_network(GoodNetwork)
    with pytest.raises(AssertionError, match=message):
        check_network(type("Broken", (GoodNetwork,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class StraightSign(torch.autograd.Function):
    """A sign function with a straight-through gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


def binary(self, weights, x):
    return StraightSign.apply(GoodNetwork.forward(self, weights, x))


def partly_detached(self, weights, x):
    (w,) = weights
    return x @ w[..., :-1].transpose(1, 2) + w.detach()[..., None, :, -1]


def half(self, weights, x, residual, out):
    outputs = Network.gradients(self, weights, x, residual, out)
    out[0].mul_(0.5)
    return outputs


def spoils(self, weights, x, residual, out):
    outputs = Network.gradients(self, weights, x, residual, out)
    weights[0].zero_()
    return outputs


def cached_network(key):
    kept = {}

    def forward(self, weights, x):
        at = key(weights[0], x)
        if at not in kept:
            kept[at] = GoodNetwork.forward(self, weights, x).detach()
        return kept[at] + 0 * weights[0].sum() if weights[0].requires_grad else kept[at]

    return forward


def largest_input_so_far():
    seen = [0.0]

    def forward(self, weights, x):
        if x.device.type == "cpu":
            seen[0] = max(seen[0], float(x.detach().abs().max()))
        return GoodNetwork.forward(self, weights, x) / (1 + seen[0])

    return forward


def by_numpy(self, weights, x):
    return torch.from_numpy(np.tanh(GoodNetwork.forward(self, weights, x).numpy()))


def dropout(self, weights, x):
    return GoodNetwork.forward(self, weights, torch.nn.functional.dropout(x))


def overwrites(self, weights, x):
    z = GoodNetwork.forward(self, weights, x)
    y = z.exp()
    y.mul_(2)
    return y


NETWORK_MISTAKES = {
    "straight through": ({"forward": binary}, r"gradient of layer 1 is .*straight-through"),
    "half detached": ({"forward": partly_detached}, r"gradient of layer 1 is .*detach"),
    "half of a backward pass": ({"gradients": half}, r"gradient of layer 1 is"),
    "numpy": ({"forward": by_numpy}, "forward raised .*it uses numpy"),
    "in place, where autograd looks": ({"forward": overwrites}, "raised .*changes a tensor in place"),
    "gradients change the weights": ({"gradients": spoils}, "gradients changed its argument in place"),
    "dropout": ({"forward": dropout}, "forward draws random numbers"),
    "cache by the batch": (
        {"forward": cached_network(lambda w, x: (x.shape, x.dtype, x.device, w.shape))}, "forward returned what it"
    ),
    "largest input so far": ({"forward": largest_input_so_far()}, "after it was called with others: it keeps state"),
    "drops the member": ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).squeeze(0)}, "one member: squeeze"),
    "drops the example": ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).squeeze(1)}, "batch: squeeze"),
    "drops the output": ({"forward": lambda s, w, x: GoodNetwork.forward(s, w, x).squeeze(-1)}, "output: squeeze"),
    "no tensor": ({"forward": lambda s, w, x: None}, "forward returned NoneType, not a tensor"),
    "fails": ({"forward": lambda s, w, x: w[3]}, "forward raised IndexError"),
    "fails to give shapes": ({"shapes": lambda s, i, o: [(*o, *i) for _ in range(3)][3]}, "shapes raised IndexError"),
    "a trace that is none": ({"trace": lambda s, w, x: (1, 2, 3)}, "must return a Trace"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", NETWORK_MISTAKES)
def test_subtle_mistakes_of_a_network_are_named(mistake: str) -> None:
    methods, message = NETWORK_MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_network(type("Broken", (GoodNetwork,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
    assert str(caught.value).startswith("Broken.")


class GoodData(Dataset):
    """A correct data set, from which faulty ones are derived."""

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


class Chance:
    """A random generator of its own, without a fixed seed."""

    generator = torch.Generator()

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator)


CHANCE = Chance()


def changed_targets(change):
    return lambda self, split: (GoodData.load(self, split)[0], change(GoodData.load(self, split)[1]))


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"load": changed_targets(lambda y: y + 1)}, "from 0 to 1"),
        ({"load": changed_targets(lambda y: y.float())}, "int64"),
        ({"load": changed_targets(lambda y: y[:-1])}, "20 inputs and 19 targets"),
        (
            {"load": lambda self, split: (torch.randn(20, 3), torch.arange(20) % 2)},
            "draws from the global random generator",
        ),
        ({"load": lambda self, split: (CHANCE.normal(20, 3), torch.arange(20) % 2)}, "second time"),
        ({"load": lambda self, split: GoodData.load(self, "train")}, "test set is the training set"),
        ({"load": lambda self, split: GoodData.load(self, split if split == "train" else "test")}, "misspelt split"),
        ({"task": lambda self: "classes"}, "must return a Likelihood"),
        ({"class_names": lambda self: ("ape",)}, "a text for each of 2 outputs"),
    ],
)
def test_dataset_mistakes_are_caught(methods, message: str) -> None:
    check_dataset(GoodData)
    with pytest.raises(AssertionError, match=message):
        check_dataset(type("Broken", (GoodData,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


def shared_seed(self, split):
    torch.manual_seed({"train": 0, "test": 1}.get(split, 2))
    return torch.randn(20, 3) * self.noise, torch.arange(20) % 2


def by_key(self, split):
    return {name: GoodData.load(self, name) for name in ("train", "test")}[split]


@pytest.mark.parametrize(
    "load, message",
    [
        (
            lambda self, split: GoodData.load(self, split)[0],
            r"load\('train'\) returned Tensor: it must return two tensors",
        ),
        (
            lambda self, split: tuple(t.numpy() for t in GoodData.load(self, split)),
            "returned tuple: it must return two tensors",
        ),
        (lambda self, split: split.nonsense, r"load\('train'\) raised AttributeError"),
        (by_key, r"load\('nonsense'\) raised KeyError"),
        (shared_seed, "seeds or draws from the global random generator"),
    ],
)
def test_subtle_mistakes_of_a_data_set_are_named(load, message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        check_dataset(type("Broken", (GoodData,), {"load": load, "__doc__": "Broken.", "__module__": __name__}))
    assert str(caught.value).startswith("Broken.load")


class GoodAnalysis(Analysis):
    """A correct analysis, from which faulty ones are derived."""

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


def doubles(self, arrays, figure):
    arrays["sigma"] *= 2
    GoodAnalysis.draw(self, arrays, figure)


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"measure": lambda self, run: {"sigma": np.random.default_rng().normal(size=4)}}, "the second time"),
        ({"measure": lambda self, run: {"sigma": [[1.0], [2.0, 3.0]]}}, "measure: 'sigma' raised ValueError"),
        ({"statistics": lambda self, arrays: [1, 2]}, "statistics returned list"),
        ({"statistics": lambda self, arrays: {"a": 1.0}}, "a column is one number or text per row"),
        ({"statistics": lambda self, arrays: {"a": np.ones(2), "b": np.ones(3)}}, "differ in length"),
        ({"draw": doubles}, "draw changed the arrays in place"),
        ({"measure": lambda self, run: {"sigma": run.metric("nonsense")}}, "no metric 'nonsense'"),
        ({"measure": lambda self, run: {"sigma": np.array([object()])}}, "is not an array of numbers"),
        ({"draw": no_labels}, "no label"),
        ({"draw": nothing_finite}, "shows no finite values"),
        ({"draw": uses_up}, "draw changed the arrays"),
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
