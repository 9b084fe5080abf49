"""The peers compute what they claim: their gradients and steps are those of the naive loop, or of the publication."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from ebayes_core.bench import graphs, peers, population_peers
from ebayes_core.bench.baselines import Alone, Naive
from ebayes_core.bench.population_peers import Jax, Vmapped, costs, jax_adam, jax_step, vmapped_step
from ebayes_core.bench.setting import EXAMPLES, Shape, made_up
from ebayes_core.bench.timing import Effort, interleaved
from ebayes_core.errors import EbayesError

TINY = Shape(6, (5, 4))
MEMBERS, STEPS = 3, 2


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """A block that is skipped with the reason where its package is not installed."""
    try:
        yield
    except EbayesError as error:
        pytest.skip(str(error))


@pytest.fixture
def naive() -> list[Naive]:
    """A naive loop for each c, in double precision, from the same start but for the network."""
    torch.manual_seed(0)
    return [Naive(TINY, torch.float64, c) for c in costs(MEMBERS)]


@pytest.fixture
def given() -> list[tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]]:
    """Noise and a minibatch for each step."""
    torch.manual_seed(1)
    data = made_up(TINY.inputs, 40, 20)
    noise = lambda: [torch.randn(layer, dtype=torch.float64) for layer in TINY.layers]
    return [(noise(), data.x[i : i + 7].double(), data.y[i : i + 7]) for i in range(STEPS)]


def stacked(loops: list[Naive], name: str) -> list[torch.Tensor]:
    """The values of all loops, layer by layer."""
    layers = zip(*(getattr(loop, name) for loop in loops), strict=True)
    return [torch.stack([t.detach().clone() for t in layer]) for layer in layers]


def trained(loops: list[Naive], given) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    """Means, then phi, after the steps of the naive loops with the same noise and minibatches."""
    for xi, x, y in given:
        for loop in loops:
            loop.step(x, y, xi)
    return [*stacked(loops, "mu"), *stacked(loops, "phi")]


def test_the_vmapped_population_takes_the_naive_loops_steps(naive, given) -> None:  # type: ignore[no-untyped-def]
    values = [*stacked(naive, "mu"), *stacked(naive, "phi")]
    stacks = [values, *([torch.zeros_like(v) for v in values] for _ in range(2))]
    c = torch.tensor(costs(MEMBERS), dtype=torch.float64)
    for taken, (xi, x, y) in enumerate(given, 1):
        vmapped_step(stacks, xi, x, y, c, torch.tensor(float(taken), dtype=torch.float64), EXAMPLES)
    for mine, theirs in zip(values, trained(naive, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_the_population_in_jax_takes_the_naive_loops_steps(naive, given) -> None:  # type: ignore[no-untyped-def]
    with installed():
        jax = peers.wanted("jax")
    with jax.enable_x64(True):
        arrays = lambda tensors: [jax.numpy.asarray(t.numpy()) for t in tensors]
        start = list(zip(arrays(stacked(naive, "mu")), arrays(stacked(naive, "phi")), strict=True))
        state, c = (start, jax_adam().init(start)), jax.numpy.asarray(costs(MEMBERS))
        for xi, x, y in given:
            state = jax_step(state, arrays(xi), *arrays([x, y]), c, EXAMPLES)
        found = [torch.tensor(layer[i].tolist(), dtype=torch.float64) for i in (0, 1) for layer in state[0]]
    for mine, theirs in zip(found, trained(naive, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: Jax(2, TINY, 2), lambda: Vmapped(2, TINY)], ids=["jax", "vmap"])
@pytest.mark.slow
def test_the_compiled_populations_take_steps(make) -> None:  # type: ignore[no-untyped-def]
    with installed():
        step = make()()
    step()
    step()


def test_ivon_is_the_published_step() -> None:
    """Algorithm 1 of Shen et al. (2024): the precision first, then the mean, preconditioned by it."""
    torch.manual_seed(0)
    data = made_up(TINY.inputs, 20, 20)
    with installed():
        loop = peers.Ivon(TINY)
    group = loop.optimiser.param_groups[0]
    mean = torch.cat([p.detach().flatten() for p in loop.model.parameters()])
    h, decay, ess, rate = (group[name] for name in ("hess", "weight_decay", "ess", "lr"))
    torch.manual_seed(3)
    noise = torch.randn(mean.numel()) / (ess * (h + decay)).sqrt()
    gradient = plain_gradient(loop.model, mean + noise, data.x, data.y)
    torch.manual_seed(3)
    loop.step(data.x, data.y)
    new = hessian(h, gradient * noise * (h + decay) * ess, group["beta2"], decay)
    moved = mean - rate * (group["hess_init"] + decay) * (gradient + decay * mean) / (new + decay)
    torch.testing.assert_close(torch.cat([p.detach().flatten() for p in loop.model.parameters()]), moved)


def plain_gradient(model: torch.nn.Module, flat: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of the loss at these weights."""
    names, shapes = zip(*((name, p.shape) for name, p in model.named_parameters()), strict=True)
    parts = flat.split([shape.numel() for shape in shapes])
    leaves = [part.view(shape).clone().requires_grad_() for part, shape in zip(parts, shapes, strict=True)]
    outputs = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (x,))
    return torch.cat([g.flatten() for g in torch.autograd.grad(F.cross_entropy(outputs, y), leaves)])


def hessian(h: torch.Tensor, estimate: torch.Tensor, beta: float, decay: float) -> torch.Tensor:
    """The running mean of the estimate, with the term that keeps it positive."""
    return beta * h + (1 - beta) * estimate + (1 - beta) ** 2 * (h - estimate) ** 2 / (2 * (h + decay))


def test_absent_peers_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    rows = interleaved([*peers.variants(), *population_peers.in_jax("cpu")], Effort(1, 0.0, 1), lambda text: None)
    assert {row.problem.split("; ")[1] for row in rows} == {'pip install "ebayes[bench]"'}


@pytest.mark.parametrize("name", list(peers.PEERS))
def test_the_peers_that_are_installed_train(name: str) -> None:
    torch.manual_seed(0)
    data = made_up(TINY.inputs, 20, 20)
    with installed():
        loop = peers.PEERS[name](TINY)
    losses = [float(loop.step(data.x, data.y)) for _ in range(400)]
    assert sum(losses[-50:]) < sum(losses[:50])


def test_a_graph_is_refused_on_a_processor() -> None:
    with pytest.raises(EbayesError, match="needs a GPU"):
        graphs.Captured(TINY, "cpu")()


def test_jax_without_the_device_says_so() -> None:
    with installed():
        jax = peers.wanted("jax")
    with pytest.raises(EbayesError, match="JAX finds no rocm"):
        population_peers.jax_device(jax, "rocm")


def test_a_baseline_trains_on_its_device() -> None:
    step = Alone(Naive, TINY, device="cpu")()
    assert step().device.type == "cpu"
