"""Any `torch.nn.Module` as an architecture: its parameters become the layers, whatever their shapes.

A module is made into a kind in Python or in a plugin, and never by a path in a spec, because a spec runs no code.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import Field, create_model

from ebayes_core.contract.network import Shape
from ebayes_core.contract.slots import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

Build = Callable[[Shape, Shape], "nn.Module"]
M = TypeVar("M", bound="AbstractModule")


class AbstractModule(Network):
    """A module of torch; a subclass defines `build`.

    The outputs must be a function of the parameters and of each example alone: a module that draws random numbers, as
    dropout does, changes its buffers, as batch normalisation does, or mixes examples is refused. Parameters that do not
    require gradients, and buffers, are constants.
    """

    init: float = Field(1.0, gt=0, le=10, description="factor by which the module's own initial weights are multiplied")

    @abstractmethod
    def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """A newly initialised module from examples (batch, *inputs) to outputs (batch, *outputs)."""

    def shapes(self, inputs: Shape, outputs: Shape) -> list[Shape]:
        """The shape of each parameter, in the order of `named_parameters`; a single number is a vector of length 1.

        Must be called before any forward pass. Raises ValueError if the module fails on such examples or has other
        outputs, and PluginError if it is not a function of its parameters and of each example alone.
        """
        from ebayes_core.modules.functional import known

        return list(known(self._architecture, inputs, outputs).shapes)

    def biases(self, inputs: Shape, outputs: Shape) -> list[Tensor]:
        """Vectors with `bias` as a word of their name, as in nn.Linear, nn.RNN and nn.MultiheadAttention."""
        import torch

        from ebayes_core.modules.functional import known

        found = known(self._architecture, inputs, outputs)
        words = [set(name.split(".")[-1].split("_")) for name in found.names]
        return [torch.full(s, "bias" in w and len(s) == 1) for s, w in zip(found.shapes, words, strict=True)]

    def start(self, units: list[Tensor], seed: int) -> list[Tensor]:
        """The module's own initialisation with the seed, times `init`; the uniform draws are not used."""
        from ebayes_core.modules.functional import like

        found = like(self._architecture, [tuple(u.shape[1:]) for u in units], seed=seed)
        return [(self.init * w.to(u).flatten()).view(-1, *w.shape) for w, u in zip(found.initial, units, strict=True)]

    def plain(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """The module itself, with the constants that it had in training."""
        from copy import deepcopy

        from ebayes_core.modules.functional import known

        return deepcopy(known(self._architecture, inputs, outputs).module)

    def parameters(self, weights: list[Tensor]) -> list[Tensor]:
        """The weights, in which a vector of length 1 may stand for a single number."""
        from ebayes_core.modules.functional import like

        found = like(self._architecture, [tuple(w.shape) for w in weights])
        return [w.view(found.module.get_parameter(n).shape) for n, w in zip(found.names, weights, strict=True)]

    def weights(self, parameters: list[Tensor]) -> list[Tensor]:
        """The parameters; a single number becomes a vector of length 1."""
        return [p.view(p.shape or (1,)) for p in parameters]

    def single(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (batch, *outputs) of the module with these parameters."""
        from ebayes_core.modules.functional import like

        return like(self._architecture, [tuple(w.shape) for w in weights], tuple(x.shape[1:]))(weights, x)

    @property
    def _architecture(self) -> Self:
        """The network but for its initial means, on which its module does not depend."""
        return self.model_copy(update={"init": 1.0, "means": None, "means_member": None, "folder": None})


def module_network(build: Build, kind: str = "module") -> type[AbstractModule]:
    """A kind of network from a function (inputs, outputs) -> torch.nn.Module, to be registered as any plugin's class.

    inputs, outputs: the shapes of an example and of its outputs. A function or class that can be called without
    arguments, and does not name them so, is called without.

    >>> mine = module_network(lambda inputs, outputs: torch.nn.Linear(*inputs, *outputs), "readout")
    """

    made_by: Callable[..., nn.Module] = build
    alone = needs_nothing(build)

    class Made(AbstractModule):
        def build(self, inputs: Shape, outputs: Shape) -> nn.Module:
            return made_by() if alone else made_by(inputs, outputs)

    told = f"The module that {build.__name__} of {build.__module__} makes."
    return named(Made, kind, build.__module__, told)


def needs_nothing(build: Build) -> bool:
    """Whether a builder takes no shapes: its arguments have other names than ours, and all have defaults."""
    wanted = inspect.signature(build).parameters
    free = all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in wanted.values())
    return free and list(wanted)[:2] != ["inputs", "outputs"]


def named(base: type[M], kind: str, module: str, doc: str, **fields: Any) -> type[M]:
    """A subclass with this kind, module, docstring, and further fields."""
    of_kind = Literal[kind]  # type: ignore[valid-type]
    return create_model(kind, __base__=base, __module__=module, __doc__=doc, kind=(of_kind, kind), **fields)
