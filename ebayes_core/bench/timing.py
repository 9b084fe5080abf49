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
    """How many rounds to time, and for how long."""

    rounds: int
    seconds: float  #: per variant and round


QUICK, FULL = Effort(rounds=7, seconds=0.15), Effort(rounds=15, seconds=0.3)


@dataclass
class Entrant:
    """A variant that is being timed."""

    variant: Variant
    step: Step | None = None
    problem: str | None = None
    samples: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """A block in which an exception is recorded as this variant's problem, so that the others go on."""
        try:
            yield
        except Exception as error:
            self.step, self.problem, self.samples = None, reason(error), []

    def begin(self, say: Say) -> None:
        """Prepare, compile and warm up the variant."""
        began = time.perf_counter()
        with self.recorded():
            step = self.variant.start()
            for _ in range(WARM_UP):
                step()
            self.step = step
        give_back()
        say(f"{self.variant.name}: {self.problem or f'ready after {time.perf_counter() - began:.1f} s'}")

    def run(self, seconds: float) -> None:
        """Time one burst, unless the variant has failed."""
        if self.step is not None:
            with self.recorded():
                self.samples.append(milliseconds(self.step, seconds) / self.variant.networks)

    def row(self) -> Row:
        """The row of the variant."""
        return Row(self.variant.name, tuple(self.samples), self.variant.tags, self.problem)


def give_back() -> None:
    """Return freed memory to the system: the C library keeps half a gigabyte after each compilation."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def milliseconds(step: Step, seconds: float) -> float:
    """Mean time of a step, repeated for at least `seconds`."""
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
    """A row for each variant; `together` is called before each burst, to synchronise processes."""
    entrants = [Entrant(variant) for variant in variants]
    for entrant in entrants:
        entrant.begin(say)
    say(f"timing {len(entrants)} variants in {effort.rounds} rounds of {effort.seconds} s each")
    for _ in range(effort.rounds):
        for entrant in entrants:
            together()
            entrant.run(effort.seconds)
    rows = [entrant.row() for entrant in entrants]
    entrants.clear()  # free their memory before other processes need it
    give_back()
    return rows
