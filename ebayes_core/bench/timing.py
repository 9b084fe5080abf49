"""Interleaved timing: all variants take turns in short bursts, round after round.

A baseline is timed in several fresh processes, and the quickest of them counts. The same program takes 0.296 or 0.437
ms a step from one process to the next, depending on where its memory happens to lie (a plain network on an AMD EPYC,
two threads); a single process could make everything that is compared with it look half as fast again as it is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ebayes_core.bench.bursts import Burst, Elsewhere, give_back, here, wait
from ebayes_core.bench.rows import Row, Say, Variant, reason


@dataclass(frozen=True)
class Effort:
    """How many rounds to time, for how long, and the number of fresh processes of a baseline."""

    rounds: int
    seconds: float  #: per variant and round
    processes: int


QUICK, FULL = Effort(rounds=7, seconds=0.12, processes=3), Effort(rounds=15, seconds=0.3, processes=5)


@dataclass
class Entrant:
    """A variant that is being timed, with its bursts: one in this process, or one in each of several."""

    variant: Variant
    processes: int
    bursts: list[Burst] = field(default_factory=list)
    problem: str | None = None
    samples: list[list[float]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of processes in which it is timed."""
        return self.processes if self.variant.baseline else 1

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """A block in which an exception is recorded as this variant's problem, so that the others go on."""
        try:
            yield
        except Exception as error:
            self.problem = reason(error)
            self.close()

    def begin(self, say: Say) -> None:
        """Prepare, compile and warm up the variant."""
        began = time.perf_counter()
        with self.recorded():
            self.bursts = self._begun()
            self.samples = [[] for _ in self.bursts]
        say(f"{self.variant.name}: {self.problem or f'ready after {time.perf_counter() - began:.1f} s'}")

    def _begun(self) -> list[Burst]:
        """Bursts in this process, or in several that start side by side."""
        if self.variant.waits:
            return [wait] * self.count
        if not self.variant.baseline:
            return [here(self.variant)]
        found = [Elsewhere(self.variant) for _ in range(self.processes)]
        self.bursts = [*found]
        return [process.ready() for process in found]

    def run(self, seconds: float, together: Callable[[], object]) -> None:
        """Time a burst in each process, unless the variant has failed; `together` is called before each either way."""
        for i in range(self.count):
            together()
            if self.problem is None:
                with self.recorded():
                    self.samples[i].append(self.bursts[i](seconds) / self.variant.networks)

    def close(self) -> None:
        """End its processes, and free what it holds."""
        for burst in self.bursts:
            if isinstance(burst, Elsewhere):
                burst.close()
        self.bursts = []

    def row(self) -> Row:
        """The row of the variant."""
        v = self.variant
        if self.problem:
            return Row(v.name, (), v.tags, self.problem, note=v.note)
        return Row.quickest(v.name, self.samples, v.tags, v.note)


def interleaved(
    variants: Sequence[Variant], effort: Effort, say: Say, together: Callable[[], object] = lambda: None
) -> list[Row]:
    """A row for each variant; `together` is called before each burst, to synchronise processes."""
    entrants = [Entrant(variant, effort.processes) for variant in variants]
    for entrant in entrants:
        entrant.begin(say)
    say(f"timing {len(entrants)} variants in {effort.rounds} rounds of {effort.seconds} s each")
    for _ in range(effort.rounds):
        for entrant in entrants:
            entrant.run(effort.seconds, together)
    for entrant in entrants:
        entrant.close()  # frees memory before other processes need it
    give_back()
    return [entrant.row() for entrant in entrants]
