"""The slot `network`: outputs as a function of weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor


class Trace(NamedTuple):
    """Intermediate quantities of a network of linear layers on a batch, sufficient for per-example gradients."""

    outputs: Tensor  #: (member, batch, outputs)
    inputs: list[Tensor]  #: per layer, (batch, pre) or (member, batch, pre); the bias's constant one comes last
    drives: list[Tensor]  #: per layer, (member, batch, post), before the activation; in the autograd graph


class Network(Plugin):
    """An architecture: the outputs as a function of the weights. A bias is a synapse from a unit that is always 1 (Eq.
    6).
    """

    slot: ClassVar[str] = "network"
    init: float = Field(0.1, gt=0, le=10, description="initial means are uniform in [-init, init]")

    @abstractmethod
    def shapes(self, inputs: int, outputs: int) -> list[tuple[int, ...]]:
        """Shape of each layer's weights, without the member axis; (post, pre + 1) for a linear layer."""

    def biases(self, inputs: int, outputs: int) -> list[Tensor] | None:
        """Which weights are biases: per layer a boolean tensor of the weights' shape; None if unknown.

        The engine does not assume that any column is a bias; without this method, what it reports of the weights
        without biases is NaN.
        """
        return None

    @abstractmethod
    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, outputs) of inputs (batch, inputs) that all members share.

        weights: per layer, (member, *shape).
        """

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
