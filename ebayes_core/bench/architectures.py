"""Populations of convolutional, recurrent and torch modules, beside the same module of torch trained alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ebayes_core.bench import third_party
from ebayes_core.bench.baselines import Plain, on_minibatches
from ebayes_core.bench.engines import Population
from ebayes_core.bench.modules import IMAGES, SEQUENCES, Rnn, convolutions
from ebayes_core.bench.rows import Step, Variant

MANY = 16
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
    device: str = "cpu"

    def __call__(self) -> Step:
        """Build the module and return its training step."""
        with torch.device(self.device):
            loop = Module(self.make())
        return on_minibatches(loop, self.shape, self.device)


def architectures() -> list[Variant]:
    """For each architecture, the module alone, then populations by descent and with the solver for sigma."""
    rnn = lambda noise: {"kind": "recurrent", "hidden": 150, "noise": noise}
    kernel, position = (CONVOLUTIONS | {"noise_per": per} for per in ("kernel", "position"))
    module = Population(MANY, network={"kind": third_party.MODULE}, example=IMAGES)
    return [
        *_beside("convolution", convolutions, IMAGES, {"per kernel": kernel, "per position": position}),
        *_beside("recurrence", Rnn, SEQUENCES, {"frozen": rnn("frozen"), "fresh": rnn("fresh")}),
        Variant(f"{MANY} torch modules of convolutions", module, MANY, ("module",), "convolution"),
    ]


def _beside(
    name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], kinds: dict[str, dict[str, Any]]
) -> list[Variant]:
    row, alone = partial(Variant, section=name), ModuleAlone(make, shape)
    rows = [row("the torch module alone, Adam(fused=True)", alone, tags=(f"{name} alone",), baseline=True)]
    for noise, network in kinds.items():
        for sigma in ("descent", "fixed_point"):
            start = Population(MANY, network=network, example=shape, sigma=sigma)
            rows.append(row(f"{MANY} networks, noise {noise}, sigma by {sigma}", start, MANY, (f"{name} {sigma}",)))
    return rows
