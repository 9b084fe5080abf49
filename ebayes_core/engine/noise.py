"""The xi of the weights of a cohort: one draw for each step, the same for all of its networks and in any cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebayes_core.engine import native, philox
from ebayes_core.engine.compiler import compiled

Fill = Callable[[Tensor, Tensor], object]


@dataclass
class Source:
    """A stream of draws, of a key and a base distribution."""

    key: philox.Key
    normal: bool  #: otherwise uniform in [0, 1)
    compile: bool  #: whether compilers may be used
    filled: Fill | None = field(default=None, init=False)  #: what writes a draw, known with the first

    def empty(self, like: Tensor, count: int) -> Tensor:
        """Room for a draw, (1, count)."""
        return like.new_empty(4 * philox.blocks(count))[:count][None]

    def fill(self, out: Tensor, draw: Tensor) -> Tensor:
        """Write a draw to out, (1, count), which `empty` returned. draw: its number, one element, on out's device."""
        if self.filled is None:
            self.filled = self._best(out, draw)
        self.filled(out, draw)
        return out

    def _best(self, out: Tensor, draw: Tensor) -> Fill:
        """C on the CPU in single precision, torch's compiler on a GPU, or some hundred operations of torch."""
        if self.compile and out.device.type != "cpu":
            return compiled(self._plain, out.clone(), draw) or self._plain
        if self.compile and out.dtype == torch.float32:
            try:
                native.fill(out, out.shape[1], self.key, 0, self.normal)
                return lambda out, draw: native.fill(out, out.shape[1], self.key, int(draw), self.normal)
            except native.NoCompiler:
                pass
        return self._plain

    def _plain(self, out: Tensor, draw: Tensor) -> None:
        numbers = philox.normal if self.normal else philox.uniform
        out.copy_(numbers(out.shape[1], self.key, draw.long(), out.dtype)[None])
