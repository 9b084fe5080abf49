"""A population of recurrent networks trains, is stopped and resumes, and is shared by workers, like any other."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import Interrupted
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps import planning
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.run import begin, collect, run
from ebayes_core.sweeps.worker import work
from tests.sweeps.test_folder import FAST
from tests.sweeps.test_run import StopAt, assert_same

SPEC = """
name = "population"
dataset = { kind = "memory", delay = 3, examples = 60 }
network = { kind = "recurrent", hidden = 5 }
noise = { kind = "heterogeneous", sigma_0 = 0.05 }
training = { epochs = 4, batch_size = 20, sigma = "fixed_point" }
measurement = { samples = 2, probe_examples = 40 }
[sweep]
"cost.c" = { logspace = [-4, -1, 16] }
"""
HALVES = replace(FAST, cohort=8)


@pytest.fixture(scope="module")
def whole(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen networks in one cohort, without interruption."""
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    assert run(loads(SPEC, registry), SPEC, registry, path, Options(cohort=16))
    return path


def test_sixteen_recurrent_networks_train_in_one_process(registry: Registry, whole: Path) -> None:
    points = loads(SPEC, registry).members()
    assert [len(group) for group in planning.plan(points, torch.device("cpu"), cohort=16)] == [16]
    with Run(whole) as found:
        assert found.status == ["done"] * 16 and found.n_layers(0) == 2
        sizes = [found.layer(i, 1, "sigma").mean() for i in range(16)]
        assert found.layer(0, 1, "mu").shape == (5, 2 + 5 + 1) and sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_stopped_in_the_middle_they_end_at_the_same_bits(registry: Registry, whole: Path, tmp_path: Path) -> None:
    """Stopped at an epoch's end, and within one: three minibatches each."""
    parts = tmp_path / "parts.h5"
    for steps in (3, 4):
        with pytest.raises(Interrupted, match="run the same command again"):
            run(loads(SPEC, registry), SPEC, registry, parts, Options(cohort=16, watcher=StopAt(steps)))
        assert not parts.exists()
    assert run(loads(SPEC, registry), SPEC, registry, parts, Options(cohort=16))
    assert_same(whole, parts)


def test_two_workers_share_a_folder_of_them(registry: Registry, tmp_path: Path) -> None:
    """Threads stand for hosts. Each of two cohorts is trained once, to the bits of a single process."""
    taken: list[int] = []

    class Noted(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            taken.append(len(cohort.points))

    experiment = loads(SPEC, registry)
    folder = begin(experiment, SPEC, registry, tmp_path / "many", HALVES, workers=2)
    options = replace(HALVES, watcher=Noted(-1))
    workers = [threading.Thread(target=work, args=(Folder(folder.path), registry, options)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert taken == [8, 8] and collect(folder, experiment, registry, tmp_path / "many.h5") == []
    assert run(experiment, SPEC, registry, tmp_path / "one.h5", HALVES)
    assert_same(tmp_path / "one.h5", tmp_path / "many.h5")
