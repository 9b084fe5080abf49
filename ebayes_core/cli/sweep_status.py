"""The state of a sweep as text: one line while workers train, and a full report for `ebayes status`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from ebayes_core.console import printing
from ebayes_core.console.printing import SHOWN, Column, Listing
from ebayes_core.errors import told
from ebayes_core.sweeps.progress import PLAIN_SECONDS
from ebayes_core.sweeps.status import Status, status
from ebayes_core.wording import networks

if TYPE_CHECKING:
    from ebayes_core.sweeps.folder import Folder


LEGEND = {
    "item": "networks that one worker trains together",
    "trained": "share of the item's training steps that are done, as of its last checkpoint",
    "heartbeat": "the worker's last sign of life; without one for --stale-after (120 s), another worker takes over",
    "worker": "its host and process number",
}


@contextlib.contextmanager
def sweep_watcher(console: Console, folder: Folder) -> Iterator[Callable[[], None]]:
    """Yields a function to call repeatedly while workers train; it shows the state of the sweep every few seconds."""
    seconds = 2.0 if console.is_interactive else PLAIN_SECONDS
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    line = console.status("starting", spinner=spinner) if console.is_interactive else None
    shown, when = "", -seconds

    def look() -> None:
        nonlocal shown, when
        if time.monotonic() - when < seconds:
            return
        when = time.monotonic()
        try:
            text = progress_line(status(folder))
        except OSError as error:  # the workers wait for the disk as well
            text = told(error)
        if line:
            line.update(text)
        elif text != shown:
            console.print(text, soft_wrap=True)
        shown = text

    with line or contextlib.nullcontext():
        yield look
    console.print(progress_line(status(folder)), soft_wrap=True)


def progress_line(found: Status) -> str:
    """The state of a sweep in one line."""
    counts = f"{found.done} of {networks(found.networks)} done, {found.running} running, {found.left} left"
    failed = f", {found.failed} failed" if found.failed else ""
    if found.seconds_to_go is None or not found.left + found.running:
        return counts + failed
    return f"{counts}{failed}; about {duration(found.seconds_to_go)} remaining"


def duration(seconds: float) -> str:
    """A time in a readable unit."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_status(console: Console, found: Status) -> None:
    """Print the state of a sweep, its workers, and the networks that failed."""
    printing.paragraph(console, progress_line(found))
    workers = found.workers
    columns = [
        Column("item", [w.item for w in workers], key=True),
        Column("trained", [f"{w.part:.0%}" for w in workers]),
        Column("networks", [str(w.networks) for w in workers]),
        Column("heartbeat\nago (s)", [f"{w.heartbeat_s:.0f}" for w in workers]),
        Column("worker", [f"{w.host} {w.pid}" for w in workers], words=True),
    ]
    if workers:
        printing.show(console, Listing("", columns).first(SHOWN, "... and {} more (--json lists all)"))
        printing.legend(console, LEGEND)
    for failed in failures(found):
        printing.paragraph(console, failed, then="  ")


def failures(found: Status) -> list[str]:
    """A line for each failed item, up to a limit, and how many more there are."""
    more = len(found.failures) - SHOWN
    return [
        *map(str, found.failures[:SHOWN]),
        *([f"... and {more} more (`ebayes status --json` lists all)"] if more > 0 else []),
    ]
