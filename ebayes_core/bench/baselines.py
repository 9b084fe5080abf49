"""Baselines: a plain network, and a noisy network trained with a naive loop like that of the authors' code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebayes_core.bench.rows import Step
from ebayes_core.bench.setting import BATCH, CLASSES, EXAMPLES, PAPER, Shape, made_up

RATE = 5e-4


class Loop(Protocol):
    """A network with a training step on a minibatch, which returns the loss."""

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Take one training step."""


@dataclass(frozen=True)
class Alone:
    """One network on random minibatches; picklable, so that it can be sent to another process."""

    make: Callable[[Shape], Loop]
    shape: Shape = PAPER
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def __call__(self) -> Step:
        """Build the network and return its training step."""
        with torch.device(self.device):
            loop = self.make(self.shape)
        return on_minibatches(loop, self.shape.inputs, self.device, self.dtype)


def on_minibatches(loop: Loop, example: int | tuple[int, ...], device: str, dtype: torch.dtype = torch.float32) -> Step:
    """The step of a network on a random minibatch."""
    data = made_up(example, device=device)
    x = data.x.to(dtype)

    def step() -> Tensor:
        index = torch.randint(0, len(x), (BATCH,), device=x.device)
        return loop.step(x[index], data.y[index])

    return step


def perceptron(shape: Shape, linear: Callable[[int, int], nn.Module] = nn.Linear) -> nn.Sequential:
    """A multilayer perceptron made of the given linear layers."""
    widths = (shape.inputs, *shape.hidden, CLASSES)
    layers = [module for pre, post in itertools.pairwise(widths) for module in (linear(pre, post), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Plain:
    """A deterministic perceptron with PyTorch's fused Adam."""

    def __init__(self, shape: Shape, capturable: bool = False) -> None:
        self.model: nn.Module = perceptron(shape)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True, capturable=capturable)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute loss and gradient, and update with Adam."""
        self.optimiser.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimiser.step()
        return loss.detach()


class Naive:
    """A noisy perceptron with the membrane cost; autograd differentiates every term."""

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32, c: float = 0.1) -> None:
        self.c = c
        self.mu = [torch.empty(layer, dtype=dtype).uniform_(-0.1, 0.1).requires_grad_() for layer in shape.layers]
        self.phi = [torch.full(layer, -9.21, dtype=dtype).requires_grad_() for layer in shape.layers]
        self.optimiser = torch.optim.Adam([*self.mu, *self.phi], lr=RATE)

    def step(self, x: Tensor, y: Tensor, xi: Sequence[Tensor] | None = None) -> Tensor:
        """Compute loss and energy per example and their gradient, and update with Adam; xi is drawn if not given."""
        self.optimiser.zero_grad()
        objective = self.objective(x, y, xi or [torch.randn_like(m) for m in self.mu])
        objective.backward()
        self.optimiser.step()
        return objective.detach()

    def objective(self, x: Tensor, y: Tensor, xi: Sequence[Tensor], examples: int = EXAMPLES) -> Tensor:
        """The objective (Eq. 2-4) per example, with lambda = 1e-4."""
        energy: Tensor | float = 0.0
        last = len(self.mu) - 1
        for i, (m, p, noise) in enumerate(zip(self.mu, self.phi, xi, strict=True)):
            sigma = F.softplus(p)
            w = m + sigma * noise
            x = x @ w[:, :-1].T + w[:, -1]
            x = x if i == last else x.relu()
            energy = energy + self.c * sigma.pow(-2 / 3).sum() + 1e-4 * m.abs().sum()
        return F.cross_entropy(x, y) + energy / examples


def naive64(shape: Shape) -> Naive:
    """In double precision, like the authors' code."""
    return Naive(shape, torch.float64)
