"""A cost with one of several faults if its c is above 1."""

import os
import signal
import time
from typing import Literal

import pluggy
import torch
from pydantic import Field

from ebayes_core.contract.slots import Cost

hook = pluggy.HookimplMarker("ebayes")


class Faulty(Cost):
    """An energy 1 / sigma, correct unless a fault is chosen."""

    kind: Literal["faulty"] = "faulty"
    fault: Literal["none", "raise", "hang", "nan", "shape", "device", "crash"] = "none"
    c: float = Field(1.0, gt=0)

    def energy(self, sigma, mu):
        if self.fault != "none" and (torch.as_tensor(self.c) > 1).any():
            return getattr(self, "_" + self.fault)(sigma)
        return 1 / sigma

    def _raise(self, sigma):
        raise RuntimeError("boom")

    def _hang(self, sigma):
        while True:
            time.sleep(0.1)

    def _nan(self, sigma):
        return sigma * float("nan")

    def _shape(self, sigma):
        return (1 / sigma).sum(-1)

    def _device(self, sigma):
        return torch.empty_like(sigma, device="meta")

    def _crash(self, sigma):
        os.kill(os.getpid(), signal.SIGSEGV)


@hook
def ebayes_costs():
    return [Faulty]
