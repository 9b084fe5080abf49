"""Samples of tests/faults: each save is stopped, loses power, or fails at some of its writes; nothing is lost."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ebayes_core.sweeps.pool import alone
from tests.faults import shim

SCRIPTS = {"crash_points": 60, "crash_points --power": 90, "refusals": 90}  #: each at one in so many calls
#: one after another in one process, which waits for torch once
CODE = """
import sys
from importlib import import_module
lost = 0
for script in sys.argv[1:]:
    name, *sys.argv[1:] = script.split()
    lost += import_module(f"tests.faults.{name}").main()
sys.exit(lost)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.built("shim", tmp_path_factory.mktemp("library"))


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux")
@pytest.mark.slow
def test_a_save_that_is_stopped_or_refused_leaves_the_old_or_the_new(library: Path) -> None:
    scripts = [f"{script} --every {every}" for script, every in SCRIPTS.items()]
    root, env = Path(__file__).parents[2], alone() | {"LD_PRELOAD": str(library)}
    command = [sys.executable, "-c", CODE, *scripts]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = [int(n) for n in re.findall(r"(?:stopped|refused) (\d+) times, lost 0", done.stdout)]
    assert len(stopped) == 5 * len(SCRIPTS) and all(stopped)
