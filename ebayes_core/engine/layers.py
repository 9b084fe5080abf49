"""The layers of a network on a data set: the shapes of its weights, or why it does not fit the data."""

from __future__ import annotations

from typing import Any

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.network import Shape
from ebayes_core.errors import PluginError, UserError


def layers(member: Any, inputs: Shape, outputs: Shape) -> list[Shape]:
    """Shape of each layer's weights, without the member axis.

    inputs, outputs: shapes of an example and of its outputs. Raises UserError if the network cannot take or give them.
    """
    network = member.network
    with asking(network, "what shapes returned"):
        try:
            found = network.shapes(inputs, outputs)
        except ValueError as error:
            raise UserError(
                f"the network '{network.kind}' does not fit the data set '{member.dataset.kind}', whose examples have "
                f"shape {inputs} and whose outputs have shape {outputs}: {error}"
            ) from error
        return [tuple(map(int, shape)) for shape in found]


def counts(member: Any, method: str, inputs: Shape, outputs: Shape) -> list[int]:
    """What `draws` or `copies` return: a positive number for each layer. Raises PluginError if they do not."""
    network = member.network
    found = getattr(network, method)(inputs, outputs)
    with asking(network, f"what {method} returned"):
        size = len(network.shapes(inputs, outputs))
        if len(found) != size or not all(isinstance(n, int) and n > 0 for n in found):
            raise PluginError(
                f"the network '{network.kind}': {method}() returned {found}; it has to return a positive integer for "
                f"each of its {size} layers"
            )
    return list(found)
