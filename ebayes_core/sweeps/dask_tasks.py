"""Items of a sweep as Dask tasks: on this machine, on a running cluster, or on Slurm through dask-jobqueue.

A task trains one item in a process of its own and returns the name of the file it wrote, never arrays. So the result is
on the disk before it is reported, and a crash in a plugin does not end the Dask worker.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebayes_core.errors import EbayesError, UserError
from ebayes_core.spec.overrides import toml_value
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.pool import alone
from ebayes_core.sweeps.signals import Stop

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_SECONDS = 1.0
#: tasks of one item that may fail to finish it, for example because ebayes is not installed on their host
MOST_FRUITLESS = 10
TAIL = 2000  #: characters of a task's output that are kept
Ended = tuple[str | None, str]


def task(folder: str, item: str, arguments: Sequence[str]) -> Ended:
    """Train one item (on a Dask worker). Returns the name of its file if it is done, and the end of the output."""
    command = [sys.executable, "-m", "ebayes_core", "work", folder, "--only", item, "--until-eof", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=alone(), text=True
    )
    with process:  # if the Dask worker ends, the pipe closes, and the process saves a checkpoint and stops
        assert process.stdout
        text = process.stdout.read()
    done = Path(folder) / "work" / f"{item}.h5"
    return str(done) if done.exists() else None, text[-TAIL:]


def submit(
    folder: Folder, on: str, workers: int, scheduler: str | None, settings: Sequence[str], arguments: Sequence[str],
    look: Callable[[], None],
) -> None:  # fmt: skip
    """Train every item as a task. Raises UserError if Dask is not installed, and Interrupted after a signal."""
    path, fruitless = str(folder.path.resolve()), Counter[str]()
    with Stop() as stop, _client(on, workers, scheduler, settings) as client:
        stop.consequence = lambda: "ends this command now; the tasks save a checkpoint and stop on their own"
        running: dict[Future[Ended], str] = {}
        while not stop.asked:
            waiting = {item.name for item, _ in folder.left()} - set(running.values())
            running |= {client.submit(task, path, name, arguments, pure=False): name for name in sorted(waiting)}
            if not running:
                break
            _collect(running, fruitless)
            look()
    stop.check(f"; running items save a checkpoint in {folder.path}; run the same command again to continue")


def _collect(running: dict[Future[Ended], str], fruitless: Counter[str]) -> None:
    """Remove the tasks that have ended; an item that is still unfinished is then submitted again."""
    from distributed import TimeoutError, wait

    with contextlib.suppress(TimeoutError):
        wait(list(running), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
    for future in [future for future in running if future.done()]:
        name = running.pop(future)
        text = str(future.exception()) if future.status != "finished" else _said(future)
        fruitless[name] += bool(text)
        if fruitless[name] > MOST_FRUITLESS:
            raise EbayesError(f"item {name} failed as a Dask task {fruitless[name]} times, the last time with:\n{text}")


def _said(future: Future[Ended]) -> str:
    """The output of a task that did not finish its item; empty if it did."""
    file, text = future.result()
    return "" if file else text or "no output"


@contextlib.contextmanager
def _client(on: str, workers: int, scheduler: str | None, settings: Sequence[str]) -> Iterator[Client]:
    """A client of the given scheduler, or of a cluster that is started for the block."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UserError("--on needs Dask, which is not installed: pip install 'ebayes[dask]'") from error
    given = dict(map(_setting, settings))
    if scheduler:
        with Client(scheduler) as client:
            yield client
    elif on == "dask":
        own = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, **given}
        with LocalCluster(**own) as cluster, Client(cluster) as client:
            yield client
    else:
        from dask_jobqueue import SLURMCluster

        with (
            SLURMCluster(**{"cores": 1, "processes": 1, "memory": "4GB", **given}) as cluster,
            Client(cluster) as client,
        ):
            cluster.scale(jobs=workers)
            yield client


def _setting(text: str) -> tuple[str, Any]:
    """Parse KEY=VALUE; a value that is not TOML is a string. Raises UserError."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip().isidentifier():
        raise UserError(f"--cluster {text}: write KEY=VALUE, where KEY is an argument of the cluster's class")
    return key.strip(), toml_value(value)
