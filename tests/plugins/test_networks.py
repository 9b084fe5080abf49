"""Built-in architectures against the modules of torch that compute the same, and squared gradients against loops."""

from __future__ import annotations

import math

import pytest
import torch

from ebayes_core.contract.slots import Network
from ebayes_core.engine.per_example import squared_gradients
from ebayes_plugins.networks import Convolutional, Mlp, Recurrent

MEMBERS, BATCH = 2, 5
CONVOLUTIONAL = [
    {"layers": [{"channels": 3, "size": 2}]},
    {"layers": [{"channels": 3, "padding": 1, "pool": 2}, {"channels": 4, "size": 2, "stride": 2}], "hidden": [5]},
    {"layers": [{"channels": 2, "size": 4, "stride": 3, "padding": 2, "pool": 2}], "pooling": "mean"},
]


def random(network: Network, inputs: tuple[int, ...], outputs: tuple[int, ...], batch: int = BATCH):
    """Weights as the engine passes them, and examples, in float64."""
    chance = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=chance, dtype=torch.float64)
    drawn = zip(network.shapes(inputs, outputs), network.draws(inputs, outputs), strict=True)
    return [draw(MEMBERS, *[n] * (n > 1), *shape) for shape, n in drawn], draw(batch, *inputs)


def by_examples(network: Network, weights, x, delta):
    """Squared gradients of single examples through autograd, summed over draws and examples."""
    total = [torch.zeros_like(w) for w in weights]
    for n, example in enumerate(x):
        slopes = [torch.empty_like(w) for w in weights]
        Network.gradients(network, weights, example[None], lambda _, n=n: delta[:, n : n + 1], slopes)
        total = [t + s.square() for t, s in zip(total, slopes, strict=True)]
    return [t.sum(1) if t.ndim == 4 else t for t in total]


def same_module(network: Convolutional, channels: int) -> torch.nn.Sequential:
    """The same architecture of torch's own layers."""
    parts: list[torch.nn.Module] = []
    pooling = torch.nn.MaxPool2d if network.pooling == "max" else torch.nn.AvgPool2d
    for k in network.layers:
        parts += [torch.nn.Conv2d(channels, k.channels, k.size, k.stride, k.padding), torch.nn.ReLU(), pooling(k.pool)]
        channels = k.channels
    parts += [torch.nn.Flatten()]
    for width in (*network.hidden, 4):
        parts += [torch.nn.LazyLinear(width), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1]).double()


def loaded(module: torch.nn.Sequential, weights: list[torch.Tensor]) -> torch.nn.Sequential:
    """The module with the weights of one network: torch has channels first, also where images become vectors."""
    layers = [m for m in module if hasattr(m, "weight")]
    convolutions = [m for m in layers if isinstance(m, torch.nn.Conv2d)]
    for m, w in zip(layers, weights, strict=True):
        matrix = w[:, :-1]
        if isinstance(m, torch.nn.Conv2d):
            matrix = matrix.unflatten(1, (*m.kernel_size, m.in_channels)).movedim(-1, 1)
        elif m is layers[len(convolutions)]:
            channels = convolutions[-1].out_channels
            matrix = matrix.unflatten(1, (-1, channels)).transpose(1, 2).flatten(1)
        with torch.no_grad():
            m.weight.copy_(matrix), m.bias.copy_(w[:, -1])
    return module


@pytest.mark.parametrize("fields", CONVOLUTIONAL)
def test_a_convolutional_network_is_that_of_torch_with_the_same_weights(fields) -> None:
    network = Convolutional(**fields)
    weights, x = random(network, (3, 9, 7), (4,))
    module = same_module(network, 3)
    module(x)
    for member, outputs in enumerate(network.forward(weights, x)):
        torch.testing.assert_close(outputs, loaded(module, [w[member] for w in weights])(x))


