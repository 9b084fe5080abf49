"""The layers of a network on a data set: the shapes of its weights, or why it does not fit the data."""

from __future__ import annotations

from typing import Any

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.network import Shape
from ebayes_core.errors import UserError


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
