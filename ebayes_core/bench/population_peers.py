"""Populations as one would write them today: in JAX, compiled by XLA, and with torch's vmap, compiled by inductor.

Both train the networks of the naive loop (`baselines.Naive`), which differ in c, with one noise and one minibatch for
all of them, and take each step as one compiled function.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ebayes_core.bench.baselines import RATE
from ebayes_core.bench.engines import MEMBERS
from ebayes_core.bench.peers import wanted
from ebayes_core.bench.rows import Step, Variant
from ebayes_core.bench.setting import BATCH, EXAMPLES, PAPER, Shape, made_up
from ebayes_core.errors import EbayesError

STEPS = {"cpu": 1, "cuda": 100}  #: steps of one call of the population in JAX, whose dispatch takes longer than a GPU's
SIZES = {"cpu": (MEMBERS,), "cuda": (1, MEMBERS, 128, 512)}
BETAS, EPSILON = (0.9, 0.999), 1e-8
Layers = Sequence[Tensor]


def in_jax(device: str) -> list[Variant]:
    """Populations in JAX of the sizes of the goals."""
    row, steps = partial(Variant, section=PAPER.name), STEPS[device]
    named = "population in JAX, {} networks".format
    return [row(named(k), Jax(k, steps=steps), k * steps, (f"jax {k}",)) for k in SIZES[device]]


def vmapped() -> Variant:
    """The population with torch's vmap."""
    name = f"population with torch.func.vmap and torch.compile, {MEMBERS} networks"
    return Variant(name, Vmapped(), MEMBERS, ("vmap",), PAPER.name)


def costs(members: int) -> list[float]:
    """The c of each network."""
    return torch.logspace(-2, 1, members).tolist()


@dataclass(frozen=True)
class Jax:
    """A population in JAX, with optax's Adam; the steps of one call are a `scan`."""

    members: int = MEMBERS
    shape: Shape = PAPER
    steps: int = 1
    device: str = "cpu"

    def __call__(self) -> Step:
        """Build the population and return a function that takes its steps. Raises EbayesError without the GPU."""
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the other rows need memory too
        jax, data = wanted("jax"), made_up(self.shape.inputs)
        place = jax_device(jax, self.device)
        x, y, c = (jax.device_put(a, place) for a in (data.x.numpy(), data.y.numpy(), costs(self.members)))
        with jax.default_device(place):
            carried = [self._start(jax), jax.random.key(0)]
            take = jax_steps(jax.numpy.asarray(c), EXAMPLES, self.steps)

        def step() -> None:
            carried[:] = take(*carried, x, y)
            jax.block_until_ready(carried[0])

        return step

    def _start(self, jax: Any) -> Any:
        """Parameters and the optimizer's state."""
        keys = jax.random.split(jax.random.key(1), len(self.shape.layers))
        uniform = partial(jax.random.uniform, minval=-0.1, maxval=0.1)
        shapes = [(self.members, *layer) for layer in self.shape.layers]
        parameters = [(uniform(k, s), jax.numpy.full(s, -9.21)) for k, s in zip(keys, shapes, strict=True)]
        return parameters, jax_adam().init(parameters)


def jax_device(jax: Any, name: str) -> Any:
    """The device of JAX. Raises EbayesError if JAX cannot use it."""
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        raise EbayesError(f"JAX finds no {name}; install its package for this device") from None


def jax_adam() -> Any:
    """Adam with the rates of the baselines."""
    return wanted("optax").adam(RATE, *BETAS, EPSILON)


def jax_objective(parameters: Any, xi: Any, x: Any, y: Any, c: Any, examples: int) -> Any:
    """The objective per example (Eq. 2-4) of one network, for jax.grad."""
    jax, optax = wanted("jax"), wanted("optax")
    energy = 0.0
    for i, ((mu, phi), noise) in enumerate(zip(parameters, xi, strict=True)):
        sigma = jax.nn.softplus(phi)
        w = mu + sigma * noise
        x = x @ w[:, :-1].T + w[:, -1]
        x = x if i == len(xi) - 1 else jax.nn.relu(x)
        energy = energy + c * (sigma ** (-2 / 3)).sum() + 1e-4 * abs(mu).sum()
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean() + energy / examples


def jax_step(state: Any, xi: Any, x: Any, y: Any, c: Any, examples: int) -> Any:
    """The state after one step of all networks, which share xi and the minibatch."""
    jax, optax = wanted("jax"), wanted("optax")
    parameters, memory = state
    each = jax.vmap(jax.grad(jax_objective), (0, None, None, None, 0, None))
    updates, memory = jax_adam().update(each(parameters, xi, x, y, c, examples), memory)
    return optax.apply_updates(parameters, updates), memory


