"""A sample of tests/faults/crash_points.py: stopped at a few of the writes of each save, nothing is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux")
def test_a_save_that_is_stopped_leaves_the_old_or_the_new() -> None:
    command = [sys.executable, "-m", "tests.faults.crash_points", "--every", "60"]
    root, env = Path(__file__).parents[2], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = [int(n) for n in re.findall(r"stopped (\d+) times, lost 0", done.stdout)]
    assert len(stopped) == 5 and all(stopped)
