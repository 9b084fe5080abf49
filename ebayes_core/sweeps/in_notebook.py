"""The display of a run in a notebook: one line of HTML that is replaced in place. It needs no widgets."""

from __future__ import annotations

import time
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ebayes_core.sweeps.options import Watcher
from ebayes_core.sweeps.progress import Speed, epochs, terms, total_steps
from ebayes_core.wording import amount, networks

if TYPE_CHECKING:
    from ebayes_core.engine.cohort import Cohort, State

REFRESH_SECONDS = 0.5
BAR = '<progress value="{}" max="{}" style="width:10em;vertical-align:middle"></progress> {}'


def inside() -> bool:
    """Whether this program is the kernel of a notebook."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


class Notebook(Watcher):
    """A bar for the current cohort with time left, epoch and terms of the objective; at the end, how long it took."""

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self.shown = display(HTML(""), display_id=True)
        self.began, self.worked = time.monotonic(), False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Say how long it took, unless nothing was left to train, or there is an error to read instead."""
        spent = f"trained and measured in {amount(time.monotonic() - self.began)} s"
        self._show(spent if self.worked and not error else "")

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Show the cohort that starts."""
        self.worked = True
        self.where, self.speed = f"cohort {index + 1} of {count}, {networks(len(cohort))}", Speed(REFRESH_SECONDS)
        self._bar(cohort, state, ["compiling" if cohort.compile else "starting", self.where])

    def tick(self, cohort: Cohort, state: State) -> None:
        """Refresh the line twice a second."""
        total = total_steps(cohort)
        if state.step == total:
            self._bar(cohort, state, ["measuring", self.where, *terms(cohort, state)])
        elif rate := self.speed.due(state):
            left = f"{amount((total - state.step) / rate)} s left"
            self._bar(cohort, state, [left, epochs(cohort, state), self.where, *terms(cohort, state)])

    def note(self, text: str) -> None:
        """Print a message below the line."""
        print(text)

    def _bar(self, cohort: Cohort, state: State, parts: list[str]) -> None:
        self._show(BAR.format(state.step, total_steps(cohort), escape(" · ".join(parts))))

    def _show(self, html: str) -> None:
        from IPython.display import HTML

        self.shown.update(HTML(html))
