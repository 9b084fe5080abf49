"""A run that several processes share: the results of one process, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.results.handle import SWEEP
from ebayes_core.spec import loads
from ebayes_core.sweeps import planning
from ebayes_core.sweeps.options import Options, Watcher
from ebayes_core.sweeps.run import run
from tests.sweeps.test_run import SPEC, assert_same
from tests.waiting import until


class WaitsForAnother(Watcher):
    """Holds the first cohort of this process until another process has taken an item too; counts the cohorts."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, 0

    def begin(self, cohort: Cohort, index: int, count: int, state: Any) -> None:
        self.begun += 1
        if self.begun == 1:
            until(lambda: len([f for f in self.path.rglob("*") if ".lease" in f.name]) > 1)


def test_a_run_with_a_helper_is_the_run_of_one_process(registry: Registry, tmp_path: Path, monkeypatch) -> None:
    """Six cohorts, whatever the number of processes."""
    monkeypatch.setattr(planning, "WORTH_A_PROCESS", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared = WaitsForAnother(tmp_path / "shared.h5.partial")
        run(loads(SPEC, registry), SPEC, registry, tmp_path / "shared.h5", Options(watcher=shared, helpers=()))
        assert torch.get_num_threads() == 2, "the threads are given back"
    finally:
        torch.set_num_threads(threads)
    torch.set_num_threads(1)
    run(loads(SPEC, registry), SPEC, registry, tmp_path / "alone.h5")
    torch.set_num_threads(threads)
    assert_same(tmp_path / "alone.h5", tmp_path / "shared.h5")
    assert 0 < shared.begun < 6
    assert not (tmp_path / "shared.h5.partial" / SWEEP).exists()


def test_a_short_run_or_one_network_or_one_thread_has_no_helper(registry: Registry, monkeypatch) -> None:
    points, cpu = loads(SPEC, registry).members(), torch.device("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert planning.workers(points, cpu) == 1
    monkeypatch.setattr(planning, "WORTH_A_PROCESS", 1)
    assert planning.workers(points, cpu) == 4
    assert planning.workers(points[:1], cpu) == 1
    assert planning.threads(points, cpu, 1) == planning.threads(points, cpu, 4) == 1, "they are small"
    monkeypatch.setattr(planning, "FEW", 1)
    assert planning.threads(points, cpu, 1) == 4
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert planning.workers(points, cpu) == 1
