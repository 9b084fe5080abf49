"""Start-up times: of the command line, and until the first step with a cold and a warm compile cache."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.processes import fresh, python
from ebayes_core.bench.rows import Row, Section, once
from ebayes_core.errors import EbayesError

TITLE, REPEATS = "start-up", 3
ENTRY = "from ebayes_core.cli.main import entry; entry()"
MISTAKE = 'name = "mistaken"\ncost = { kind = "membran" }\n'


def waiting() -> Section:
    """Seconds that commands take, and seconds until the end of the first step."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "mistake.toml")
        spec.write_text(MISTAKE, encoding="utf-8")
        commands = (
            command("ebayes --help", "help", ["--help"], 0),
            command("ebayes plugins", "plugins", ["plugins"], 0),
            command("a mistake in a spec", "mistake", ["check", str(spec)], 2),
        )
        return Section(TITLE, "s", (*commands, *first_steps(Path(folder, "cache"))))


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


def first_steps(cache: Path) -> tuple[Row, Row]:
    """Time from the start of Python to the end of the first step, with a cold and then with a warm compile cache."""
    named = f"first step of {MEMBERS} networks in a new process"
    cold = once(f"{named}, cold cache", "cold", lambda: [_first_step(cache)])
    return once(f"{named}, warm cache", "warm", lambda: [_first_step(cache)]), cold


def _first_step(cache: Path) -> float:
    began = time.perf_counter()
    fresh(take_a_step, TORCHINDUCTOR_CACHE_DIR=str(cache))
    return time.perf_counter() - began


def take_a_step() -> None:
    """Train the default population for a single step."""
    Population()()()
