"""The xi of the weights of a cohort: one draw for each step, the same for all of its networks and in any cohort."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from ebayes_core.engine import native, philox

log = logging.getLogger("ebayes")


@dataclass
class Source:
    """A stream of draws, of a key and a base distribution."""

    key: philox.Key
    normal: bool  #: otherwise uniform in [0, 1)
    compiled: bool  #: whether C may be used, if there is a compiler

    def empty(self, like: Tensor, count: int) -> Tensor:
        """Room for a draw, (1, count)."""
        return like.new_empty(4 * philox.blocks(count))[:count][None]

    def fill(self, out: Tensor, draw: Tensor) -> Tensor:
        """Write a draw to out, (1, count), which `empty` returned. draw: its number, one element, on out's device."""
        if self.compiled and out.device.type == "cpu" and out.dtype == torch.float32:
            try:
                native.fill(out, out.shape[1], self.key, int(draw), self.normal)
                return out
            except native.NoCompiler:
                self.compiled = False
        numbers = philox.normal if self.normal else philox.uniform
        return out.copy_(numbers(out.shape[1], self.key, draw.long(), out.dtype)[None])
