"""Worker processes on this machine, with one thread each: more threads would slow each other down many times."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from ebayes_core.errors import EbayesError
from ebayes_core.storage.lease import Pace
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.retry import Retry
from ebayes_core.sweeps.signals import Stop

POLL_SECONDS = 0.2
#: crashes of workers in a row, without an item finished in between, after which no more workers are started
MOST_CRASHES = 20


def alone() -> dict[str, str]:
    """Environment variables of a process that computes on one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextlib.contextmanager
def helped(folder: Folder, count: int, arguments: Sequence[str], threads: int) -> Iterator[None]:
    """A block in which so many other processes train items of the folder too, and this one uses so many threads."""
    before, pool = torch.get_num_threads(), Pool(folder, count, [*arguments, "--no-wait"])
    torch.set_num_threads(threads)
    try:
        for number in range(count):
            pool.start(number)
        yield
    finally:
        pool.end()
        torch.set_num_threads(before)


@dataclass
class Pool:
    """The workers of a sweep's folder; those that crash are replaced until all items are done or given up."""

    folder: Folder
    workers: int
    arguments: Sequence[str]  #: of `ebayes work`, besides the folder
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    crashes: int = 0
    done: int = 0

    def run(self, look: Callable[[], None]) -> None:
        """Run until the last worker ends, calling `look` repeatedly. Raises Interrupted after a signal."""
        with Stop() as stop:
            stop.consequence = lambda: "ends this command now; the workers save a checkpoint and stop on their own"
            self.retry = Retry(self.folder.path, Pace.stuck, stop, lambda text: None)
            for number in range(self.workers):
                self.start(number)
            try:
                while self.running and not stop.asked:
                    time.sleep(POLL_SECONDS)
                    self._replace_crashed()
                    look()
            finally:
                self.end()
        stop.check(f"; everything is saved in {self.folder.path}; run the same command again to continue")

    def log(self, number: int) -> Path:
        """The file with a worker's output."""
        return self.folder.path / "logs" / f"worker-{number + 1}.log"

    def start(self, number: int) -> None:
        """Start a worker. If this process ends, the pipe to the worker closes, and it saves a checkpoint and stops."""
        self.log(number).parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "ebayes_core", "work", str(self.folder.path), "--until-eof", *self.arguments]
        with self.log(number).open("ab") as log:
            self.running[number] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=alone(), start_new_session=True
            )

    def _replace_crashed(self) -> None:
        """Replace workers that crashed or were killed, but not those that ended with an error message."""
        for number, process in list(self.running.items()):
            status = process.poll()
            if status is None:
                continue
            del self.running[number]
            if status in (0, 1, 2):
                self._check(number, status)
            elif self._may_start_again():
                self.retry(partial(self.start, number))

    def _check(self, number: int, status: int) -> None:
        """Raise EbayesError with the end of its log if the last worker ended with an error."""
        if status and not self.running:
            last = self.log(number).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise EbayesError("\n".join([f"the last worker ended with an error ({self.log(number)}):", *last]))

    def _may_start_again(self) -> bool:
        done = len(self.folder.finished())
        self.crashes, self.done = (self.crashes + 1 if done == self.done else 1), done
        if self.crashes > MOST_CRASHES and not self.running:
            raise EbayesError(
                f"{self.crashes} workers in a row crashed without finishing an item; "
                f"see {self.log(0).parent} and `ebayes status {self.folder.path}`"
            )
        return self.crashes <= MOST_CRASHES

    def end(self) -> None:
        """Let every worker save a checkpoint and stop."""
        for process in self.running.values():
            assert process.stdin
            process.stdin.close()
        for process in self.running.values():
            process.wait()
