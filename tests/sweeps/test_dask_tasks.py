"""Items as tasks of Dask: the same file, whatever happens to a Dask worker."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import EbayesError, UserError
from ebayes_core.spec import loads
from ebayes_core.storage.lease import read
from ebayes_core.sweeps import dask_tasks
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.run import begin, collect
from tests.cli.test_sweeps import SPEC, expected  # noqa: F401
from tests.sweeps.test_folder import FAST
from tests.sweeps.test_run import assert_same
from tests.waiting import until

distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")


@pytest.fixture
def folder(registry: Registry, tmp_path: Path) -> Folder:
    return begin(loads(SPEC, registry), SPEC, registry, tmp_path / "sweep", FAST, 2)


@pytest.mark.slow
def test_tasks_write_their_files(folder: Folder, registry: Registry, tmp_path: Path, expected: Path) -> None:  # noqa: F811
    """While they run, the process that trains one of the items is killed: the task is made again."""
    killed: list[int] = []

    def kill_one() -> None:
        for path in [] if killed else folder.work.glob("*.lease"):
            owner = read(path)
            if owner and owner["pid"] != os.getpid():
                os.kill(owner["pid"], signal.SIGKILL)
                killed.append(owner["pid"])

    looks = []
    watcher = threading.Thread(target=lambda: until(lambda: kill_one() or killed))
    watcher.start()
    dask_tasks.submit(folder, "dask", 2, None, [], ["--stale-after=1"], lambda: looks.append(1))
    watcher.join()
    assert killed and looks
    collect(folder, loads(SPEC, registry), registry, tmp_path / "r.h5")
    assert_same(expected, tmp_path / "r.h5")


def test_a_task_that_can_never_succeed_is_not_tried_for_ever(folder: Folder, monkeypatch: Any) -> None:
    monkeypatch.setattr(dask_tasks, "MOST_FRUITLESS", 1)
    with pytest.raises(EbayesError, match=r"failed as a Dask task 2 times, the last time with:[\s\S]*No such option"):
        dask_tasks.submit(folder, "dask", 1, None, ["processes=false"], ["--no-such-option"], lambda: None)


def test_settings_are_toml_or_text() -> None:
    assert dask_tasks._setting("memory=2GB") == ("memory", "2GB")
    assert dask_tasks._setting('queue="debug"') == ("queue", "debug")
    assert dask_tasks._setting("job_extra_directives=['--qos=low']") == ("job_extra_directives", ["--qos=low"])
    with pytest.raises(UserError, match=re.escape("--cluster memory: write KEY=VALUE")):
        dask_tasks._setting("memory")
