"""A whole run on a busy machine: `ebayes run` beside programs that keep the cores busy, and alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ebayes_core.bench.processes import python
from ebayes_core.bench.rows import Section, once
from ebayes_core.bench.startup import ENTRY
from ebayes_core.errors import EbayesError

TITLE, PROGRAMS = "a whole run", 2
SPEC = """
name = "busy"
training = { epochs = 8 }
sweep = { "cost.c" = { logspace = [-2.0, 1.0, 16] } }
"""


def section() -> Section:
    """Wall seconds of a run alone and beside busy programs."""
    return Section(TITLE, "s", (
        once("16 networks, 8 epochs, alone", "quiet run", lambda: [seconds()]),
        once(f"the same beside {PROGRAMS} busy programs", "busy run", lambda: [_disturbed()]),
    ))  # fmt: skip


def _disturbed() -> float:
    with busy():
        return seconds()


def seconds(spec: str = SPEC) -> float:
    """Wall seconds of `ebayes run`, from the start of its process to the end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "busy.toml")
        file.write_text(spec, encoding="utf-8")
        began = time.perf_counter()
        done = python("-c", ENTRY, "run", str(file), "--out", str(Path(folder, "busy.h5")))
        spent = time.perf_counter() - began
    if done.returncode:
        raise EbayesError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return spent


@contextlib.contextmanager
def busy(programs: int = PROGRAMS) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A block beside programs that do nothing but keep a core busy."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield running
    finally:
        for program in running:
            program.kill()
            program.wait()