def jax_steps(c: Any, examples: int, steps: int) -> Callable[..., Any]:
    """The compiled function from state, key and data to the state and key after some steps."""
    jax = wanted("jax")

    def one(x: Any, y: Any, carried: Any, _: None) -> Any:
        state, key = carried
        key, *drawn = jax.random.split(key, 2 + len(state[0]))
        xi = [jax.random.normal(k, mu.shape[1:]) for k, (mu, _) in zip(drawn[1:], state[0], strict=True)]
        index = jax.random.randint(drawn[0], (BATCH,), 0, len(x))
        return (jax_step(state, xi, x[index], y[index], c, examples), key), None

    def some(state: Any, key: Any, x: Any, y: Any) -> Any:
        return jax.lax.scan(partial(one, x, y), (state, key), None, length=steps)[0]

    return jax.jit(some, donate_argnums=0)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Vmapped:
    """A population of stacked parameters: gradients by vmap, and Adam, both compiled.

    As one function they are too much for inductor (2.14), which fails with a KeyError.
    """

    members: int = MEMBERS
    shape: Shape = PAPER
    device: str = "cpu"

    def __call__(self) -> Step:
        """Build the population and return its training step."""
        data = made_up(self.shape.inputs, device=self.device)
        with torch.device(self.device):
            stacks, c = self.start(), torch.tensor(costs(self.members))
            xi = [torch.empty(layer) for layer in self.shape.layers]
        compiled = partial(torch.compile, dynamic=False)
        slopes, update, taken = compiled(vmapped_slopes), compiled(adam), torch.zeros((), device=self.device)

        def step() -> None:
            index = torch.randint(0, len(data.x), (BATCH,), device=data.x.device)
            taken.add_(1)
            drawn = [t.normal_() for t in xi]
            update(stacks, slopes(stacks[0], c, drawn, data.x[index], data.y[index], EXAMPLES), taken)

        return step

    def start(self) -> list[list[Tensor]]:
        """Means and phi of each layer, then Adam's first and second moments of both."""
        shapes = [(self.members, *layer) for layer in self.shape.layers]
        values = [*(torch.empty(s).uniform_(-0.1, 0.1) for s in shapes), *(torch.full(s, -9.21) for s in shapes)]
        return [values, *([torch.zeros_like(v) for v in values] for _ in BETAS)]


def vmapped_objective(values: Layers, c: Tensor, xi: Layers, x: Tensor, y: Tensor, examples: int) -> Tensor:
    """The objective per example (Eq. 2-4) of one network; values are its means, then phi."""
    energy: Tensor | float = 0.0
    last = len(xi) - 1
    for i, (mu, phi, noise) in enumerate(zip(values[: last + 1], values[last + 1 :], xi, strict=True)):
        sigma = F.softplus(phi)
        w = mu + sigma * noise
        x = x @ w[:, :-1].T + w[:, -1]
        x = x if i == last else x.relu()
        energy = energy + c * sigma.pow(-2 / 3).sum() + 1e-4 * mu.abs().sum()
    return F.cross_entropy(x, y) + energy / examples


def vmapped_step(
    stacks: list[list[Tensor]], xi: Layers, x: Tensor, y: Tensor, c: Tensor, taken: Tensor, examples: int
) -> None:
    """One step of all networks in place, the `taken`-th from 1."""
    adam(stacks, vmapped_slopes(stacks[0], c, xi, x, y, examples), taken)


def vmapped_slopes(values: list[Tensor], c: Tensor, xi: Layers, x: Tensor, y: Tensor, examples: int) -> list[Tensor]:
    """The gradients of all networks, which share xi and the minibatch."""
    each = torch.func.vmap(torch.func.grad(vmapped_objective), (0, 0, None, None, None, None))
    return list(each(values, c, xi, x, y, examples))


def adam(stacks: list[list[Tensor]], slopes: list[Tensor], taken: Tensor) -> None:
    """A step of Adam in place."""
    corrections = [1 - beta**taken for beta in BETAS]
    for value, first, second, g in zip(*stacks, slopes, strict=True):
        first.lerp_(g, 1 - BETAS[0])
        second.lerp_(g * g, 1 - BETAS[1])
        value.sub_(RATE * first / corrections[0] / ((second / corrections[1]).sqrt() + EPSILON))
