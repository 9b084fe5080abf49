"""Worker processes on this machine, one thread each: more would slow each other many times over."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ebayes_core.errors import EbayesError
from ebayes_core.storage.lease import Pace
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.retry import Patience
from ebayes_core.sweeps.signals import Stop

POLL_SECONDS = 0.2
#: deaths in a row, with nothing finished between them, after which no more workers are started
MOST_DEATHS = 20


def alone() -> dict[str, str]:
    """The environment of a process that shall compute on one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Pool:
    """Workers of one folder, kept up until its items are settled; those that die are replaced."""

    folder: Folder
    workers: int
    arguments: Sequence[str]  #: of `ebayes work`, besides the folder
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    deaths: int = 0
    done: int = 0

    def run(self, look: Callable[[], None]) -> None:
        """Until the last worker ends; `look` is called now and then. Raises Interrupted after a signal."""
        with Stop() as stop:
            stop.price = lambda: "leaves the workers to save, and go, by themselves"
            self.patience = Patience(self.folder.path, Pace.stuck, stop, lambda text: None)
            for number in range(self.workers):
                self._start(number)
            try:
                while self.running and not stop.asked:
                    time.sleep(POLL_SECONDS)
                    self._bury_the_dead()
                    look()
            finally:
                self._end()
        stop.check(f"; everything is saved in {self.folder.path}; the same command goes on from there")

    def log(self, number: int) -> Path:
        """What a worker prints."""
        return self.folder.path / "logs" / f"worker-{number + 1}.log"

    def _start(self, number: int) -> None:
        """A worker ends with us: when the pipe that is its input closes, it saves and goes."""
        self.log(number).parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "ebayes_core", "work", str(self.folder.path), "--until-eof", *self.arguments]
        with self.log(number).open("ab") as log:
            self.running[number] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=alone(), start_new_session=True
            )

    def _bury_the_dead(self) -> None:
        """Replace workers that were killed or killed themselves; one that ended by an error of its own is not."""
        for number, process in list(self.running.items()):
            status = process.poll()
            if status is None:
                continue
            del self.running[number]
            if status in (0, 1, 2):
                self._complain(number, status)
            elif self._may_start_again():
                self.patience.insist(partial(self._start, number))

    def _complain(self, number: int, status: int) -> None:
        if status and not self.running:
            last = self.log(number).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise EbayesError("\n".join([f"the last worker ended with an error ({self.log(number)}):", *last]))

    def _may_start_again(self) -> bool:
        done = len(self.folder.finished())
        self.deaths, self.done = (self.deaths + 1 if done == self.done else 1), done
        if self.deaths > MOST_DEATHS and not self.running:
            raise EbayesError(
                f"{self.deaths} workers died in a row, with nothing finished between them; "
                f"see {self.log(0).parent} and `ebayes status {self.folder.path}`"
            )
        return self.deaths <= MOST_DEATHS

    def _end(self) -> None:
        """Let every worker save and go."""
        for process in self.running.values():
            assert process.stdin
            process.stdin.close()
        for process in self.running.values():
            process.wait()
