"""Recurrent networks: the synapses of one layer are used at every step of a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ebayes_core.contract.network import Shape
from ebayes_core.contract.slots import Network, Trace
from ebayes_plugins.networks._linear import activate, apart, last_columns, together, with_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


class Recurrent(Network):
    """Recurrent network: h_t = f(W [x_t, h_(t-1), 1]) from h_0 = 0, read out at the last step or at every step (Elman
    1990).
    """

    kind: Literal["recurrent"] = "recurrent"
    hidden: int = Field(50, ge=1, le=100_000, description="number of recurrent units")
    activation: Literal["tanh", "relu", "linear"] = Field("tanh", description="of the recurrent units")
    readout: Literal["last", "every"] = Field(
        "last", description="whether the outputs are read at the last step, or at every step of the sequence"
    )
    noise: Literal["fresh", "frozen"] = Field(
        "fresh", description="fresh: an independent draw of the weights at each step; frozen: one draw for the sequence"
    )

    def shapes(self, inputs: Shape, outputs: Shape) -> list[Shape]:
        """(units, inputs + units + 1) of the recurrent layer and (outputs, units + 1) of the readout, biases last."""
        if len(inputs) != 2:
            raise ValueError(
                "it needs sequences, (steps, inputs); digits and MNIST are sequences of rows with  "
                'dataset.layout = "rows"'
            )
        if self.readout == "last" and len(outputs) != 1:
            raise ValueError('it gives one vector for a sequence; for outputs at every step, set readout = "every"')
        if self.readout == "every" and (len(outputs) != 2 or outputs[0] != inputs[0]):
            raise ValueError('it gives outputs at every step; for one vector for a sequence, set readout = "last"')
        return [(self.hidden, inputs[1] + self.hidden + 1), (outputs[-1], self.hidden + 1)]

    def biases(self, inputs: Shape, outputs: Shape) -> list[Tensor]:
        """The last column of each layer."""
        return last_columns(self.shapes(inputs, outputs))

    def draws(self, inputs: Shape, outputs: Shape) -> list[int]:
        """One for each step that uses a layer, if noise is fresh."""
        steps = inputs[0] if self.noise == "fresh" else 1
        return [steps, steps if self.readout == "every" else 1]

    def plain(self, inputs: Shape, outputs: Shape) -> nn.Module:
        """`Elman`, which consists of two nn.Linear, `recurrent` and `readout`."""
        from ebayes_plugins.networks._elman import Elman

        self.shapes(inputs, outputs)  # refuses what does not fit
        return Elman(inputs[1], self.hidden, outputs[-1], self.activation, self.readout == "every")

    def parameters(self, weights: list[Tensor]) -> list[Tensor]:
        """Weight and bias of the recurrent layer, inputs before units, and of the readout."""
        return apart(weights)

    def weights(self, parameters: list[Tensor]) -> list[Tensor]:
        """Biases become the last column of each layer."""
        return together(parameters)

    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, [steps,] outputs) of sequences (batch, steps, inputs)."""
        import torch

        recurrent, readout = weights
        states = [x.new_zeros(len(recurrent), len(x), self.hidden)]
        for step, now in enumerate(x.unbind(1)):
            inputs = torch.cat([now.expand(len(recurrent), -1, -1), with_one(states[-1])], -1)
            states.append(activate(self.activation, inputs @ _at(recurrent, step)))
        read = states[-1] if self.readout == "last" else torch.stack(states[1:], 1)
        return _swapped(_drives(with_one(read), readout))

    def trace(self, weights: list[Tensor], x: Tensor) -> Trace:
        """The forward pass; steps are the positions. Only first derivatives are defined."""
        import torch

        from ebayes_plugins.networks._through_time import drives_of, states_of

        recurrent, readout = weights
        known = x.new_empty(len(recurrent), x.shape[1], len(x), self.hidden)
        with torch.no_grad():
            inputs, found = self._run(recurrent, x, known)
        drives = _swapped(drives_of(recurrent, inputs, known))
        states = states_of(_swapped(drives), found, self._between(recurrent, x), self.activation)
        read = with_one(states if self.readout == "every" else states[:, -1])
        outputs = _swapped(_drives(read, readout))
        return Trace(outputs, [_swapped(inputs), _swapped(read)], [drives, outputs])

    def gradients(
        self, weights: list[Tensor], x: Tensor, residual: Callable[[Tensor], Tensor], out: list[Tensor]
    ) -> Tensor:
        """Backpropagation through time, written in place."""
        from ebayes_plugins.networks._through_time import through_time, write_outer

        recurrent, readout = weights
        inputs, states = self._run(recurrent, x)
        read = with_one(states if self.readout == "every" else states[:, -1])
        outputs = _swapped(_drives(read, readout))
        delta = _swapped(residual(outputs))
        write_outer(delta, read, out[1])
        slopes = _drives(delta, readout[..., :-1].transpose(-2, -1))
        slopes = slopes if self.readout == "every" else slopes[:, None]
        write_outer(through_time(slopes, states, self._between(recurrent, x), self.activation), inputs, out[0])
        return outputs

    def _between(self, recurrent: Tensor, x: Tensor) -> Tensor:
        """The weights between the units, ([step,] post, post) of each member."""
        return recurrent[..., x.shape[-1] : -1]

    def _run(self, w: Tensor, x: Tensor, drives: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs of the recurrent layer and its states, (member, step, batch, ...), in place and without a graph.

        drives: where to write the drives, if they are wanted.
        """
        steps, inputs = x.shape[1:]
        seen = x.new_empty(len(w), steps + 1, len(x), inputs + self.hidden + 1)
        states = seen[..., inputs:-1]
        seen[:, :-1, :, :inputs] = x.transpose(0, 1)
        seen[..., -1] = 1
        states[:, 0] = 0
        for step in range(steps):
            drive = seen[:, step] @ _at(w, step)
            states[:, step + 1] = activate(self.activation, drive)
            if drives is not None:
                drives[:, step] = drive
        return seen[:, :-1], states[:, 1:]


def _swapped(t: Tensor) -> Tensor:
    """(member, batch, step, ...) of (member, step, batch, ...), or the reverse; without steps, the tensor itself."""
    return t.transpose(1, 2) if t.ndim == 4 else t


def _at(w: Tensor, step: int) -> Tensor:
    """The weights (member, pre, post) at a step."""
    return (w[:, step] if w.ndim == 4 else w).transpose(1, 2)


def _drives(x: Tensor, w: Tensor) -> Tensor:
    """Drives (member, [step,] batch, post) of inputs (member, [step,] batch, pre)."""
    if x.ndim == 4 and w.ndim == 3:
        return (x.flatten(1, 2) @ w.transpose(1, 2)).unflatten(1, x.shape[1:3])
    return x @ w.transpose(-2, -1)
