"""`ebayes bench`: what is asked of it, checked before anything is measured, and what is printed and stored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebayes_core.cli.common import console_of, print_json
from ebayes_core.console import output
from ebayes_core.errors import UserError

if TYPE_CHECKING:
    from ebayes_core.bench.session import Bench


def run(quick: bool, device: str, out: str | None, compare: str | None, growth: str | None, as_json: bool) -> None:
    """Measure, store, and print. Raises UserError for a file that cannot be compared, and for a device not found."""
    from ebayes_core.bench import compare as comparing
    from ebayes_core.bench import session
    from ebayes_core.sweeps.planning import find_device

    found = find_device("cpu" if device == "auto" else device).type
    if growth and found != "cpu":
        raise UserError("--growth measures the memory of a process: use it with --device cpu")
    if out:
        _room_for(Path(out))
    other = comparing.stored(Path(compare)) if compare else None
    done = session.bench(quick, Path(growth) if growth else None, _sayer(), found)
    if out:
        _store(Path(out), done.record())
    if as_json:
        return print_json(done.record())
    _show(done)
    if other:
        comparing.show(console_of(), done.machine, done.sections, other)


def _sayer() -> Any:
    began = time.perf_counter()
    return lambda text: output.say(f"{time.perf_counter() - began:5.0f} s  {text}", err=True)


def _room_for(path: Path) -> None:
    """Make the folder of a file. Raises UserError if that is impossible."""
    from ebayes_core.storage import atomic

    try:
        atomic.make(path.parent)
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror or error}") from error


def _store(path: Path, record: dict[str, Any]) -> None:
    from ebayes_core.storage import atomic

    with atomic.replacing(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=2), encoding="utf-8")


def _show(done: Bench) -> None:
    from ebayes_core.bench import table

    table.show(console_of(), done.machine, done.sections, done.verdicts)


def answer(specs: tuple[str, ...], limit: float, device: str, as_json: bool) -> None:
    """Measure how long the runs of specs take, and print it."""
    from ebayes_core.bench import answers, machine, table
    from ebayes_core.console import output, printing

    about, found = machine.describe(), answers.answers(specs, limit, device, lambda text: output.say(text, err=True))
    if as_json:
        print_json({"machine": about, "answers": answers.record(found)})
        return
    table.about(console_of(), about)
    printing.show(console_of(), answers.listing(found))
    printing.legend(console_of(), answers.LEGEND)
