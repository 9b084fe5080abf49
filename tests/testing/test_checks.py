"""The checks that plugin authors call: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.contract.likelihoods import Classification
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, Cost, Dataset, Inference, Network, Noise, Trace
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run
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
from ebayes_plugins.networks import Convolutional, Mlp
from tests.plugins.test_networks import CONVOLUTIONAL

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


ACTIVATIONS = ("relu", "linear", "tanh", "softplus")
#: instances whose fields fit each other, for each architecture
NETWORKS = {
    "mlp": [Mlp(hidden=(4,), activations=(a, b)) for a in ACTIVATIONS for b in ACTIVATIONS],
    "convolutional": [Convolutional(**fields) for fields in CONVOLUTIONAL],
    "recurrent": [],
}


@pytest.mark.parametrize("kind", kinds("network"))
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


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "two_synapses")) for kind in kinds("analysis")]
)
def test_analyses_pass(registry: Registry, run_file, kind: str) -> None:
    check_analysis(registry.kinds("analysis")[kind], run_file(RUNS.get(kind, RUN)))


class GoodCost(Cost):
    """A correct cost, from which faulty ones are derived."""

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
    "rises with sigma": (lambda self, s, m: self.kappa * s, "increases with sigma"),
    "ignores sigma": (lambda self, s, m: self.kappa + 0 * s, "does not depend on sigma"),
    "wrong sign of the gradient": (lambda self, s, m: self.kappa * WrongBackward.apply(s), "gradient in sigma"),
    "detached": (lambda self, s, m: self.kappa / s.detach(), "gradient in sigma"),
    "not finite": (lambda self, s, m: self.kappa * (1 / s - 1e5).log(), "is not finite"),
    "double only": (lambda self, s, m: self.kappa * torch.ones(1, dtype=torch.float64) / s, "constant of a fixed type"),
    "single only": (lambda self, s, m: (self.kappa / s).float(), "constant of a fixed type"),
    "keeps state": (stateful(), "second time"),
    "changes its argument": (lambda self, s, m: self.kappa / s.mul_(1.5), "in place"),
    "bound to the CPU": (lambda self, s, m: self.kappa / s + torch.ones(1, dtype=s.dtype), "another device"),
    "decides by values": (lambda self, s, m: self.kappa / s if (s > 0).all() else s, "another device"),
    "no slope at zero": (
        lambda self, s, m: self.kappa / s + (m * m).sqrt(),
        "in mu is not finite at .*mu = 0.*replace .mu. by",
    ),
    "bound to the CPU, one number": (lambda self, s, m: (self.kappa / s).cpu(), "another device|changes the device"),
    "uses math": (lambda self, s, m: math.sqrt(self.kappa) / s, "tensor methods"),
    "is no tensor": (lambda self, s, m: 3.0, "not a tensor"),
}


def running_maximum():
    seen = torch.zeros(())

    def energy(self, sigma, mu):
        nonlocal seen
        seen = torch.maximum(seen, sigma.detach().max().cpu()) if sigma.device.type == "cpu" else seen
        return self.kappa / sigma * (1 + 1e-3 * float(seen))

    return energy


def cached(what):
    """Caches results by the shape and type of the arguments."""
    kept = {}

    def energy(self, sigma, mu):
        key = (sigma.shape, sigma.dtype, sigma.device)
        if key not in kept:
            kept[key] = what(self, sigma).detach()
        return kept[key] / sigma

    return energy


class HalfBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    def backward(ctx, grad):
        return -grad / (2 * ctx.saved_tensors[0] ** 2)


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return -grad / ctx.saved_tensors[0] ** 2


def through_numpy(self, sigma, mu):
    return self.kappa * torch.from_numpy(1 / sigma.numpy())


def overwritten(self, sigma, mu):
    price = (1 / sigma).sqrt()
    root = price**2
    price.mul_(2)  # which the power before needs for its slope
    return self.kappa * root


def straight(x):
    """Steps of a tenth of a decade, with a straight-through gradient."""
    steps = (10 * x.log10()).round() / 10
    return 10 ** (x.log10() + (steps - x.log10()).detach())


#: fifteen costs that were accepted, or refused by an exception of torch or in words that named another mistake
SUBTLE = {
    "flat over the upper half": (lambda s, sigma, m: s.kappa / sigma.clamp(max=0.03), "is constant from .* to 10:"),
    "flat below 1e-3, where training starts": (
        lambda s, sigma, m: s.kappa / sigma.clamp(min=1e-3), "is constant from sigma = 1e-06 to 0.001.*starts near 1e-4"
    ),
    "flat in the middle": (
        lambda s, sigma, m: 1 / sigma.clamp(max=0.1) + 1 / sigma.clamp(min=0.2), "is constant from sigma = 0.1 to 0.2"
    ),
    "drops an axis": (lambda s, sigma, m: (s.kappa / sigma).squeeze(0), r"shape \(1,\) for a single network"),
    "drops every axis of one": (lambda s, sigma, m: (s.kappa / sigma).squeeze(), r"shape \(\) for a single network"),
    "steep at the default start": (
        lambda s, sigma, m: s.kappa / sigma - 1e-9 * (sigma - 1e-4).abs().sqrt() * (sigma - 1e-4).sign(),
        "gradient in sigma is not finite at sigma = 0.0001",
    ),
    "steep in single precision alone": (
        lambda s, sigma, m: s.kappa / sigma - 1e-9 * (1 + sigma**2 - 1).sqrt(), "not finite in single precision at"
    ),
    "cache of the fields by shape": (cached(lambda s, sigma: s.kappa + 0 * sigma), "a cache must not contain"),
    "cache of the values by shape": (cached(lambda s, sigma: s.kappa / sigma), "keeps state|a cache must not contain"),
    "straight through": (lambda s, sigma, m: s.kappa / straight(sigma), "gradient in sigma is .*straight-through"),
    "half detached": (lambda s, sigma, m: 0.5 / sigma + 0.5 / sigma.detach(), "gradient in sigma is .*detach"),
    "half a backward pass": (lambda s, sigma, m: s.kappa * HalfBackward.apply(sigma), "gradient in sigma is"),
    "differentiable once": (lambda s, sigma, m: s.kappa * OnceOnly.apply(sigma), "differentiated: .* in sigma is 0"),
    "numpy": (through_numpy, "Broken.energy raised .* it uses numpy, .*write it with tensor methods"),
    "in place, where autograd looks": (overwritten, "Broken.energy raised RuntimeError.* changes a tensor in place"),
    "in place, without effect": (lambda s, sigma, m: s.kappa / sigma.clamp_(min=1e-9), "changes a tensor in place"),
    "mean over synapses": (lambda s, sigma, m: s.kappa / sigma * m.abs().mean(), "elementwise: .*do not use a mean"),
    "running maximum over synapses": (lambda s, sigma, m: 1 / sigma.cummax(-1).values, "not elementwise: .*running"),
    "running maximum over calls": (running_maximum(), "after it was called with others: it keeps state"),
    "random draw": (lambda s, sigma, m: s.kappa / sigma * (1 + torch.rand_like(sigma)), "draws random numbers"),
    "random draw of numpy": (lambda s, sigma, m: s.kappa / sigma * (1 + np.random.rand()), "draws random numbers"),
    "infinite where a mean is 0": (lambda s, sigma, m: s.kappa / (sigma * m.abs()), "is not finite at .*mu = 0"),
    "no slope where a mean is 0": (lambda s, sigma, m: (m.abs() / sigma) ** 0.4, "in .* is not finite at .*mu = 0"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", SUBTLE)
def test_subtle_mistakes_of_a_cost_are_named(mistake: str) -> None:
    energy, message = SUBTLE[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_cost(broken("Broken", energy))
    assert str(caught.value).startswith("Broken.energy")


class AtItsBound(GoodCost):
    """NaN at the lower bound of a field that is drawn uniformly in its logarithm."""

    kind: Literal["at_its_bound"] = "at_its_bound"
    knee: float = Field(1.0, ge=1e-6, le=100, description="where it levels off")

    def energy(self, sigma, mu):
        return (
            self.kappa / sigma * (1 + torch.sqrt(torch.as_tensor(self.knee - 1e-6)) / torch.as_tensor(self.knee - 1e-6))
        )


def test_bounds_of_fields_are_tried() -> None:
    with pytest.raises(AssertionError, match=r"AtItsBound.energy is not finite at .*knee=1e-06"):
        check_cost(AtItsBound)


@pytest.mark.parametrize(
    "energy",
    [
        lambda s, sigma, m: s.kappa * (m**2 + 1e-6).sqrt() / sigma,
        lambda s, sigma, m: m.abs() / sigma * s.kappa,  # a mean of 0 costs nothing
        lambda s, sigma, m: s.kappa * (-sigma).exp(),  # so small for a large sigma that it is 0
        lambda s, sigma, m: s.kappa * torch.nn.functional.softplus(-sigma.log()),
        lambda s, sigma, m: s.kappa * (1 + 1 / sigma).log(),
    ],
)
def test_costs_that_are_right_pass(energy) -> None:
    check_cost(broken("Right", energy))


def test_good_cost_passes() -> None:
    check_cost(GoodCost)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_cost_mistakes_are_caught(mistake: str) -> None:
    energy, message = MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message):
        check_cost(broken("Broken", energy))


class Idle(GoodCost):
    """Has a field without effect."""

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
    """A correct noise mode, from which faulty ones are derived."""

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


NOISE_MISTAKES = {
    "starts at random": ({"init": lambda s, mu: (s.sigma_0 + 1e-3 * torch.rand_like(mu)).log()}, "init draws random"),
    "starts where numpy says": (
        {"init": lambda s, mu: (s.sigma_0 * (1 + np.random.rand()) + 0 * mu).log()}, "init draws random numbers"
    ),
    "starts with an axis less": ({"init": lambda s, mu: (s.sigma_0 + 0 * mu).log().squeeze(0)}, "init of a network"),
    "starts as no tensor": ({"init": lambda s, mu: 0.1}, "init returned float, not a tensor"),
    "fails to start": ({"init": lambda s, mu: mu.nonsense}, "init raised AttributeError"),
    "drops an axis": ({"sigma": lambda s, phi: GoodNoise.sigma(s, phi).squeeze(0)}, "sigma returned shape .*squeeze"),
    "random": ({"sigma": lambda s, phi: phi.exp() * (1 + torch.rand_like(phi))}, "sigma draws random numbers"),
    "numpy": ({"sigma": lambda s, phi: torch.from_numpy(np.exp(phi.numpy()))}, "sigma raised .*it uses numpy"),
    "largest of the network": (
        {"sigma": lambda s, phi: phi.exp() / (1 + phi.exp().amax(-1, keepdim=True))}, "sigma is not elementwise"
    ),
    "straight through": ({"sigma": lambda s, phi: 10 ** straight(phi.exp()).log10()}, "autograd's gradient in phi"),
    "flat where training starts": ({"sigma": lambda s, phi: phi.clamp(min=-8, max=20).exp()}, "does not increase"),
    "no slope at 0": (
        {"sigma": lambda s, phi: GoodNoise.sigma(s, phi) * (2 + phi.abs().sqrt() * phi.sign() / 10)},
        "gradient in phi is not finite at phi = 0",
    ),
    "lost digits": ({"sigma": lambda s, phi: torch.where(phi < 20, (1 + phi.exp()).log(), phi)}, "inaccurate in"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", NOISE_MISTAKES)
def test_subtle_mistakes_of_a_noise_are_named(mistake: str) -> None:
    methods, message = NOISE_MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_noise(type("Broken", (GoodNoise,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
    assert str(caught.value).startswith("Broken.")


class GoodInference(Inference):
    """A correct objective, from which faulty ones are derived."""

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


def of(method: str, change):
    """GoodInference with a change to the result of one method."""
    given = getattr(GoodInference, method)
    return {method: lambda self, *arguments: change(given(self, *arguments), *arguments)}


INFERENCE_MISTAKES = {
    "half detached": (of("magnitude_cost", lambda v, m, s: (v + v.detach()) / 2), "autograd's gradient in mu"),
    "drops an axis": (of("reliability_cost", lambda v, m, s, c: v.squeeze(0)), "reliability_cost returned .*squeeze"),
    "random": (of("magnitude_cost", lambda v, m, s: v * torch.rand_like(v)), "magnitude_cost draws random numbers"),
    "mean over synapses": (of("reliability_cost", lambda v, m, s, c: v * m.abs().mean()), "cost is not elementwise"),
    "numpy": (of("magnitude_cost", lambda v, m, s: v * torch.from_numpy(np.abs(m.numpy()))), "it uses numpy"),
    "no slope at 0": (of("magnitude_cost", lambda v, m, s: v + m.abs().sqrt()), "in mu is not finite at .*mu = 0"),
    "no number in the prior's arguments": (
        {"log_prior": lambda self, m, s: m * np.random.rand()}, "log_prior draws random numbers"
    ),
    "a prior in place": ({"log_prior": lambda self, m, s: m.mul_(2)}, "log_prior changed its argument in place"),
    "a prior that fails": ({"log_prior": lambda self, m, s: m.nonsense}, "log_prior raised AttributeError"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", INFERENCE_MISTAKES)
def test_subtle_mistakes_of_an_inference_are_named(mistake: str) -> None:
    methods, message = INFERENCE_MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_inference(type("Broken", (GoodInference,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
    assert str(caught.value).startswith("Broken.")


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
