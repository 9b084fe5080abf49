"""What a person sees while a run goes on: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ebayes_core.errors import told
from ebayes_core.options import Watcher
from ebayes_core.status import Status, status
from ebayes_core.words import networks

if TYPE_CHECKING:
    from ebayes_core.engine import Cohort, State
    from ebayes_core.folder import Folder

REFRESH_SECONDS = 0.25
PLAIN_SECONDS = 30.0


def watcher(console: Console) -> Watcher:
    """The live display for a terminal, plain lines for a file or a pipe."""
    return Live(console) if console.is_terminal else Plain(console)


def terms(cohort: Cohort, state: State) -> str:
    """The terms of the objective at the last epoch's end, data-set scale, mean over members that still train."""
    if len(state.curves) < 2:
        return ""
    scales = {"nll": cohort.data.examples, "magnitude": 1, "reliability": 1}
    numbers = {name: n * state.curves[-1][name][state.alive[:, 0]].mean().item() for name, n in scales.items()}
    return "  ".join(f"{name} {value:.3g}" for name, value in numbers.items())


def epochs(cohort: Cohort, state: State) -> str:
    """The epoch that is going on, of all."""
    return f"epoch {min(state.epoch + 1, cohort.training.epochs)}/{cohort.training.epochs}"


def total_steps(cohort: Cohort) -> int:
    """Steps of a cohort from start to end."""
    return cohort.training.epochs * cohort.batches


class _Speed:
    """Steps per second since the last look, from the end of the first step on: that one may wait for the compiler."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.when, self.step = seconds, 0.0, -1

    def due(self, state: State) -> float | None:
        """Steps per second, if it is time to show them."""
        now = time.monotonic()
        if self.step < 0:
            self.when, self.step = now, state.step
        if now - self.when <= self.seconds:
            return None
        rate, self.when = (state.step - self.step) / (now - self.when), now
        self.step = state.step
        return rate


class Live(Watcher):
    """The cohort that is going on, with rich: epochs, loss terms, steps per second, time left."""

    def __init__(self, console: Console) -> None:
        text, state = TextColumn("{task.description}"), TextColumn("{task.fields[state]}")
        columns = (text, BarColumn(bar_width=10), TimeRemainingColumn(), state)
        self.progress = Progress(*columns, console=console, refresh_per_second=4)

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """A new bar in place of the last cohort's: there may be more cohorts than a screen has lines."""
        for done in self.progress.task_ids:
            self.progress.remove_task(done)
        name = f"cohort {index + 1}/{count}, {networks(len(cohort))}"
        waiting = "compiling the update (up to a minute)" if cohort.compile else "starting"
        self.task = self.progress.add_task(name, total=total_steps(cohort), completed=state.step, state=waiting)
        self.speed = _Speed(REFRESH_SECONDS)

    def tick(self, cohort: Cohort, state: State) -> None:
        """Refresh a few times a second."""
        rate = self.speed.due(state)
        if rate is not None:
            text = f"{epochs(cohort, state)}  {rate:.0f} steps/s\n{terms(cohort, state)}"
            self.progress.update(self.task, completed=state.step, state=text)
        if state.step == total_steps(cohort):
            self.progress.update(self.task, completed=state.step, state=f"trained; measuring\n{terms(cohort, state)}")

    def note(self, text: str) -> None:
        """Above the bars."""
        self.progress.console.print(text)


class Plain(Watcher):
    """A line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Say what starts."""
        how = "compiling the update (up to a minute), then " if cohort.compile else ""
        size = f"{networks(len(cohort))} of {sum(cohort.sizes)} synapses"
        self.note(f"cohort {index + 1} of {count}: {size}; {how}{total_steps(cohort) - state.step} steps")
        self.speed = _Speed(PLAIN_SECONDS)

    def tick(self, cohort: Cohort, state: State) -> None:
        """Say where it stands."""
        rate = self.speed.due(state)
        if rate is not None:
            left = (total_steps(cohort) - state.step) / max(rate, 1e-9)
            self.note(f"  {epochs(cohort, state)}  {rate:.0f} steps/s  {left:.0f} s left  {terms(cohort, state)}")

    def note(self, text: str) -> None:
        """One line; that it cannot be said, as on a full disk, ends nothing."""
        with contextlib.suppress(OSError):
            self.console.print(text, soft_wrap=True)


@contextlib.contextmanager
def sweep_watcher(console: Console, folder: Folder) -> Iterator[Callable[[], None]]:
    """What to call now and then while workers are at a folder: it shows how the sweep stands, when that is due."""
    seconds = 2.0 if console.is_terminal else PLAIN_SECONDS
    line = console.status("starting") if console.is_terminal else None
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
    console.print(standing(found), soft_wrap=True)
    table = Table("item", "networks", "worker", "trained", "heartbeat", box=None, header_style="bold", pad_edge=False)
    for w in found.workers:
        table.add_row(w.item, str(w.networks), f"{w.host} {w.pid}", f"{w.part:.0%}", f"{w.heartbeat_s:.0f} s ago")
    if found.workers:
        console.print(table)
    for failed in found.failures:
        console.print(str(failed), soft_wrap=True)
