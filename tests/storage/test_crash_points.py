"""Samples of tests/faults: each save is stopped, loses power, or is refused at some of its writes; nothing is lost."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ebayes_core.sweeps.pool import alone


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux")
@pytest.mark.parametrize(
    "script", ["crash_points --every 60", "crash_points --power --every 90", "refusals --every 90"]
)
def test_a_save_that_is_stopped_or_refused_leaves_the_old_or_the_new(script: str) -> None:
    command = [sys.executable, "-m", *f"tests.faults.{script}".split()]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=alone(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = [int(n) for n in re.findall(r"(?:stopped|refused) (\d+) times, lost 0", done.stdout)]
    assert len(stopped) == 5 and all(stopped)
