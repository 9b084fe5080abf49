"""The display of a run in progress: a live bar in a terminal or a notebook, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ebayes_core.console import printing
from ebayes_core.sweeps.options import Watcher
from ebayes_core.wording import networks

if TYPE_CHECKING:
    from ebayes_core.engine.cohort import Cohort, State

REFRESH_SECONDS = 0.25
PLAIN_SECONDS = 30.0
BAR = 10  #: columns of the bar
BESIDE = BAR + len(" 999:59:59 left ")  #: columns of the bar and the time left


def watcher(console: Console) -> Watcher:
    """The live display for a terminal, plain lines for a file or a pipe."""
    return Live(console) if console.is_interactive else Plain(console)


def terms(cohort: Cohort, state: State) -> list[str]:
    """The terms of the objective at the end of the last epoch, averaged over the networks still training.

    All are summed over the training set (nat).
    """
    if len(state.curves) < 2:
        return []
    scales = {"nll": cohort.data.examples, "reliability": 1, "magnitude": 1}
    numbers = {name: n * state.curves[-1][name][state.alive[:, 0]].mean().item() for name, n in scales.items()}
    return [f"{name} {value:.3g}" for name, value in numbers.items()]


def fitted(parts: Sequence[str], width: int) -> str:
    """As many of the parts as fit beside each other; the most important come first, and none is cut."""
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if line and cell_len(longer) > width:
            break
        line = longer
    return line


def epochs(cohort: Cohort, state: State) -> str:
    """The current epoch and the number of epochs."""
    return f"epoch {min(state.epoch + 1, cohort.training.epochs)}/{cohort.training.epochs}"


def total_steps(cohort: Cohort) -> int:
    """Number of training steps of a cohort."""
    return int(cohort.training.epochs * cohort.batches)


class Speed:
    """Steps per second since the last display. The first step does not count: it may wait for the compiler."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.when, self.step = seconds, 0.0, -1

    def due(self, state: State) -> float | None:
        """Steps per second if it is time to show them, else None."""
        now = time.monotonic()
        if self.step < 0:
            self.when, self.step = now, state.step
        if now - self.when <= self.seconds:
            return None
        rate, self.when = (state.step - self.step) / (now - self.when), now
        self.step = state.step
        return rate


class _Left(TimeRemainingColumn):
    """The remaining time, followed by the word "left"."""

    def render(self, task: Task) -> Text:
        return super().render(task) + Text(" left", style="progress.remaining")


class Live(Watcher):
    """Two lines for the current cohort: bar, time left, epoch, cohort and speed; terms of the objective."""

    def __init__(self, console: Console) -> None:
        columns = (BarColumn(bar_width=BAR), _Left(), TextColumn("{task.fields[state]}"))
        self.progress = Progress(*columns, console=console, refresh_per_second=4)

    def __enter__(self) -> Live:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Replace the bar of the last cohort: there may be more cohorts than a screen has lines."""
        for done in self.progress.task_ids:
            self.progress.remove_task(done)
        self.name = [f"cohort {index + 1}/{count}", networks(len(cohort))]
        waiting = "compiling" if cohort.compile else "starting"
        state_text = self._lines([waiting, *self.name], [])
        self.task = self.progress.add_task("", total=total_steps(cohort), completed=state.step, state=state_text)
        self.speed = Speed(REFRESH_SECONDS)

    def tick(self, cohort: Cohort, state: State) -> None:
        """Refresh the display a few times a second."""
        rate = self.speed.due(state)
        if rate is not None:
            text = self._lines([epochs(cohort, state), *self.name, f"{rate:.0f} steps/s"], terms(cohort, state))
            self.progress.update(self.task, completed=state.step, state=text)
        if state.step == total_steps(cohort):
            text = self._lines(["trained; measuring", *self.name], terms(cohort, state))
            self.progress.update(self.task, completed=state.step, state=text)

    def _lines(self, *lines: Sequence[str]) -> str:
        """Lines beside the bar and the time left, in the remaining width."""
        width = self.progress.console.width - BESIDE
        return "\n".join(fitted(parts, width) for parts in lines).strip()

    def note(self, text: str) -> None:
        """Print a message above the bar."""
        printing.paragraph(self.progress.console, text)


class Plain(Watcher):
    """A line every 30 seconds, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Print the size of the cohort that starts."""
        how = "compiling the step, then " if cohort.compile else ""
        size = f"{networks(len(cohort))} of {sum(cohort.sizes)} synapses"
        self.note(f"cohort {index + 1} of {count}: {size}; {how}{total_steps(cohort) - state.step} steps")
        self.speed = Speed(PLAIN_SECONDS)

    def tick(self, cohort: Cohort, state: State) -> None:
        """Print epoch, speed, remaining time and objective, if it is time to."""
        rate = self.speed.due(state)
        if rate is not None:
            left = (total_steps(cohort) - state.step) / max(rate, 1e-9)
            parts = [epochs(cohort, state), f"{rate:.0f} steps/s", f"{left:.0f} s left", *terms(cohort, state)]
            self.note(f"  {'  '.join(parts)}")

    def note(self, text: str) -> None:
        """Print one line; an error of the output, as on a full disk, does not stop training."""
        with contextlib.suppress(OSError):
            self.console.print(text, soft_wrap=True)
