"""The slot `network`: outputs as a function of weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from pydantic import Field, ValidationInfo, model_validator

from ebayes_core.contract.files import DIGEST, located
from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor, nn

Shape = tuple[int, ...]
RESULTS = ".h5"  #: the ending of a results file
MEANS = (".pt", ".pth", ".npz", RESULTS)  #: endings of files that means are read from


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
    means: str | None = Field(
        None,
        description="file with the initial means of all networks, beside the spec: a state_dict of torch (.pt, .pth), "
        "the same arrays in an .npz file, or a results file (.h5); with training.means = held they stay",
    )
    means_member: int | None = Field(None, ge=0, description="network of a results file in means; 0 if left out")
    folder: str | None = Field(None, description="folder of the file in means; that of the spec if left out")
    digest: str | None = Field(
        None,
        pattern=DIGEST,
        description="SHA-256 of the file in means; computed if left out. A spec that contains it is refused if the "
        "file is another",
    )

    @model_validator(mode="after")
    def _means_fit(self) -> Self:
        known = Path(self.means or "").suffix.lower()
        if self.means is not None and known not in MEANS:
            raise ValueError(f"means must be a file ending in {', '.join(MEANS)}")
        if self.means_member is not None and known != RESULTS:
            raise ValueError(f"means_member chooses a network of a results file ({RESULTS}) in means: leave it out")
        if self.means is not None and self.init != type(self).model_fields["init"].default:
            raise ValueError("init is the size of random initial means: leave it out, since means gives them")
        return self

    @model_validator(mode="after")
    def _means_found(self, info: ValidationInfo) -> Self:
        """Where the file is, and its digest: its content decides what is trained, not its place.

        Not a validator of the table: pydantic would then take no lists for tuples.
        """
        told = {name: value for name, value in (("folder", self.folder), ("digest", self.digest)) if value is not None}
        found = located(told, [self.means], info.context)
        return self if found == told else self.model_copy(update=found)

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
