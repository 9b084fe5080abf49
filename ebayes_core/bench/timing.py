"""Interleaved timing: all variants take turns in short bursts, round after round."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ebayes_core.bench.rows import Row, Say, Step, Variant, reason

WARM_UP = 3  #: steps before the first that counts; the first of them may wait for the compiler


@dataclass(frozen=True)
class Effort:
    """How long to look."""

    rounds: int
    seconds: float  #: of each variant in each round


QUICK, FULL = Effort(rounds=7, seconds=0.15), Effort(rounds=15, seconds=0.3)


@dataclass
class Entrant:
    """A variant on its way to a row."""

    variant: Variant
    step: Step | None = None
    problem: str | None = None
    samples: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def excused(self) -> Iterator[None]:
        """What fails drops out with its reason; the others go on."""
        try:
            yield
        except Exception as error:
            self.step, self.problem, self.samples = None, reason(error), []

    def begin(self, say: Say) -> None:
        """Prepare, compile and warm up."""
        began = time.perf_counter()
        with self.excused():
            step = self.variant.start()
            for _ in range(WARM_UP):
                step()
            self.step = step
        give_back()
        say(f"{self.variant.name}: {self.problem or f'ready after {time.perf_counter() - began:.1f} s'}")

    def run(self, seconds: float) -> None:
        """One burst, if it is still in the race."""
        if self.step is not None:
            with self.excused():
                self.samples.append(milliseconds(self.step, seconds) / self.variant.networks)

    def row(self) -> Row:
        """What became of it."""
        return Row(self.variant.name, tuple(self.samples), self.variant.tags, self.problem)


def give_back() -> None:
    """Return freed memory to the system: the C library keeps half a gigabyte after each compilation."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def milliseconds(step: Step, seconds: float) -> float:
    """Mean time of a step over as many as fill a time."""
    steps, began = 0, time.perf_counter()
    while True:
        step()
        steps += 1
        spent = time.perf_counter() - began
        if spent >= seconds:
            return 1e3 * spent / steps


def interleaved(
    variants: Sequence[Variant], effort: Effort, say: Say, together: Callable[[], object] = lambda: None
) -> list[Row]:
    """A row for each variant; `together` is called before each burst, so that processes can keep in step."""
    entrants = [Entrant(variant) for variant in variants]
    for entrant in entrants:
        entrant.begin(say)
    say(f"timing {len(entrants)} variants in {effort.rounds} rounds of {effort.seconds} s each")
    for _ in range(effort.rounds):
        for entrant in entrants:
            together()
            entrant.run(effort.seconds)
    rows = [entrant.row() for entrant in entrants]
    entrants.clear()  # all that they hold, before other processes want memory
    give_back()
    return rows
