"""A sweep as a folder: every member once, whoever trains it, and whatever happens to the others."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint
from ebayes_core.engine.loop import train
from ebayes_core.errors import Interrupted, PluginError, UserError
from ebayes_core.results import merge
from ebayes_core.results.reader import Run
from ebayes_core.results.record import Setting
from ebayes_core.spec import loads
from ebayes_core.storage import hdf5
from ebayes_core.storage.lease import Pace
from ebayes_core.sweeps import memory, planning
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.item import Item
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.run import begin, collect, run
from ebayes_core.sweeps.status import status
from ebayes_core.sweeps.worker import work
from tests.build import DIGITS, cohort, trained
from tests.drawn import examples
from tests.faults import faulty
from tests.sweeps.test_run import SPEC, StopAt, assert_same
from tests.waiting import LIMIT

CPU = find_device("cpu")
FAST = Options(pace=Pace(beat=0.05, stale=LIMIT))  # a holder that a busy machine delays is no dead one


def swept(registry: Registry, *overrides: str) -> Any:
    """A sweep of twelve networks in six cohorts."""
    return loads(SPEC, registry, overrides)


def begun(registry: Registry, path: Path, *overrides: str, workers: int = 1, options: Options = FAST) -> Folder:
    return begin(swept(registry, *overrides), SPEC, registry, path, options, workers)


@pytest.fixture(scope="module")
def one(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the sweep has as a run of one process."""
    path = tmp_path_factory.mktemp("one") / "one.h5"
    run(swept(registry), SPEC, registry, path)
    return path


