"""A cost that goes wrong in one of several ways where its c is above 1, installed for other processes to find."""

from __future__ import annotations

import os
from pathlib import Path

MODULE = '''
import sys, time
from typing import Literal
import pluggy, torch
from pydantic import Field
from ebayes_core.slots import Cost

hook = pluggy.HookimplMarker("ebayes")


class Faulty(Cost):
    """An energy 1 / sigma, unless something is wrong."""

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
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)


@hook
def ebayes_costs():
    return [Faulty]
'''


def install(folder: Path) -> dict[str, str]:
    """The environment in which other processes have the plugin."""
    info = folder / "ebayes_faulty-0.1.dist-info"
    info.mkdir(parents=True)
    (folder / "ebayes_faulty.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ebayes-faulty\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[ebayes]\nfaulty = ebayes_faulty\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
