"""Start-up times: of the command line, and until the first step with a cold and a warm compile cache."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ebayes_core.bench.engines import Population
from ebayes_core.bench.planned import in_one_process
from ebayes_core.bench.processes import fresh, python
from ebayes_core.bench.rows import Row, Section, once
from ebayes_core.errors import EbayesError

TITLE, REPEATS = "start-up", 3
ENTRY = "from ebayes_core.cli.main import entry; entry()"
MISTAKE = 'name = "mistaken"\ncost = { kind = "membran" }\n'


def waiting(quick: bool, device: str) -> Section:
    """Seconds until the end of the first step and, unless `quick`, seconds that commands take."""
    with tempfile.TemporaryDirectory() as folder:
        rows = first_steps(Path(folder, "cache"), device)
        return Section(TITLE, "s", rows if quick else (*rows, *commands(Path(folder, "mistake.toml"))))


def commands(spec: Path) -> tuple[Row, ...]:
    """Commands that train nothing; a spec with a mistake is written to `spec`."""
    spec.write_text(MISTAKE, encoding="utf-8")
    return (
        command("ebayes --help", "help", ["--help"], 0),
        command("ebayes plugins", "plugins", ["plugins"], 0),
        command("a mistake in a spec", "mistake", ["check", str(spec)], 2),
    )


def command(name: str, tag: str, arguments: Sequence[str], status: int) -> Row:
    """Wall times of a command in a new process."""
    return once(name, tag, lambda: [_seconds(arguments, status) for _ in range(REPEATS)])


def _seconds(arguments: Sequence[str], status: int) -> float:
    began = time.perf_counter()
    done = python("-c", ENTRY, *arguments)
    spent = time.perf_counter() - began
    if done.returncode != status:
        raise EbayesError(f"ebayes {' '.join(arguments)} ended with {done.returncode}, not with {status}")
    return spent


def first_steps(cache: Path, device: str) -> tuple[Row, Row]:
    """Time from the start of Python to the end of the first step, with a cold and then with a warm compile cache."""
    named = "first step of a sweep in a new process"
    cold = once(f"{named}, cold cache", "cold", lambda: [_first_step(cache, device)])
    return cold, once(f"{named}, warm cache", "warm", lambda: [_first_step(cache, device)])


def _first_step(cache: Path, device: str) -> float:
    began = time.perf_counter()
    fresh(take_a_step, device, TORCHINDUCTOR_CACHE_DIR=str(cache), EBAYES_CACHE=str(cache))
    return time.perf_counter() - began


def take_a_step(device: str) -> None:
    """Train the first cohort of the default sweep for a single step."""
    in_one_process(Population(device=device))()()
