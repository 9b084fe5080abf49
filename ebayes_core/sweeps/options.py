"""How a run is asked for, and what it tells whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ebayes_core.storage.lease import Pace

if TYPE_CHECKING:  # whoever only looks at a sweep need not wait for torch
    from ebayes_core.engine.cohort import Cohort, State


class Watcher:
    """What a run tells whoever watches, who is opened and closed around it; this one is silent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to close."""

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Cohort `index` of `count` (from 0) starts, or goes on, from `state`."""

    def tick(self, cohort: Cohort, state: State) -> None:
        """A step is done; called hundreds of times a second."""

    def note(self, text: str) -> None:
        """One line worth reading."""


@dataclass
class Options:
    """How to run; none of this changes what is computed but for rounding."""

    device: str = "auto"
    compile: bool | None = None  #: None decides by the amount of work
    fresh: bool = False
    watcher: Watcher = field(default_factory=Watcher)
    pace: Pace = field(default_factory=Pace)
    wait: bool = True  #: for items that others hold, in case they die
    cohort: int | None = None  #: networks that train as one, at most
    only: str | None = None  #: the one item to work at
    retries: int = 2  #: of a network that failed
    strict: bool = False  #: an error ends the run, and is not put down to its item
