"""The slot `network`: outputs as a function of weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor, nn

Shape = tuple[int, ...]


class Trace(NamedTuple):
    """Intermediate quantities of a network of linear layers on a batch, sufficient for per-example gradients.

    A layer that an example uses many times, as a kernel over an image or a matrix over the steps of a sequence, has an
    axis of positions. Its weights are a matrix (post, pre); nothing is assumed about which of them are biases.
    """

    outputs: Tensor  #: (member, batch, *outputs)
    inputs: list[Tensor]  #: per layer (batch, [positions,] pre), or (member, batch, [positions,] pre)
    drives: list[Tensor]  #: per layer (member, batch, [positions,] post), before the activation; in the autograd graph


class Network(Plugin):
    """An architecture: the outputs as a function of the weights. A bias is a synapse from a unit that is always 1 (Eq.
    6).

    Either `forward` or `single` must be defined. The shape of an example is (inputs,), (channels, rows, columns) or
    (steps, inputs); that of its outputs is (outputs,), or (steps, outputs) if there is a loss at every step.
    """

    slot: ClassVar[str] = "network"
    advice: ClassVar[str] = (
        "; a torch.nn.Module becomes a kind in Python or in a plugin, since a spec runs no code: docs/write_a_plugin.md"
    )
    init: float = Field(0.1, gt=0, le=10, description="initial means are uniform in [-init, init]")

    @classmethod
    def undefined(cls) -> list[str]:
        """What a class still has to define; one of the two forward passes is enough."""
        own = any(getattr(cls, name) is not getattr(Network, name) for name in ("forward", "single"))
        return super().undefined() + ([] if own else ["forward or single"])

    @abstractmethod
    def shapes(self, inputs: Shape, outputs: Shape) -> list[Shape]:
        """Shape of each layer's weights, without the member axis; (post, pre + 1) for a linear layer with biases.

        Raises ValueError with what it needs if it cannot take examples of shape `inputs`, or give such outputs.
        """

    def biases(self, inputs: Shape, outputs: Shape) -> list[Tensor] | None:
        """Which weights are biases: per layer a boolean tensor of the weights' shape; None if unknown.

        The engine does not assume that any column is a bias; without this method, what it reports of the weights
        without biases is NaN.
        """
        return None

    def draws(self, inputs: Shape, outputs: Shape) -> list[int]:
        """How many independent draws of each layer's weights a forward pass uses: 1 unless noise is fresh at each use.

        The weights of a layer with n > 1 draws are passed as (member, n, *shape). If such a layer has a trace, it has n
        positions, and each position uses the draw of its number.
        """
        return [1] * len(self.shapes(inputs, outputs))

    def copies(self, inputs: Shape, outputs: Shape) -> list[int]:
        """How many synapses share a mean and a sigma in each layer; the costs of the layer are multiplied by it."""
        return [1] * len(self.shapes(inputs, outputs))

    def start(self, units: list[Tensor], seed: int) -> list[Tensor]:
        """Initial means of each layer, (1, *shape).

        units: per layer (1, *shape), drawn uniformly from [-1, 1] with the seed.
        """
        return [self.init * unit for unit in units]

    def plain(self, inputs: Shape, outputs: Shape) -> nn.Module | None:
        """A module of torch with the same layers, from (batch, *inputs) to (batch, *outputs); None if there is none.

        A trained network is taken out as this module, with the mean weights as its parameters, and a module trained
        elsewhere is taken in. Its parameters that require a gradient, in the order of `parameters()`, are those that
        `parameters` returns; its initial values do not matter.
        """
        return None

    def parameters(self, weights: list[Tensor]) -> list[Tensor]:
        """The trained parameters of `plain`, in its order, from the weights of one network, per layer (*shape)."""
        return weights

    def weights(self, parameters: list[Tensor]) -> list[Tensor]:
        """The weights of one network, per layer (*shape), from the trained parameters of `plain`; inverts `parameters`.

        Both only rearrange values, so that either serves standard deviations and derivatives as well.
        """
        return parameters

    def single(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (batch, *outputs) of one network on examples (batch, *inputs).

        weights: per layer (*shape), or (n, *shape) if it has n > 1 draws. The engine maps it over the member axis.
        """
        raise NotImplementedError

    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, *outputs) of examples (batch, *inputs) that all members share.

        weights: per layer (member, *shape), or (member, n, *shape) if it has n > 1 draws.
        """
        import torch

        mapped: Tensor = torch.func.vmap(self.single, in_dims=(0, None))(weights, x)
        return mapped

    def trace(self, weights: list[Tensor], x: Tensor) -> Trace | None:
        """The forward pass with its intermediate quantities if all layers are linear maps, otherwise None."""
        return None

    def gradients(
        self, weights: list[Tensor], x: Tensor, residual: Callable[[Tensor], Tensor], out: list[Tensor]
    ) -> Tensor:
        """Write dLoss/dweights into `out` (shaped as weights) and return the outputs.

        residual maps the outputs to dLoss/doutputs. This default uses autograd; a plugin may provide a faster one,
        which the tests compare with this one.
        """
        import torch

        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            outputs = self.forward(leaves, x)
        for o, g in zip(out, torch.autograd.grad(outputs, leaves, residual(outputs.detach())), strict=True):
            o.copy_(g)
        return outputs.detach()
