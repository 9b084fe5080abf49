"""A trained network as a results file has it: its architecture, its means, and how its weights are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ebayes_core.contract.slots import Network, Noise
from ebayes_core.engine import draws
from ebayes_core.engine.stacking import stack
from ebayes_core.errors import AbsentError, UserError
from ebayes_core.results.record import FREE
from ebayes_core.trained.plugins import plugin

if TYPE_CHECKING:
    from ebayes_core.contract.registry import Registry
    from ebayes_core.results.reader import Run

Free = dict[str, Tensor]
SIGMA = "sigma"


@dataclass(frozen=True)
class Trained:
    """A network's architecture, and per layer, shaped as its weights, the means and what their noise depends on."""

    network: Network
    noise: Noise
    mu: list[Tensor]
    free: list[Free]  #: sigma if weights are normal, otherwise the free parameters of the noise

    @property
    def shapes(self) -> list[torch.Size]:
        """Shape of each layer's weights."""
        return [m.shape for m in self.mu]

    def to(self, dtype: torch.dtype) -> Trained:
        """The same network in another floating-point type."""
        free = [{name: t.to(dtype) for name, t in layer.items()} for layer in self.free]
        return Trained(self.network, self.noise, [m.to(dtype) for m in self.mu], free)

    def xi(self, samples: int, times: list[int], generator: torch.Generator | None = None) -> list[Tensor]:
        """The noise of `samples` networks, per layer (samples, [draws,] *shape): normal, or uniform in [0, 1).

        times: draws of each layer, as the network tells. Equal for all networks of the same shapes and generator.
        """
        return [
            _base(self.noise, (samples, *[n] * (n > 1), *m.shape), m, generator)
            for m, n in zip(self.mu, times, strict=True)
        ]

    def weights(self, xi: list[Tensor]) -> list[Tensor]:
        """Weights drawn with this noise, per layer (samples, [draws,] *shape)."""
        return [
            drawn(self.noise, m, f, e.flatten(e.ndim - m.ndim)).unflatten(-1, m.shape)
            for m, f, e in zip(self.mu, self.free, xi, strict=True)
        ]


def drawn(noise: Noise, mu: Tensor, free: Free, xi: Tensor) -> Tensor:
    """Weights of one layer, shaped as xi, (samples, [draws,] synapses); mu and the free parameters are (*shape)."""
    each = {name: t.flatten().expand(len(xi), -1) for name, t in {"mu": mu, **free}.items()}
    mean = each.pop("mu")
    if noise.gaussian():
        return draws.over(mean, xi) + draws.over(each[SIGMA], xi) * xi
    return draws.drawn(stack([noise], mu.dtype, mu.device), mean, each, xi)


def _base(noise: Noise, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random numbers from the base distribution; drawn where the generator is, then moved."""
    numbers = torch.randn if noise.base == "normal" else torch.rand
    device = like.device if generator is None else generator.device
    return numbers(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def trained(run: Run, member: int, registry: Registry) -> Trained:
    """A network of a run, in the type in which it was trained.

    Raises UserError if its plugins are not registered, or for a file of an older ebayes that cannot be drawn from.
    """
    spec = run.member_spec(member)
    network, noise = (plugin(spec, slot, registry) for slot in ("network", "noise"))
    names, layers = {SIGMA: SIGMA}, range(1, run.n_layers(member) + 1)
    if not noise.gaussian():
        names = {name: FREE + name for name in stack([noise]).init(torch.zeros(1, 1))}
        _check_stored(run, member, noise, list(names.values()))
    read = lambda layer, name: torch.as_tensor(run.layer(member, layer, name))
    free = [{name: read(layer, stored) for name, stored in names.items()} for layer in layers]
    return Trained(network, noise, [read(layer, "mu") for layer in layers], free)


def check_member(run: Run, member: int) -> None:
    """Raise AbsentError if a run has no such network, and UserError if its training diverged."""
    if not 0 <= member < run.n_members:
        raise AbsentError(f"no network {member}; there are {run.n_members}, counted from 0")
    status = run.status[member]
    if status != "done":
        done = [str(i) for i, s in enumerate(run.status) if s == "done"]
        raise UserError(f"network {member} {status}; trained to the end were {', '.join(done[:20]) or 'none'}")


def _check_stored(run: Run, member: int, noise: Noise, names: list[str]) -> None:
    lacking = set(names) - set(run.layer_names(member))
    if lacking:
        raise UserError(
            f"{run.path}: an older ebayes wrote it without the free parameters of the noise '{noise.kind}', so its "
            "weights cannot be drawn again; run its spec again with --fresh"
        )