@pytest.fixture(scope="module")
def worked(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep's folder, all trained."""
    folder = begun(registry, tmp_path_factory.mktemp("worked") / "many")
    work(folder, registry, FAST)
    return folder.path


@pytest.fixture
def done(worked: Path, tmp_path: Path) -> Folder:
    """A copy of it to change."""
    return Folder(shutil.copytree(worked, tmp_path / "many"))


def test_a_folder_gathers_to_what_one_file_is(one: Path, done: Folder, registry: Registry, tmp_path: Path) -> None:
    assert collect(done, swept(registry), registry, tmp_path / "many.h5") == []
    assert_same(one, tmp_path / "many.h5")
    with Run(tmp_path / "many.h5") as found:
        assert sum(item["networks"] for item in found.provenance["items"]) == found.n_members == 12


def test_every_finished_item_is_a_results_file(done: Folder) -> None:
    members = []
    for path in done.finished():
        with Run(path) as found:
            members += [json.dumps(found.member_spec(i)) for i in range(found.n_members)]
            assert found.spec_text == SPEC and found.status == ["done"] * found.n_members
    assert len(members) == len(set(members)) == 12


def test_workers_share_the_items(registry: Registry, one: Path, tmp_path: Path) -> None:
    """Threads stand for hosts: each has its own view of the folder. No item is trained twice."""
    folder, notes = begun(registry, tmp_path / "many", workers=4), []

    class Noted(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            notes.append([p.member for p in cohort.points])

    options = replace(FAST, watcher=Noted(-1))
    workers = [threading.Thread(target=work, args=(Folder(folder.path), registry, options)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    collect(folder, swept(registry), registry, tmp_path / "many.h5")
    assert_same(one, tmp_path / "many.h5")
    assert len(notes) == len(folder.items())
    assert not [name for name in folder.work.iterdir() if name.suffix in (".lease", ".error")]


def test_added_values_run_alone(done: Folder, registry: Registry, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.finished()}
    wider = ['sweep={"cost.c"=[0.01, 0.3, 1.0], noise=[{kind="heterogeneous"}, {kind="homogeneous"}, {kind="none"}]}']
    folder = begun(registry, tmp_path / "many", *wider)
    work(folder, registry, FAST)
    after = {path: path.stat().st_mtime_ns for path in folder.finished()}
    assert before.items() <= after.items() and len(after) > len(before)
    collect(folder, swept(registry, *wider), registry, tmp_path / "many.h5")
    with Run(tmp_path / "many.h5") as found:
        assert found.n_members == 18
        assert found.swept["cost.c"] == [p.swept["cost.c"] for p in swept(registry, *wider).members()]


def test_taken_back_values_are_neither_trained_nor_gathered(registry: Registry, tmp_path: Path) -> None:
    one_c = 'sweep={"cost.c"=[1.0], noise=[{kind="heterogeneous"}]}'
    begun(registry, tmp_path / "many")
    folder = begun(registry, tmp_path / "many", one_c)
    assert sum(len(item.members) for item in folder.items()) == 2
    work(folder, registry, FAST)
    collect(folder, swept(registry, one_c), registry, tmp_path / "many.h5")
    with Run(tmp_path / "many.h5") as found:
        assert found.n_members == 2


@pytest.mark.parametrize("steps", [3, 40])
def test_a_stopped_worker_leaves_the_folder_to_the_next(
    registry: Registry, one: Path, tmp_path: Path, steps: int
) -> None:
    folder = begun(registry, tmp_path / "many")
    with pytest.raises(Interrupted, match="everything is saved"):
        work(folder, registry, replace(FAST, watcher=StopAt(steps)))
    assert not list(folder.work.glob("*.lease"))
    work(folder, registry, FAST)
    collect(folder, swept(registry), registry, tmp_path / "many.h5")
    assert_same(one, tmp_path / "many.h5")


def test_a_failing_network_costs_itself_alone(tmp_path: Path) -> None:
    registry = Registry.of(faulty)
    text = SPEC.replace("[sweep]", 'cost = { kind = "faulty", fault = "raise" }\n[sweep]').replace(
        "0.01,", "0.01, 0.1, 0.2, 2.0,"
    )
    experiment = loads(text, registry, ["seeds=[0]"])
    folder = begin(experiment, text, registry, tmp_path / "many", FAST)
    work(folder, registry, FAST)
    found = status(folder)
    assert (found.done, found.failed, found.left) == (13, 2, 0)  # without noise there is no cost to fail
    assert {f.which for f in found.failures} == {
        f'cost.c = 2.0, noise = {{"kind": "{kind}"}}, seed = 0' for kind in ("heterogeneous", "homogeneous")
    }
    for failure in found.failures:
        assert failure.given_up and failure.times == 3
        assert (
            "cost 'faulty' of tests.faults.faulty 0 (_raise, line" in failure.reason
            and "RuntimeError: boom" in failure.reason
        )
    missing = collect(folder, experiment, registry, tmp_path / "many.h5")
    assert [point.swept["cost.c"] for point in missing] == [2.0, 2.0]
    folder.clear_errors()
    assert status(folder).left == 2


@pytest.mark.parametrize(
    "fault, says",
    [("nan", "NaN"), ("shape", r"a tensor of shape \(1,\) instead of \(1, 3\)"), ("device", "device meta")],
)
def test_what_breaks_the_contract_is_named(fault: str, says: str, tmp_path: Path) -> None:
    registry = Registry.of(faulty)
    with pytest.raises(PluginError, match=rf"the cost 'faulty' .*energy\(\) returned .*{says}"):
        cost = f'cost={{kind="faulty", fault="{fault}", c=2}}'
        run(loads(SPEC, registry, ["sweep={}", cost]), SPEC, registry, tmp_path / "one.h5")


def test_part_of_a_cohort_goes_on_alone(registry: Registry) -> None:
    """Halved at any step, the networks end as they would have together, to the rounding of sums of another shape."""
    c = cohort(registry, DIGITS, 'sweep={"cost.c"=[0.1, 1.0, 10.0]}')
    whole, state = trained(c), c.start()
    for _, _ in zip(train(c, state), range(13), strict=False):
        pass
    tree = checkpoint.part(checkpoint.pack(state), slice(1, 3))
    alone = type(c)(c.points[1:], c.data, False)
    state = checkpoint.unpack(tree, alone)
    for _ in train(alone, state):
        pass
    for a, b in zip(whole.parameters.tensors(), state.parameters.tensors(), strict=True):
        torch.testing.assert_close(a[1:], b, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(whole.curves[-1]["nll"][1:], state.curves[-1]["nll"], rtol=1e-9, atol=1e-12)


@examples(50)
@given(st.integers(1, 40), st.data())
def test_halves_of_halves_know_their_places(members: int, data: st.DataObject) -> None:
    item = whole = Item(tuple(Setting({"number": i}, {}) for i in range(members)), 1, 1)
    while len(item.members) > 1:
        first, second = item.halves()
        assert first.members + second.members == item.members and len(first.members) >= 1
        item = data.draw(st.sampled_from([first, second]))
        for ancestor, rows in item.ancestry():
            assert ancestor.members[rows] == item.members
        assert ancestor is whole


def test_cohorts_are_cut_to_memory_and_to_workers(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    points = loads(SPEC, registry, ["seeds=[0]", 'sweep={"cost.c"={logspace=[-2, 0, 12]}}']).members()
    size = planning.synapses(points[0], CPU)
    assert [len(group) for group in planning.plan(points, CPU)] == [12]
    assert [len(group) for group in planning.plan(points, CPU, workers=3)] == [4, 4, 4]
    assert [len(group) for group in planning.plan(points, CPU, workers=7)] == [1] * 12
    assert [len(group) for group in planning.plan(points[:7], CPU, workers=2)] == [3, 4]
    assert [len(group) for group in planning.plan(points, CPU, cohort=5)] == [4, 4, 4]
    monkeypatch.setattr(memory, "BASE_BYTES", 0)
    monkeypatch.setattr(memory, "free", lambda device: 5.5 * size * memory.PEAK_BYTES / memory.SHARE)
    assert [len(group) for group in planning.plan(points, CPU)] == [4, 4, 4]
    monkeypatch.setattr(memory, "free", lambda device: 1.0)
    assert len(planning.plan(points, CPU)) == 12  # one at a time, and hope


def test_gathering_holds_one_array_of_one_item(
    done: Folder, registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    """One array of one item is read at a time, whatever the number of networks."""
    largest = []
    value = hdf5.value

    def noted(*args: Any) -> Any:
        found = value(*args)
        largest.append(found.nbytes if isinstance(found, np.ndarray) and found.dtype.kind == "f" else 0)
        return found

    monkeypatch.setattr(hdf5, "value", noted)
    collect(done, swept(registry), registry, tmp_path / "many.h5")
    with h5py.File(tmp_path / "many.h5") as file:
        array = file["networks/0/layer_1/mu"][0].nbytes * max(len(item.members) for item in done.items())
        tables = max(item.nbytes for name in ("members", "curves") for item in file[name].values())
    assert 0 < max(largest) <= max(array, tables)


def test_the_first_of_two_files_with_a_member_counts(done: Folder) -> None:
    (done.work / "0000000000000000.h5").write_bytes(done.finished()[0].read_bytes())
    assert len(merge.sources(done.finished())) == 12


def test_status_counts_and_foresees(registry: Registry, tmp_path: Path) -> None:
    folder = begun(registry, tmp_path / "many")
    found = status(folder)
    assert (found.networks, found.left, found.seconds_to_go) == (12, 12, None)
    with pytest.raises(Interrupted):
        work(folder, registry, replace(FAST, watcher=StopAt(100)))
    found = status(folder)
    assert 0 < found.done < 12 and found.done + found.left == 12 and not found.workers
    work(folder, registry, FAST)
    assert status(folder).seconds_to_go == 0 and status(folder).done == 12


def test_a_folder_knows_networks_of_several_kinds(registry: Registry, tmp_path: Path) -> None:
    text = SPEC.split("[sweep]")[0] + '[sweep]\n"cost.kind" = ["calcium", "trafficking"]\n'
    folder = begin(loads(text, registry), text, registry, tmp_path / "kinds", FAST)
    kinds = [point.member.cost.kind for point in folder.whole_experiment(registry).members()]
    assert kinds == ["calcium"] * 2 + ["trafficking"] * 2


def test_nothing_to_gather_and_no_folder_are_said(registry: Registry, tmp_path: Path) -> None:
    folder = begun(registry, tmp_path / "many")
    with pytest.raises(UserError, match="no network of its spec is finished yet"):
        collect(folder, swept(registry), registry, tmp_path / "many.h5")
    with pytest.raises(UserError, match="is not a sweep's folder; start a sweep with"):
        Folder.open(tmp_path)
