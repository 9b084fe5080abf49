"""Populations of convolutional, recurrent and torch modules, beside the same module of torch trained alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from ebayes_core.bench import third_party
from ebayes_core.bench.baselines import Plain
from ebayes_core.bench.engines import Population
from ebayes_core.bench.modules import IMAGES, SEQUENCES, Rnn, convolutions
from ebayes_core.bench.rows import Step, Variant
from ebayes_core.bench.setting import BATCH, CLASSES, TESTS
from ebayes_core.contract.likelihoods import Classification
from ebayes_core.engine.data import Data

MANY, EXAMPLES = 16, 20_000
CONVOLUTIONS = {
    "kind": "convolutional", "hidden": [40],
    "layers": [{"channels": 16, "padding": 1}, {"channels": 32, "padding": 1, "stride": 2}],
}  # fmt: skip


class Module(Plain):
    """A deterministic module of torch with PyTorch's fused Adam."""

    def __init__(self, module: nn.Module) -> None:
        self.model = module
        self.optimiser = torch.optim.Adam(module.parameters(), lr=5e-4, fused=True)


@dataclass(frozen=True)
class ModuleAlone:
    """One module on random minibatches; picklable."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def __call__(self) -> Step:
        """Build the module and return its training step."""
        data, loop = examples(self.shape), Module(self.make())

        def step() -> Tensor:
            index = torch.randint(0, len(data.x), (BATCH,))
            return loop.step(data.x[index], data.y[index])

        return step


@dataclass(frozen=True)
class Shaped:
    """A population on images or sequences; picklable."""

    population: Population
    shape: tuple[int, ...]

    def __call__(self) -> Step:
        """Build the population and return its training step."""
        return self.population.step(examples(self.shape))


@lru_cache(maxsize=2)
def examples(shape: tuple[int, ...]) -> Data:
    """Random examples of this shape, with labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, *shape, generator=generator)
    y = torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)
    return Data(x, y, x[:TESTS], y[:TESTS], Classification(CLASSES))


def architectures() -> list[Variant]:
    """For each architecture, the module alone, then populations by descent and with the solver for sigma."""
    rnn = lambda noise: {"kind": "recurrent", "hidden": 150, "noise": noise}
    kernel, position = (CONVOLUTIONS | {"noise_per": per} for per in ("kernel", "position"))
    return [
        *_beside("convolution", convolutions, IMAGES, {"kernel": kernel, "position": position}),
        *_beside("recurrence", Rnn, SEQUENCES, {"frozen": rnn("frozen"), "fresh": rnn("fresh")}),
        Variant(
            f"{MANY} torch modules of convolutions",
            Shaped(Population(MANY, network={"kind": third_party.MODULE}), IMAGES), MANY, ("module",),
            "convolution",
        ),
    ]  # fmt: skip


def _beside(
    name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], kinds: dict[str, dict[str, Any]]
) -> list[Variant]:
    row = partial(Variant, section=name)
    rows = [row("the torch module alone, Adam(fused=True)", ModuleAlone(make, shape), tags=(f"{name} alone",))]
    for noise, network in kinds.items():
        for sigma in ("descent", "fixed_point"):
            start = Shaped(Population(MANY, network=network, sigma=sigma), shape)
            tags = (f"{name} {sigma}", f"{name} {noise} {sigma}")
            rows.append(row(f"{MANY} networks, noise per {noise}, sigma by {sigma}", start, MANY, tags))
    return rows
