"""Modules of torch of about 25,000 weights, for images and for sequences."""

from __future__ import annotations

from torch import Tensor, nn

from ebayes_core.bench.setting import CLASSES

IMAGES, SEQUENCES = (1, 8, 8), (8, 8)  #: shapes of an example


class Rnn(nn.Module):
    """A vanilla recurrent network, read out at the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.readout = nn.RNN(SEQUENCES[1], 150, batch_first=True), nn.Linear(150, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, classes)."""
        read: Tensor = self.readout(self.recurrent(x)[0][:, -1])
        return read


def convolutions() -> nn.Module:
    """The module of `CONVOLUTIONS`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 40), nn.ReLU(), nn.Linear(40, CLASSES),
    )  # fmt: skip
