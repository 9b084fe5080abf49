"""The plain network as a CUDA graph: the whole step is recorded once, and replayed by a single call."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ebayes_core.bench.baselines import Plain, on_minibatches
from ebayes_core.bench.rows import Step
from ebayes_core.bench.setting import PAPER, Shape
from ebayes_core.errors import EbayesError


@dataclass(frozen=True)
class Captured:
    """The plain network, captured."""

    shape: Shape = PAPER
    device: str = "cuda"

    def __call__(self) -> Step:
        """Build the network and capture its training step. Raises EbayesError on a processor."""
        if not self.device.startswith("cuda"):
            raise EbayesError(f"a CUDA graph cannot be captured on the device {self.device}: it needs a GPU")
        with torch.device(self.device):
            loop = Plain(self.shape, capturable=True)
        return captured(on_minibatches(loop, self.shape.inputs, self.device))


def captured(step: Step) -> Step:
    """A step as a graph; it is taken a few times first, on a stream of its own, as torch asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
