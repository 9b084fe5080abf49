"""The machine that the numbers were measured on."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import torch

from ebayes_core.bench.engines import registry
from ebayes_core.results import provenance

RECORDED = ("created", "ebayes_version", "git_commit", "torch_version", "processor", "system", "threads", "device")


def describe(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, threads, torch, compiler, date, and the load of the machine before the start."""
    record = provenance.collect(registry().versions(), torch.device(device))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    cores = {"cores": os.cpu_count(), "python": record["versions"]["python"]}
    return {name: record[name] for name in RECORDED} | cores | {"compiler": compiler(), "load_before": load}


def compiler() -> str | None:
    """The C++ compiler that torch.compile finds, with its version; None if there is none."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        name = get_cpp_compiler()
        done = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except Exception:  # torch raises its own exception if it finds no compiler
        return None
    return done.stdout.splitlines()[0] if done.stdout else name
