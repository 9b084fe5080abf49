"""Modules of torch as architectures: values, gradients and initial weights are theirs, and what has none is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import hookimpl
from ebayes_core.engine import preflight
from ebayes_core.engine.per_example import squared_gradients
from ebayes_core.errors import PluginError, UserError
from ebayes_core.measure.collect import measure
from ebayes_core.modules.network import AbstractModule, module_network
from tests.build import DIGITS, cohort, trained

INPUTS, OUTPUTS, MEMBERS = (3, 7), (2,), 2


class Gain(nn.Module):
    """A parameter that is a single number, a buffer, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.fixed = nn.Parameter(torch.tensor([0.5]), requires_grad=False)
        self.register_buffer("shift", torch.tensor([0.25]))

    def forward(self, x):
        return self.gain * x * self.fixed + self.shift


def build(inputs, outputs):
    first = (nn.Conv1d(inputs[0], 4, 3), nn.GroupNorm(2, 4), nn.Tanh())
    return nn.Sequential(*first, nn.Flatten(), Gain(), nn.LazyLinear(*outputs))


def built(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = build(INPUTS, OUTPUTS)
    module(torch.rand(3, *INPUTS))
    return module


def random_weights(network: AbstractModule) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    shapes = network.shapes(INPUTS, OUTPUTS)
    return [torch.randn(MEMBERS, *s, generator=chance, dtype=torch.float64) for s in shapes]


def test_outputs_and_squared_gradients_are_those_of_the_module() -> None:
    network = module_network(build)()
    weights = random_weights(network)
    x = torch.randn(5, *INPUTS, dtype=torch.float64)
    delta = torch.randn(MEMBERS, 5, *OUTPUTS, dtype=torch.float64)
    squares = squared_gradients(network, weights, x, lambda _: [delta])
    for member, outputs in enumerate(network.forward(weights, x)):
        module = built(0).double()
        trained_ = [p for p in module.parameters() if p.requires_grad]
        with torch.no_grad():
            for p, w in zip(trained_, weights, strict=True):
                p.copy_(w[member].view(p.shape))
        torch.testing.assert_close(outputs, module(x))
        total = [torch.zeros_like(w[member]) for w in weights]
        for example, d in zip(x, delta[member], strict=True):
            slopes = torch.autograd.grad(module(example[None]), trained_, d[None])
            total = [t + s.view(t.shape).square() for t, s in zip(total, slopes, strict=True)]
        torch.testing.assert_close([s[member] for s in squares], total)


def test_the_first_means_are_those_of_the_module_and_the_global_generator_is_left_alone() -> None:
    network = module_network(build)(init=0.5)
    network.shapes(INPUTS, OUTPUTS)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    units = [torch.zeros(1, *shape, dtype=torch.float64) for shape in network.shapes(INPUTS, OUTPUTS)]
    found = network.start(units, 5)
    assert torch.equal(before, torch.get_rng_state())
    expected = [p for p in built(5).parameters() if p.requires_grad]
    for mean, p in zip(found, expected, strict=True):
        assert mean.dtype == torch.float64 and mean.shape[0] == 1
        torch.testing.assert_close(mean[0], 0.5 * p.detach().double().view(mean.shape[1:]))


def test_biases_are_known_by_their_names() -> None:
    """Of the convolution and of the readout; what a group norm adds is called a bias too; a gain is none."""
    network = module_network(build)()
    shapes = network.shapes(INPUTS, OUTPUTS)
    marked = [bool(b.all()) for b in network.biases(INPUTS, OUTPUTS)]
    assert shapes == [(4, 3, 3), (4,), (4,), (4,), (1,), (2, 20), (2,)]
    assert marked == [False, True, False, True, False, False, True]


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(7, 2)

    def forward(self, x):
        return self.cell(x[:, 0])


class Averaged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Linear(21, 2)

    def forward(self, x):
        drives = self.readout(x.flatten(1))
        return drives - drives.mean(0)


@pytest.mark.parametrize(
    "module, error, message",
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(21, 2)), PluginError, "draws random numbers"),
        (
            lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(21, 2)),
            PluginError,
            "changes its buffers 0",
        ),
        (Averaged, PluginError, "also from the other examples"),
        (Cell, PluginError, "torch.func cannot map"),
        (nn.Flatten, ValueError, r"returned outputs of shape \(21,\)"),
        (lambda: nn.Linear(4, 2), ValueError, "fails on such examples: RuntimeError"),
        (lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(2)), PluginError, "no parameters"),
        (lambda: 3, TypeError, "build returned int"),
    ],
)
def test_what_is_not_a_function_of_weights_and_an_example_is_refused(module, error, message: str) -> None:
    network = module_network(lambda inputs, outputs: module())()
    with pytest.raises(error, match=message):
        network.shapes(INPUTS, OUTPUTS)


def test_frozen_statistics_and_silent_dropout_are_allowed() -> None:
    parts = lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Flatten(), nn.Dropout(), nn.Linear(21, 2)).eval()
    assert len(module_network(lambda inputs, outputs: parts())().shapes(INPUTS, OUTPUTS)) == 4


def digits(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(inputs), 5), nn.ReLU(), nn.Linear(5, *outputs))


def registry(build) -> Registry:
    return Registry.of(
        SimpleNamespace(__name__="mine", ebayes_networks=hookimpl(lambda: [module_network(build, "mine")]))
    )


def test_a_module_trains_from_its_own_initial_weights() -> None:
    """Its biases are layers of their own instead of last columns."""
    settings = ("noise.sigma_0=0.1", 'sweep={ "cost.c" = [0.01, 0.1] }', "measurement.probe_examples=30")
    c = cohort(registry(digits), DIGITS, 'network={ kind = "mine" }', *settings)
    state = c.start()
    preflight.check(c, state)
    torch.manual_seed(c.seed)
    for mine, p in zip(c.layered(state.parameters.mu), digits((64,), (10,)).parameters(), strict=True):
        torch.testing.assert_close(mine, p.detach().double().expand(2, *p.shape))
    result = measure(c, trained(c))[0]
    assert result.metrics["n_synapses"] == 64 * 5 + 5 + 50 + 10
    assert result.metrics["nll_train"] < 2.3 * c.data.examples
    assert 0 < result.metrics["sigma_rms_weights"] != result.metrics["sigma_rms"]


def test_a_module_that_does_not_fit_the_data_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"network 'mine' does not fit the data set 'digits', whose .*RuntimeError"):
        cohort(registry(lambda inputs, outputs: nn.Linear(5, *outputs)), DIGITS, 'network={ kind = "mine" }')
