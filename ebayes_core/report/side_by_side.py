"""Figures drawn side by side in several processes: matplotlib draws only one at a time in each."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Thread
from typing import Any

from ebayes_core.contract.registry import Registry
from ebayes_core.report import figures
from ebayes_core.report.figures import Drawn, Share

START = "import sys; from ebayes_core.report.side_by_side import serve; serve(int(sys.argv[1]), *sys.argv[2:])"
MOST = 3  #: helpers; each takes 150 MB, and as long to start as a figure takes to draw


class Helper:
    """A process that draws the figures it is asked for, until the pipe to it closes."""

    def __init__(self, without: Sequence[str]) -> None:
        self.pipe, theirs = Pipe()
        there = theirs.fileno()
        # neither a fork, which may hang if torch has threads, nor a process that Ctrl-C would reach
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(there), *without], pass_fds=[there], start_new_session=True
        )
        theirs.close()

    def draw(self, path: Path, folder: Path, name: str) -> Drawn | None:
        """The files and error messages of a figure; None if the process has ended or does not know its analysis."""
        try:
            self.pipe.send((path, folder, name))
            answer: Drawn | None = self.pipe.recv()
        except (OSError, EOFError):
            return None
        return answer

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def sharing(figures: int, without: Sequence[str]) -> Iterator[Share]:
    """A block in which so many figures can be shared with other processes, which are ready sooner the earlier it
    begins.

    without: plugins to ignore. There is a process for each figure and each core of the processor, at most.
    """
    helpers: list[Helper] = []
    try:
        with contextlib.suppress(OSError):  # if no more processes can be started, this one draws alone
            for _ in range(min(figures, _cores(), 1 + MOST) - 1):
                helpers.append(Helper(without))
        yield partial(_with, helpers)
    finally:
        for helper in helpers:
            helper.end()


def _with(
    helpers: Sequence[Helper], path: Path, folder: Path, names: Sequence[str], here: Callable[[str], Drawn]
) -> list[Drawn]:  # fmt: skip
    return _shared(names, here, [partial(helper.draw, path, folder) for helper in helpers])


def _shared(
    names: Sequence[str], here: Callable[[str], Drawn], others: Sequence[Callable[[str], Drawn | None]]
) -> list[Drawn]:
    """What was drawn, in the order of the names. Whoever is free draws the next, and this process what others lost."""
    left: deque[str] = deque(names)
    found: dict[str, Drawn | None] = {}

    def take(draw: Callable[[str], Drawn | None]) -> None:
        with contextlib.suppress(IndexError):  # nothing is left
            while True:
                name = left.popleft()
                found[name] = draw(name)

    threads = [Thread(target=take, args=(other,), daemon=True) for other in others]
    for thread in threads:
        thread.start()
    take(here)
    for thread in threads:
        thread.join()
    return [found[name] or here(name) for name in names]


def serve(there: int, *without: str) -> None:
    """Draw figures on request, until the process at the other end of the pipe goes away; there: our end."""
    pipe: Connection[Any, Any] = Connection(there)
    registry = Registry.load(without)
    with figures.house_figure() as figure:  # imports the formats and reads the fonts
        figure.savefig(io.BytesIO(), format=figures.FORMATS[0])
    with contextlib.suppress(OSError, EOFError):
        while True:
            pipe.send(_answer(registry, *pipe.recv()))


def _answer(registry: Registry, path: Path, folder: Path, name: str) -> Drawn | None:
    known, _ = figures.stored(path, registry)
    return figures.drawn(name, *known[name], folder, registry) if name in known else None


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
