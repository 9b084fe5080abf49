"""Where a result comes from: versions, machine, time, and the state of the code."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ebayes_core.registry import Registry

PACKAGES = ("ebayes", "torch", "torchvision", "numpy", "scipy", "h5py", "pydantic", "scikit-learn", "mlxtend")


def collect(registry: Registry, device: torch.device) -> dict[str, Any]:
    """Everything about this run that its spec does not say; never fails."""
    import torch

    plugins = {entry.distribution: entry.version for entry in registry.entries}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ebayes_version": _version("ebayes"),
        "torch_version": str(torch.__version__),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "plugins": plugins,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "command": " ".join(sys.argv),
        "git_commit": _commit(),
    }


def _processor() -> str:
    """The processor's name, which Python itself does not know on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _commit() -> str:
    """The commit of the working folder, with a mark if it has changes; empty where there is none."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
