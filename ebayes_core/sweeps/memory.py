"""The number of synapses that fit into memory during training and measurement."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import torch

from ebayes_core.engine.stacking import MEMBER_SYNAPSES
from ebayes_core.sweeps import cpu_cache

# Bytes per synapse of a cohort at the peak of a run, float64 (docs/reliability.md, "Memory").
PEAK_BYTES = 520
# Bytes per synapse that a step reads and writes, float32.
STEP_BYTES = 40
# What one worker needs before its first synapse: Python, torch, its data, the compiler.
BASE_BYTES = 1.0e9
# The share of free memory that a sweep may use; the rest is left to other programs.
SHARE = 0.7


def synapses(device: torch.device, workers: int = 1) -> int:
    """Largest number of synapses of a cohort: a size that is fast, or less if memory is short."""
    room = free(device) * SHARE / workers - (0 if device.type == "cuda" else BASE_BYTES)
    fast = MEMBER_SYNAPSES if device.type == "cuda" else cpu_cache.size() // STEP_BYTES
    return max(1, min(fast, int(room / PEAK_BYTES)))


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
