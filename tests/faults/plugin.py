"""The faulty cost, installed for other processes to find."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ebayes_core.sweeps.pool import alone
from tests.faults import faulty


def install(folder: Path) -> dict[str, str]:
    """The environment in which other processes have the plugin."""
    info = folder / "ebayes_faulty-0.1.dist-info"
    info.mkdir(parents=True)
    shutil.copyfile(faulty.__file__, folder / "ebayes_faulty.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ebayes-faulty\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[ebayes]\nfaulty = ebayes_faulty\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**alone(), "PYTHONPATH": path}
