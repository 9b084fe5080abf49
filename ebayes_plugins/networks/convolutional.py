"""Convolutional networks: layers of kernels, whose synapses are used at every position of an image, then dense ones."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field

from ebayes_core.contract.network import Shape
from ebayes_core.contract.plugin import CLOSED
from ebayes_core.contract.slots import Network, Trace
from ebayes_plugins.networks._linear import (
    Activation,
    activate,
    apart,
    as_module,
    last_columns,
    linear,
    outer,
    through,
    together,
    with_one,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


class Kernels(BaseModel):
    """A layer of square kernels, applied to all channels at each position."""

    model_config = CLOSED
    channels: int = Field(8, ge=1, le=10_000, description="number of kernels, each of which makes one channel")
    size: int = Field(3, ge=1, le=64, description="rows and columns of a kernel")
    stride: int = Field(1, ge=1, le=64, description="distance between neighbouring positions")
    padding: int = Field(0, ge=0, le=64, description="rows and columns of zeros around the image")
    pool: int = Field(1, ge=1, le=64, description="side of the squares that are pooled after the layer; 1: none")


class Layer(NamedTuple):
    """A layer of weights, and how often an example uses it."""

    shape: Shape  #: (post, pre + 1)
    positions: int  #: 1 for a dense layer


class Convolutional(Network):
    """Convolutional network: layers of kernels with pooling, then dense layers (LeCun et al. 1989)."""

    kind: Literal["convolutional"] = "convolutional"
    layers: tuple[Kernels, ...] = Field(
        (Kernels(channels=8), Kernels(channels=16, stride=2)),
        min_length=1,
        max_length=64,
        description="layers of kernels, each with channels, size, stride, padding, pool",
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (), max_length=64, description="widths of dense layers between the kernels and the outputs"
    )
    activation: Activation = Field("relu", description="of all layers but the last, which is linear")
    pooling: Literal["max", "mean"] = Field("max", description="what is taken of the squares of `pool`")
    noise_per: Literal["kernel", "position"] = Field(
        "kernel",
        description="kernel: one draw of a weight for all positions; position: a synapse of its own at each position, "
        "with the same mean and sigma, independent noise, and its own cost",
    )

    def shapes(self, inputs: Shape, outputs: Shape) -> list[Shape]:
        """(post, rows * columns * channels + 1) of kernels, in this order with the bias last; (post, pre + 1) of dense
        layers.
        """
        return [layer.shape for layer in self._layers(inputs, outputs)]

    def _layers(self, inputs: Shape, outputs: Shape) -> list[Layer]:
        if len(inputs) != 3 or len(outputs) != 1:
            raise ValueError(
                "it needs images, (channels, rows, columns), and gives one vector of outputs for each; digits and "
                'MNIST are images with  dataset.layout = "image"'
            )
        found, (channels, rows, columns) = [], inputs
        for number, k in enumerate(self.layers, 1):
            sides = [_across(n, k) for n in (rows, columns)]
            if min(sides) < k.pool:
                raise ValueError(
                    f"images of {rows} x {columns} are too small for its layer {number}, kernels of "
                    f"{k.size} x {k.size} with pool = {k.pool}"
                )
            found.append(Layer((k.channels, k.size**2 * channels + 1), math.prod(sides)))
            channels, rows, columns = k.channels, *(n // k.pool for n in sides)
        widths = (channels * rows * columns, *self.hidden, *outputs)
        return found + [Layer((post, pre + 1), 1) for pre, post in itertools.pairwise(widths)]

    def biases(self, inputs: Shape, outputs: Shape) -> list[Tensor]:
        """The last column of each layer."""
        return last_columns(self.shapes(inputs, outputs))

    def draws(self, inputs: Shape, outputs: Shape) -> list[int]:
        """One for each position if noise is per position."""
        per_position = self.noise_per == "position"
        return [layer.positions if per_position else 1 for layer in self._layers(inputs, outputs)]

    def copies(self, inputs: Shape, outputs: Shape) -> list[int]:
        """As many as draws: a position has a synapse of its own."""
        return self.draws(inputs, outputs)

    def plain(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """nn.Conv2d, the activation and pooling of each layer of kernels; nn.Flatten; then nn.Linear of dense ones."""
        from torch import nn

        pool = nn.MaxPool2d if self.pooling == "max" else nn.AvgPool2d
        shapes, found = self.shapes(inputs, outputs), list[nn.Module]()
        for k, before in zip(self.layers, (inputs[0], *(k.channels for k in self.layers)), strict=False):
            found += [nn.Conv2d(before, k.channels, k.size, k.stride, k.padding), as_module(self.activation)]
            found += [pool(k.pool)] * (k.pool > 1)
        found.append(nn.Flatten())
        for post, pre in shapes[len(self.layers) :]:
            found += [nn.Linear(pre - 1, post), as_module(self.activation)]
        return nn.Sequential(*found[:-1])

    def parameters(self, weights: list[Tensor]) -> list[Tensor]:
        """Weight and bias of each layer, with the channels before the rows and columns, as torch has them."""
        found = apart(weights)
        for layer, k in enumerate(self.layers):
            found[2 * layer] = found[2 * layer].unflatten(1, (k.size, k.size, -1)).movedim(-1, 1)
        first = 2 * len(self.layers)
        found[first] = found[first].unflatten(1, (-1, self.layers[-1].channels)).movedim(-1, 1).flatten(1)
        return found

    def weights(self, parameters: list[Tensor]) -> list[Tensor]:
        """Channels become the fastest of the columns, and biases the last of them."""
        found, first = [*parameters], 2 * len(self.layers)
        for layer in range(0, first, 2):
            found[layer] = found[layer].movedim(1, -1).flatten(1)
        found[first] = found[first].unflatten(1, (self.layers[-1].channels, -1)).movedim(1, -1).flatten(1)
        return together(found)

    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, outputs) of images (batch, channels, rows, columns)."""
        return self.trace(weights, x).outputs

    def trace(self, weights: list[Tensor], x: Tensor) -> Trace:
        """The forward pass; patches (batch, positions, pre + 1) are the inputs of a layer of kernels."""
        return self._passed(weights, x)[0]

    def gradients(
        self, weights: list[Tensor], x: Tensor, residual: Callable[[Tensor], Tensor], out: list[Tensor]
    ) -> Tensor:
        """Explicit backpropagation, written in place."""
        from ebayes_plugins.networks import _patches as on

        (outputs, inputs, drives), images = self._passed(weights, x)
        delta, first = residual(outputs), len(self.layers)
        for layer in range(len(weights) - 1, first - 1, -1):
            outer(delta, inputs[layer], out[layer])
            delta = delta @ weights[layer][..., :-1]
            delta = through(self.activation, delta, drives[layer - 1]) if layer > first else delta
        for layer in range(first - 1, -1, -1):
            k, image = self.layers[layer], images[layer]
            rows, columns, channels = image.shape[2:]
            delta = delta.view(*image.shape[:2], rows // k.pool, columns // k.pool, channels)
            delta = on.unpooled(delta, image, k.pool, self.pooling).flatten(2, 3)
            delta = through(self.activation, delta, drives[layer])
            on.write_everywhere(delta, inputs[layer], out[layer])
            if layer:
                below, side = images[layer - 1], self.layers[layer - 1].pool
                shape = (*below.shape[:2], *(n // side for n in below.shape[2:4]), below.shape[4])
                slopes = on.everywhere(delta, weights[layer][..., :-1].transpose(-2, -1)).unflatten(2, (rows, columns))
                delta = on.summed(slopes, shape, k.size, k.stride, k.padding)
        return outputs

    def _passed(self, weights: list[Tensor], x: Tensor) -> tuple[Trace, list[Tensor]]:
        """The trace, and the activity (member, batch, rows, columns, channels) of each layer of kernels."""
        from ebayes_plugins.networks import _patches as on

        inputs: list[Tensor] = []
        drives: list[Tensor] = []
        images: list[Tensor] = []
        h = x.movedim(1, -1)
        for k, w in zip(self.layers, weights, strict=False):
            patches = on.patches(h, k.size, k.stride, k.padding)
            inputs.append(patches.flatten(-3, -2))
            drives.append(on.everywhere(inputs[-1], w))
            images.append(activate(self.activation, drives[-1]).unflatten(2, patches.shape[-3:-1]))
            h = on.pooled(images[-1], k.pool, self.pooling)
        h = h.flatten(2)
        for number, w in enumerate(weights[len(self.layers) :]):
            inputs.append(with_one(activate(self.activation, h) if number else h))
            h = linear(inputs[-1], w)
            drives.append(h)
        return Trace(h, inputs, drives), images


def _across(length: int, k: Kernels) -> int:
    """How many positions a kernel takes along an axis of an image; not positive if the image is too small."""
    return (length + 2 * k.padding - k.size) // k.stride + 1
