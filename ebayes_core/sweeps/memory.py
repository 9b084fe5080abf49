"""The number of synapses that fit into memory during training and measurement."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import torch

# Bytes per synapse of a cohort at the peak of a run, float64 (docs/reliability.md, "Memory").
PEAK_BYTES = 520
# Synapses of a cohort on a processor, four networks of the paper's size: their state, 40 bytes per synapse, fits a last
# cache that others share. More share the calls of a step and its noise, but read their state from memory.
FAST = 400_000
# What one worker needs before its first synapse: Python, torch, its data, the compiler.
BASE_BYTES = 1.0e9
# The share of free memory that a sweep may use; the rest is left to other programs.
SHARE = 0.7


def synapses(device: torch.device, workers: int = 1) -> int:
    """Largest number of synapses of a cohort: a size that is fast, or less if memory is short.

    A GPU takes a step of hundreds of networks in hardly more time than one of few: there, only memory sets a limit.
    """
    room = free(device) * SHARE / workers - (0 if device.type == "cuda" else BASE_BYTES)
    fast = math.inf if device.type == "cuda" else FAST
    return max(1, int(min(fast, room / PEAK_BYTES)))


def free(device: torch.device) -> float:
    """Free memory (bytes) of a GPU, or of this machine within the limits of the process's control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_available(), _limit())


def _available() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _limit() -> float:
    """Memory left to a container or batch job (control groups, version 2); infinite if it has no limit."""
    with contextlib.suppress(OSError, IndexError):
        own = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text(encoding="ascii").split("::")[1].strip())
        return min(map(_left, (own, *own.parents)))
    return math.inf


def _left(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):  # the file of a group without a limit contains "max"
        return float((group / "memory.max").read_text()) - float((group / "memory.current").read_text())
    return math.inf