@pytest.mark.parametrize("noise_per", ["kernel", "position"])
@pytest.mark.parametrize("fields", CONVOLUTIONAL)
def test_squared_gradients_of_kernels_are_those_of_single_examples(fields, noise_per: str, monkeypatch) -> None:
    """Also if only some examples are held at a time."""
    network = Convolutional(**fields, noise_per=noise_per)
    weights, x = random(network, (3, 9, 7), (4,))
    delta = torch.randn(2, MEMBERS, BATCH, 4, dtype=torch.float64)
    expected = [sum(parts) for parts in zip(*(by_examples(network, weights, x, d) for d in delta), strict=True)]
    for held in (1, 300, 2**18):
        monkeypatch.setattr("ebayes_core.engine.per_example.HELD", held)
        found = squared_gradients(network, weights, x, lambda _: delta)
        for ours, theirs, shape in zip(found, expected, network.shapes((3, 9, 7), (4,)), strict=True):
            assert ours.shape == (MEMBERS, *shape)
            torch.testing.assert_close(ours, theirs)


def test_equal_draws_at_all_positions_are_one_draw() -> None:
    shared, separate = (Convolutional(**CONVOLUTIONAL[1], noise_per=per) for per in ("kernel", "position"))
    weights, x = random(shared, (3, 9, 7), (4,))
    draws = separate.draws((3, 9, 7), (4,))
    assert draws == separate.copies((3, 9, 7), (4,)) == [63, 2, 1, 1]
    assert shared.copies((3, 9, 7), (4,)) == [1, 1, 1, 1]
    copied = [w[:, None].expand(-1, n, -1, -1) if n > 1 else w for w, n in zip(weights, draws, strict=True)]
    torch.testing.assert_close(separate.forward(copied, x), shared.forward(weights, x))


def test_the_curvature_of_a_kernel_entry() -> None:
    """One kernel entry and the mean over all positions: H = E[(sum_pos x / n)^2], or sum_pos E[x^2] / n^2."""
    layers = [{"channels": 1, "size": 1, "pool": 4}]
    x = torch.randn(7, 1, 4, 4, dtype=torch.float64)
    expected = {"kernel": x.sum((1, 2, 3)).square().sum() / 256, "position": x.square().sum() / 256}
    for per, known in expected.items():
        network = Convolutional(layers=layers, pooling="mean", activation="linear", noise_per=per)
        weights = [torch.ones(1, *[16] * (per == "position"), 1, 2).double(), torch.ones(1, 1, 2).double()]
        found = squared_gradients(network, weights, x, lambda o: [torch.ones_like(o)])
        assert found[0][0, 0, 0].item() == pytest.approx(known.item())


RECURRENT = [
    Recurrent(hidden=4, readout=readout, activation=activation, noise=noise)
    for readout in ("last", "every")
    for activation, noise in (("tanh", "fresh"), ("relu", "frozen"), ("linear", "fresh"))
]
STEPS, INPUTS = 6, 3


def of_sequences(network: Recurrent) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (STEPS, INPUTS), (2,) if network.readout == "last" else (STEPS, 2)


