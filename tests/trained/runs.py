"""Small runs for the tests of trained networks: one of each architecture and noise, and a module of a user's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import hookimpl
from ebayes_core.modules.network import module_network
from ebayes_core.results.reader import Run
from ebayes_core.sweeps.run import run

TEXT = """
name = "taken"
dataset = {{ kind = "digits", layout = "{layout}" }}
network = {network}
noise = {noise}
training = {{ epochs = 1, batch_size = 200 }}
measurement = {{ probe_examples = 20, samples = 50 }}
"""
ARCHITECTURES = {
    "mlp": ("flat", '{ kind = "mlp", hidden = [7, 5], activations = ["tanh", "softplus", "linear"] }'),
    "convolutional": (
        "image",
        '{ kind = "convolutional", layers = [{ channels = 3, size = 3, padding = 1, pool = 3 }, '
        "{ channels = 4, size = 2, stride = 2 }], hidden = [6] }",
    ),
    "mean pooling": (
        "image",
        '{ kind = "convolutional", layers = [{ channels = 5, size = 3, pool = 2 }], pooling = "mean" }',
    ),
    "position": (
        "image",
        '{ kind = "convolutional", layers = [{ channels = 3, stride = 3 }], noise_per = "position" }',
    ),
    "recurrent": ("rows", '{ kind = "recurrent", hidden = 5, noise = "fresh" }'),
    "module": ("image", '{ kind = "mine" }'),
}
NOISES = {
    "heterogeneous": '{ kind = "heterogeneous", sigma_0 = 0.1 }',
    "homogeneous": '{ kind = "homogeneous", sigma_0 = 0.1 }',
    "none": '{ kind = "none" }',
    "multiplicative": '{ kind = "multiplicative", k_0 = 0.5 }',
    "log_normal": '{ kind = "log_normal", cv_0 = 0.8 }',
    "bernoulli": '{ kind = "bernoulli", p_0 = 0.6 }',
    "binomial": '{ kind = "binomial", p_0 = 0.3, n = 4 }',
}


def build(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs[0], 2, 3), nn.GroupNorm(1, 2), nn.Tanh(), nn.Flatten(), nn.Linear(72, *outputs)
    )


Mine = module_network(build, "mine")


@cache
def everything() -> Registry:
    """The installed plugins and the user's module."""
    return Registry.of(SimpleNamespace(__name__="mine", ebayes_networks=hookimpl(lambda: [Mine])))


def ran(text: str, folder: Path | None = None, registry: Registry | None = None) -> Run:
    """The results of a spec's text, or of the same in a folder with files."""
    at, registry = folder or Path(mkdtemp()), registry or everything()
    path = at / "taken.toml"
    path.write_text(text, encoding="utf-8")
    run(spec.load(path, registry), text, registry, at / "taken.h5")
    return Run(at / "taken.h5")


@cache
def of(architecture: str = "mlp", noise: str = "heterogeneous") -> Run:
    """A run on digits."""
    layout, network = ARCHITECTURES[architecture]
    return ran(TEXT.format(layout=layout, network=network, noise=NOISES[noise]))


def stepwise(folder: Path) -> Run:
    """A run with outputs at every step of sequences."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 6, 3))
    np.savez(folder / "own.npz", x=x, y=(x[..., 0].cumsum(1) > 0).astype(int))
    text = TEXT.format(
        layout="rows",
        network='{ kind = "recurrent", hidden = 4, readout = "every" }',
        noise='{ kind = "heterogeneous", sigma_0 = 0.1 }',
    )
    return ran(text.replace('kind = "digits", layout = "rows"', 'kind = "arrays", train = "own.npz"'), folder)


def layers(found: Run, name: str, member: int = 0) -> list[Any]:
    """An array of every layer."""
    return [found.layer(member, i, name) for i in range(1, found.n_layers(member) + 1)]
