"""Modules of torch as functions of their parameters, after a trial that they are nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ebayes_core.contract.network import Shape
from ebayes_core.errors import PluginError

TRIAL = 3  #: examples on which a module is tried


class Architecture(Protocol):
    """A network that builds a module; equal ones build the same."""

    kind: str

    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A newly initialised module."""

    def __hash__(self) -> int: ...


class Functional(NamedTuple):
    """A module, and the names, shapes and initial values of the parameters that are trained."""

    module: nn.Module
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    initial: list[Tensor]

    def __call__(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (batch, *outputs) with these weights in place of the parameters."""
        own = [self.module.get_parameter(name).shape for name in self.names]
        changed = {name: w.view(shape) for name, w, shape in zip(self.names, weights, own, strict=True)}
        constants = {n: t.to(x) if t.is_floating_point() else t.to(x.device) for n, t in _constants(self.module)}
        found: Tensor = torch.func.functional_call(self.module, constants | changed, (x,))
        return found


#: the shapes that a network was last asked about, by the shapes of its weights: a forward pass is not told its outputs
_ASKED: dict[tuple[Architecture, tuple[Shape, ...]], tuple[Shape, Shape]] = {}


def known(network: Architecture, inputs: Shape, outputs: Shape) -> Functional:
    """The module for these shapes, which is found again by the shapes of its weights."""
    found = _built(network, inputs, outputs, 0)
    _ASKED[network, found.shapes] = inputs, outputs
    return found


def like(network: Architecture, shapes: list[Shape], inputs: Shape | None = None, seed: int = 0) -> Functional:
    """The module whose weights have these shapes. Raises PluginError if `shapes` was not called before."""
    if (network, tuple(shapes)) not in _ASKED:
        raise PluginError(f"the network '{network.kind}' has to be asked for its shapes before any forward pass")
    last, outputs = _ASKED[network, tuple(shapes)]
    return _built(network, inputs or last, outputs, seed)


@lru_cache(maxsize=16)
def _built(network: Architecture, inputs: Shape, outputs: Shape, seed: int) -> Functional:
    """The module as its author initialises it with this seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        module = network.build(inputs, outputs)
        if not isinstance(module, nn.Module):
            raise TypeError(f"build returned {type(module).__name__}, not a torch.nn.Module")
        x = torch.rand(TRIAL, *inputs)
        _try(network.kind, module, x, outputs)
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not trained:
        raise PluginError(f"the network '{network.kind}': its module has no parameters to train")
    initial = [p.clone().view(p.shape or (1,)) for p in trained.values()]
    found = Functional(module, tuple(trained), tuple(tuple(p.shape) for p in initial), initial)
    _map(network.kind, found, x)
    return found


@torch.no_grad()
def _try(kind: str, module: nn.Module, x: Tensor, outputs: Shape) -> None:
    """Refuse a module whose outputs are not a function of its parameters and of each example alone."""
    found = _attempt(module, x)  # the first pass of a lazy module draws its parameters
    if found.shape != (TRIAL, *outputs):
        raise ValueError(f"its module returned outputs of shape {tuple(found.shape[1:])} for each example")
    before, chance = {n: t.clone() for n, t in module.named_buffers()}, torch.get_rng_state()
    again = _attempt(module, x)
    changed = [n for n, t in module.named_buffers() if not torch.equal(t, before[n])]
    says = f"the network '{kind}': its module "
    if not torch.equal(chance, torch.get_rng_state()):
        raise PluginError(
            f"{says}draws random numbers in its forward pass, as dropout does; all noise is that of the synapses: "
            "remove it, or call .eval() on the module"
        )
    if changed:
        raise PluginError(
            f"{says}changes its buffers {', '.join(changed)} in its forward pass, as batch normalisation does; call "
            ".eval() on the module, which makes them constants, or use one that looks at an example alone (GroupNorm)"
        )
    if not torch.allclose(_attempt(module, x[:1]), again[:1], rtol=1e-3, atol=1e-5):
        raise PluginError(f"{says}computes the outputs of an example also from the other examples of its batch")


def _map(kind: str, found: Functional, x: Tensor) -> None:
    """Refuse a module that torch cannot map over networks, or its gradients over examples."""

    def total(weights: list[Tensor], example: Tensor) -> Tensor:
        outputs: Tensor = torch.func.vmap(found.__call__, in_dims=(0, None))(weights, example[None])
        return outputs.sum()

    try:
        torch.func.vmap(torch.func.grad(total), in_dims=(None, 0))([w[None] for w in found.initial], x)
    except Exception as error:
        raise PluginError(
            f"the network '{kind}': torch.func cannot map its module over networks and examples; write what nn.RNN, "
            f"nn.LSTM, nn.GRU and their cells compute with nn.Linear; {type(error).__name__}: {error}"
        ) from error


def _attempt(module: nn.Module, x: Tensor) -> Tensor:
    try:
        found: Tensor = module(x)
    except Exception as error:
        raise ValueError(f"its module fails on such examples: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor):
        raise ValueError(f"its module returned {type(found).__name__}, not a tensor of outputs")
    return found


def _constants(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Buffers, and parameters that are not trained."""
    return [*module.named_buffers(), *((n, p) for n, p in module.named_parameters() if not p.requires_grad)]
