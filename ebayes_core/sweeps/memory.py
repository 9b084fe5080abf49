"""How many synapses fit into memory while they train and are measured."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import torch

from ebayes_core.engine.stacking import MEMBER_SYNAPSES

# Bytes per synapse of a cohort at the peak of a run, float64 (docs/reliability.md, "Memory").
PEAK_BYTES = 520
# What one worker needs before its first synapse: Python, torch, its data, the compiler.
BASE_BYTES = 1.0e9
# The share of what is free that a sweep may plan with: others live here too.
SHARE = 0.7


def synapses(device: torch.device, workers: int = 1) -> int:
    """The most synapses of one cohort: what amortises noise and is kind to caches, or less where memory is short."""
    room = free(device) * SHARE / workers - (0 if device.type == "cuda" else BASE_BYTES)
    return max(1, min(MEMBER_SYNAPSES, int(room / PEAK_BYTES)))


def free(device: torch.device) -> float:
    """Bytes that a device could still give: of a GPU, or of the machine within the limits of its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_available(), _limit())


def _available() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _limit() -> float:
    """What a container or a batch job may still take (control groups, version 2); no limit where there is none."""
    with contextlib.suppress(OSError, IndexError):
        own = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text(encoding="ascii").split("::")[1].strip())
        return min(map(_left, (own, *own.parents)))
    return math.inf


def _left(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):  # a group without a limit says "max"
        return float((group / "memory.max").read_text()) - float((group / "memory.current").read_text())
    return math.inf