@pytest.mark.parametrize("readout", ["last", "every"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_recurrent_network_is_that_of_torch_with_the_same_weights(readout: str, activation: str) -> None:
    network = Recurrent(hidden=4, readout=readout, activation=activation, noise="frozen")
    weights, x = random(network, *of_sequences(network))
    for member, outputs in enumerate(network.forward(weights, x)):
        recurrent, readouts = (w[member] for w in weights)
        module = torch.nn.RNN(INPUTS, 4, nonlinearity=activation, batch_first=True).double()
        with torch.no_grad():
            module.weight_ih_l0.copy_(recurrent[:, :INPUTS]), module.weight_hh_l0.copy_(recurrent[:, INPUTS:-1])
            module.bias_ih_l0.copy_(recurrent[:, -1]), module.bias_hh_l0.zero_()
        states = module(x)[0]
        expected = torch.nn.functional.linear(states, readouts[:, :-1], readouts[:, -1])
        torch.testing.assert_close(outputs, expected if readout == "every" else expected[:, -1])


@pytest.mark.parametrize("network", RECURRENT, ids=str)
def test_explicit_gradients_and_squares_through_time_are_those_of_autograd(network: Recurrent, monkeypatch) -> None:
    inputs, outputs = of_sequences(network)
    weights, x = random(network, inputs, outputs)
    delta = torch.randn(MEMBERS, BATCH, *outputs, dtype=torch.float64)
    own, reference = ([torch.full_like(w, torch.nan) for w in weights] for _ in range(2))
    torch.testing.assert_close(network.gradients(weights, x, lambda _: delta, own), network.forward(weights, x))
    Network.gradients(network, weights, x, lambda _: delta, reference)
    torch.testing.assert_close(own, reference)
    monkeypatch.setattr("ebayes_core.engine.per_example.HELD", 100)
    squares = squared_gradients(network, weights, x, lambda _: [delta])
    torch.testing.assert_close(squares, by_examples(network, weights, x, delta))


@pytest.mark.parametrize("noise, known", [("fresh", 66.0), ("frozen", 506.0)])
def test_the_curvature_of_a_perfect_integrator(noise: str, known: float) -> None:
    """x' = w x + u at w = 1: H = s^2 T (T - 1) / 2 fresh, s^2 (T - 1) T (2 T - 1) / 6 frozen, here in expectation.

    The states are exact functions of the inputs, so that orthogonal inputs in place of random ones give E exactly.
    """
    steps, s = 12, 0.7
    network = Recurrent(hidden=1, activation="linear", noise=noise)
    inputs, outputs = (steps, 1), (1,)
    one = [torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0]])]  # input, recurrence and bias; readout and bias
    drawn = zip(one, network.draws(inputs, outputs), strict=True)
    weights = [w.double().expand(1, *[n] * (n > 1), *w.shape) for w, n in drawn]
    x = s * steps**0.5 * torch.eye(steps, dtype=torch.float64)[..., None]  # the mean of u u^T over examples is s^2 I
    squares = squared_gradients(network, weights, x, lambda o: [torch.ones_like(o)])
    assert squares[0][0, 0, 1].item() / steps == pytest.approx(s**2 * known)


def test_fresh_noise_that_is_the_same_at_each_step_is_frozen() -> None:
    fresh, frozen = (Recurrent(hidden=4, readout="every", noise=noise) for noise in ("fresh", "frozen"))
    inputs, outputs = of_sequences(fresh)
    weights, x = random(frozen, inputs, outputs)
    assert fresh.draws(inputs, outputs) == [STEPS, STEPS] and frozen.draws(inputs, outputs) == [1, 1]
    copied = [w[:, None].expand(-1, STEPS, -1, -1) for w in weights]
    torch.testing.assert_close(fresh.forward(copied, x), frozen.forward(weights, x))


def test_a_second_derivative_of_the_trace_is_refused() -> None:
    network = Recurrent(hidden=2)
    weights, x = random(network, (STEPS, INPUTS), (2,))
    leaves = [w.requires_grad_() for w in weights]
    outputs = network.trace(leaves, x).outputs
    (slope,) = torch.autograd.grad(outputs.sin().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()


@pytest.mark.parametrize(
    "network, inputs, outputs, message",
    [
        (Convolutional(), (64,), (10,), r"it needs images, \(channels, rows, columns\)"),
        (Convolutional(), (1, 8, 8), (5, 10), "gives one vector of outputs"),
        (Convolutional(), (1, 4, 8), (10,), "images of 2 x 6 are too small for its layer 2, kernels of 3 x 3"),
        (Convolutional(layers=[{"pool": 7}]), (1, 8, 8), (10,), "images of 8 x 8 .* with pool = 7"),
        (Mlp(), (8, 8), (8, 10), "one vector for each example"),
        (Recurrent(), (64,), (10,), r"it needs sequences, \(steps, inputs\)"),
        (Recurrent(), (8, 8), (8, 10), 'set readout = "every"'),
        (Recurrent(readout="every"), (8, 8), (10,), 'set readout = "last"'),
        (Recurrent(readout="every"), (8, 8), (7, 10), "outputs at every step"),
    ],
)
def test_data_that_do_not_fit_are_refused(network: Network, inputs, outputs, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network.shapes(inputs, outputs)


def test_a_perceptron_reads_an_example_of_any_shape_as_one_vector() -> None:
    network = Mlp(hidden=(3,))
    weights, x = random(network, (2, 3, 4), (2,))
    assert network.shapes((2, 3, 4), (2,)) == network.shapes((math.prod((2, 3, 4)),), (2,))
    torch.testing.assert_close(network.forward(weights, x), network.forward(weights, x.flatten(1)))
