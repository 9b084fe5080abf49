"""Options of a run, and the interface by which it reports its progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ebayes_core.storage.lease import Pace

if TYPE_CHECKING:  # commands that only read a sweep need not import torch
    from ebayes_core.engine.cohort import Cohort, State


class Watcher:
    """Receives the progress of a run, as a context manager around it; this base class ignores everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to close."""

    def begin(self, cohort: Cohort, index: int, count: int, state: State) -> None:
        """Cohort `index` of `count` (from 0) starts, or continues, from `state`."""

    def tick(self, cohort: Cohort, state: State) -> None:
        """A step is done; called hundreds of times a second."""

    def note(self, text: str) -> None:
        """A message of one line for the user."""


@dataclass
class Options:
    """How to run a spec; apart from rounding, none of these options affects the results."""

    device: str = "auto"
    compile: bool | None = None  #: None: compile if there is enough work
    fresh: bool = False
    watcher: Watcher = field(default_factory=Watcher)
    pace: Pace = field(default_factory=Pace)
    wait: bool = True  #: for items that other workers hold, in case they do not finish them
    cohort: int | None = None  #: largest number of networks in a cohort
    only: str | None = None  #: train only this item
    retries: int = 2  #: how many more times to try a network that fails
    without: Sequence[str] = ()  #: plugins that are left out
    helpers: Sequence[str] | None = None  #: arguments of `ebayes work` for processes that may help; None: none may
    strict: bool = False  #: an error ends the run instead of being recorded as the item's failure
