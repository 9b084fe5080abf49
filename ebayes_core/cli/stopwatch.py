"""How long the parts of a run take: what a user waits for, from the command to the figures."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from ebayes_core.sweeps.options import Watcher

if TYPE_CHECKING:
    from ebayes_core.engine.cohort import Cohort, State

PARTS = ("compile", "train", "measure")


class Stopwatch(Watcher):
    """Passes the progress of a run on to another watcher, and adds up the seconds of its parts over the cohorts.

    compile: until the end of the first step; train: the other steps, and the test set after each epoch; measure: what
    follows the last step, until the next cohort begins or the results are written.
    """

    def __init__(self, shown: Watcher) -> None:
        self.shown, self.seconds = shown, dict.fromkeys(PARTS, 0.0)
        self.doing, self.since = "", 0.0

    def __enter__(self) -> Stopwatch:
        self.shown.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._turn_to("")
        self.shown.__exit__(kind, error, tb)

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """A cohort begins, and compiles its step."""
        self._turn_to("compile")
        self.shown.begin(cohort, index, count, state)

    def tick(self, cohort: Cohort, state: State) -> None:
        """A step is done, or an epoch."""
        done = state.epoch >= cohort.training.epochs
        if done or self.doing == "compile":
            self._turn_to("measure" if done else "train")
        self.shown.tick(cohort, state)

    def note(self, text: str) -> None:
        """Pass the message on."""
        self.shown.note(text)

    def _turn_to(self, part: str) -> None:
        now = time.perf_counter()
        if self.doing:
            self.seconds[self.doing] += now - self.since
        self.doing, self.since = part, now
