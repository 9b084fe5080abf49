"""How a sweep stands, as a person reads it: a line while workers are at it, and all of it on request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from ebayes_core.cli.progress import PLAIN_SECONDS
from ebayes_core.console import printing
from ebayes_core.console.printing import SHOWN, Column, Listing
from ebayes_core.errors import told
from ebayes_core.sweeps.status import Status, status
from ebayes_core.wording import networks

if TYPE_CHECKING:
    from ebayes_core.sweeps.folder import Folder


@contextlib.contextmanager
def sweep_watcher(console: Console, folder: Folder) -> Iterator[Callable[[], None]]:
    """What to call now and then while workers are at a folder: it shows how the sweep stands, when that is due."""
    seconds = 2.0 if console.is_terminal else PLAIN_SECONDS
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    line = console.status("starting", spinner=spinner) if console.is_terminal else None
    shown, when = "", -seconds

    def look() -> None:
        nonlocal shown, when
        if time.monotonic() - when < seconds:
            return
        when = time.monotonic()
        try:
            text = standing(status(folder))
        except OSError as error:  # the workers wait for the disk, and so do we
            text = told(error)
        if line:
            line.update(text)
        elif text != shown:
            console.print(text, soft_wrap=True)
        shown = text

    with line or contextlib.nullcontext():
        yield look
    console.print(standing(status(folder)), soft_wrap=True)


def standing(found: Status) -> str:
    """A sweep in one line."""
    counts = f"{found.done} of {networks(found.networks)} done, {found.running} running, {found.left} left"
    failed = f", {found.failed} failed" if found.failed else ""
    if found.seconds_to_go is None or not found.left + found.running:
        return counts + failed
    return f"{counts}{failed}; about {duration(found.seconds_to_go)} to go"


def duration(seconds: float) -> str:
    """In the unit that a person would choose."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_status(console: Console, found: Status) -> None:
    """A sweep, who works at it, and what failed."""
    printing.paragraph(console, standing(found))
    workers = found.workers
    columns = [
        Column("item", [w.item for w in workers], key=True),
        Column("trained", [f"{w.part:.0%}" for w in workers]),
        Column("networks", [str(w.networks) for w in workers]),
        Column("heartbeat\nago (s)", [f"{w.heartbeat_s:.0f}" for w in workers]),
        Column("worker", [f"{w.host} {w.pid}" for w in workers], words=True),
    ]
    if workers:
        printing.show(console, Listing("", columns).first(SHOWN, "... and {} more: --json lists them"))
    for failed in failures(found):
        printing.paragraph(console, failed, then="  ")


def failures(found: Status) -> list[str]:
    """What failed, a line each, and how many more of very many."""
    more = len(found.failures) - SHOWN
    return [*map(str, found.failures[:SHOWN]), *([f"... and {more} more: ebayes status --json"] if more > 0 else [])]
