"""The recurrent network as a plain module of torch, for networks that are taken out of a results file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebayes_plugins.networks._linear import activate


class Elman(nn.Module):
    """h_t = f(W [x_t, h_(t-1)] + b) from h_0 = 0, read out at the last step or at every step.

    Not nn.RNN, which has two biases for each unit and no linear units.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, activation: str, every: bool) -> None:
        super().__init__()
        self.recurrent = nn.Linear(inputs + hidden, hidden)
        self.readout = nn.Linear(hidden, outputs)
        self.activation, self.every = activation, every

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, [steps,] outputs) of sequences (batch, steps, inputs)."""
        states = [x.new_zeros(x.shape[0], self.recurrent.out_features)]
        for now in x.unbind(1):
            drive = self.recurrent(torch.cat([now, states[-1]], -1))
            states.append(activate(self.activation, drive))
        read: Tensor = self.readout(torch.stack(states[1:], 1) if self.every else states[-1])
        return read
