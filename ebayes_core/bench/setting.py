"""The architectures that are timed, and random data of a realistic size: its values do not affect the time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch

from ebayes_core.bench.rows import Step
from ebayes_core.contract.likelihoods import Classification
from ebayes_core.engine.data import Data

BATCH, EPOCHS = 20, 50
EXAMPLES = 60_000  #: as many as in MNIST, so that the data do not fit the caches
TESTS = 1_000
CLASSES = 10


@dataclass(frozen=True)
class Shape:
    """The widths of a multilayer perceptron."""

    inputs: int
    hidden: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its widths, as in 784-100-100-10."""
        return "-".join(map(str, (self.inputs, *self.hidden, CLASSES)))

    @property
    def layers(self) -> list[tuple[int, int]]:
        """The shape (post, pre + 1) of each layer, biases included."""
        return [(post, pre + 1) for pre, post in itertools.pairwise((self.inputs, *self.hidden, CLASSES))]

    @property
    def synapses(self) -> int:
        """Number of synapses."""
        return sum(map(prod, self.layers))


PAPER, DIGITS, WIDE = Shape(784, (100, 100)), Shape(64, (100, 100)), Shape(784, (1000, 1000))


@dataclass(frozen=True)
class On:
    """What prepares a step on a device; picklable, so that it can be sent to another process."""

    make: Callable[[str], Step]
    device: str = "cpu"

    def __call__(self) -> Step:
        """Prepare the step."""
        return self.make(self.device)


@lru_cache(maxsize=4)
def made_up(example: int | tuple[int, ...], examples: int = EXAMPLES, tests: int = TESTS, device: str = "cpu") -> Data:
    """Random examples of this shape, or with this number of inputs, and labels."""
    generator = torch.Generator().manual_seed(0)
    shape = (example,) if isinstance(example, int) else example
    x = torch.randn(max(examples, tests), *shape, generator=generator).to(device)
    y = torch.randint(0, CLASSES, (len(x),), generator=generator).to(device)
    return Data(x[:examples], y[:examples], x[:tests], y[:tests], Classification(CLASSES))
