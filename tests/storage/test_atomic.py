"""Disks that fail: new files are complete, old ones unchanged, and waiting processes continue afterwards."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import DiskError, EbayesError, Interrupted, told
from ebayes_core.storage import atomic, hdf5
from ebayes_core.storage.lease import HELD, Lease, Pace, Watch
from ebayes_core.storage.tolerant import Lenient
from ebayes_core.sweeps import job, retry
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.retry import Retry
from ebayes_core.sweeps.run import begin, check_place, collect, run
from ebayes_core.sweeps.signals import Stop
from ebayes_core.sweeps.worker import work
from tests.drawn import examples
from tests.sweeps.test_folder import FAST, begun, swept
from tests.sweeps.test_run import SPEC, StopAt, assert_same
from tests.waiting import LIMIT


def full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def refusing(monkeypatch: pytest.MonkeyPatch, where: object, name: str, times: int, path: Path) -> None:
    """Let the first calls of a function find the disk full."""
    real, left = getattr(where, name), iter(range(times))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is not None:
            raise full(path)
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, call)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE", (0.01, 0.02))


# --- what HDF5 sees --------------------------------------------------------------------------------------------------

ACTS = st.lists(
    st.tuples(st.sampled_from(["write", "read", "truncate"]), st.integers(0, 300), st.binary(max_size=80)), max_size=30
)


@examples(200)
@given(acts=ACTS, room=st.integers(0, 300))
def test_a_lenient_file_is_what_was_written_whatever_the_disk_takes(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, bytes]], room: int
) -> None:
    """Against a file in memory; the disk accepts `room` bytes of each write, and fails beyond them."""
    real, wanted = os.pwrite, io.BytesIO()

    def pwrite(handle: int, data: bytes, at: int) -> int:
        if at >= room:
            raise full(Path("x"))
        return real(handle, data[: room - at], at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with Lenient(tmp_path_factory.mktemp("l") / "f", "w+b") as lenient:
            for what, at, data in acts:
                for file in (lenient, wanted):
                    file.seek(at)
                if what == "write" and data:
                    assert lenient.write(data) == wanted.write(data)
                elif what == "read":
                    found = lenient.read(len(data))
                    assert found is not None and found.rstrip(b"\0") == wanted.read(len(data)).rstrip(b"\0")
                elif what == "truncate" and lenient.refused is None:
                    assert lenient.truncate(at) == wanted.truncate(at)
            beyond = any(what == "write" and data and at + len(data) > room for what, at, data in acts)
            assert (lenient.refused is not None) == beyond


def test_a_full_disk_is_an_error_with_the_file_and_nothing_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    path, tree = tmp_path / "t.h5", {"a": np.arange(1000.0)}
    hdf5.save(path, tree)
    size = path.stat().st_size
    hdf5.save(path, {"a": np.zeros(3)})
    for taken in range(0, size, size // 20):
        with monkeypatch.context() as patch:
            patch.setattr(Lenient, "_write", _limited(taken))
            with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
                hdf5.save(path, tree)
        assert np.array_equal(hdf5.load(path)[0]["a"], np.zeros(3))
        assert list(tmp_path.iterdir()) == [path]
    hdf5.save(path, tree)


def _limited(room: int) -> Callable[[Lenient, bytes], None]:
    def write(self: Lenient, content: bytes) -> None:
        if self._at + len(content) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.lseek(self._file.fileno(), self._at, os.SEEK_SET)
        os.write(self._file.fileno(), content)

    return write


def test_a_large_file_ends_where_the_disk_does(tmp_path: Path, monkeypatch: Any) -> None:
    """What the disk rejects is kept in memory, but at most one part of a gathered file."""
    monkeypatch.setattr(Lenient, "_write", _limited(100))
    with pytest.raises(OSError, match="No space left"), hdf5.writing(tmp_path / "t.h5") as file:
        file["a"] = np.arange(10_000.0)
        file.flush()
        file.raise_refused()
        pytest.fail("went on")


# --- what cannot be synced -------------------------------------------------------------------------------------------


def answering(monkeypatch: pytest.MonkeyPatch, number: int, folders_only: bool = True) -> None:
    """Let fsync of every folder, or of everything, fail with an error."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) or not folders_only:
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(atomic, "SAID", set())


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC])
def test_a_folder_whose_name_cannot_be_synced_is_named(tmp_path: Path, monkeypatch: Any, number: int) -> None:
    answering(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        atomic.make(tmp_path / "a" / "b")
    assert caught.value.filename == str(tmp_path / "a" / "b")
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        atomic.write_text(tmp_path / "x", "y")
    assert caught.value.filename == str(tmp_path / "x")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
@pytest.mark.parametrize("folders_only", [True, False])
def test_a_file_system_that_cannot_sync_is_told_of_once(
    tmp_path: Path, monkeypatch: Any, caplog: Any, number: int, folders_only: bool
) -> None:
    answering(monkeypatch, number, folders_only)
    for name in "abc":
        hdf5.save(tmp_path / name / "t.h5", {"x": np.arange(3)})
        assert hdf5.load(tmp_path / name / "t.h5")[0]["x"].tolist() == [0, 1, 2]
    (line,) = caplog.messages
    assert re.fullmatch(
        rf"{tmp_path}.*cannot sync \({os.strerror(number)}\): .* may not survive a power loss; .*", line
    )


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read every folder")
def test_a_folder_that_one_may_write_to_but_not_list(tmp_path: Path) -> None:
    """It cannot be opened and so not synced; root without its privileges is subject to permissions like other users."""
    (tmp_path / "drop").mkdir(mode=0o300)
    path = str(tmp_path / "drop" / "x")
    program = (
        f"from ebayes_core.storage import atomic; from pathlib import Path; atomic.write_text(Path({path!r}), 'y')"
    )
    ordinary = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run([*ordinary, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    (tmp_path / "drop").chmod(0o700)
    assert (tmp_path / "drop" / "x").read_text() == "y", done.stderr
    assert done.returncode == 0 and done.stderr.count("cannot sync") == 1


# --- symbolic links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("points", ["{0}/far/new/t.h5", "far/new/t.h5", "again"])
def test_what_a_link_points_to_is_written_and_the_link_stays(
    tmp_path: Path, monkeypatch: Any, there: bool, points: str
) -> None:
    monkeypatch.chdir(tmp_path)
    link, target = Path("link.h5"), tmp_path / "far" / "new" / "t.h5"
    link.symlink_to(points.format(tmp_path))
    Path("again").symlink_to("far/new/t.h5")
    if there:
        hdf5.save(target, {"x": np.zeros(1)})
    hdf5.save(link, {"x": np.ones(1)})
    assert link.is_symlink() and not target.is_symlink()
    assert hdf5.load(target)[0]["x"] == hdf5.load(link)[0]["x"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "far", "link.h5"]
    assert list(target.parent.iterdir()) == [target]


def test_a_full_disk_behind_a_link_is_told_by_the_name_that_was_given(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "link.h5").symlink_to("far/t.h5")
    monkeypatch.setattr(Lenient, "_write", _limited(100))
    with pytest.raises(OSError, match="No space left") as caught:
        hdf5.save(tmp_path / "link.h5", {"x": np.arange(1000.0)})
    assert caught.value.filename == str(tmp_path / "link.h5")
    assert not list((tmp_path / "far").iterdir())


def test_links_in_a_circle_are_named(registry: Registry, tmp_path: Path) -> None:
    """Before training, not after it."""
    (tmp_path / "a.h5").symlink_to("b.h5")
    (tmp_path / "b.h5").symlink_to("a.h5")
    for act in (lambda: hdf5.save(tmp_path / "a.h5", {}), lambda: atomic.make(tmp_path / "a.h5" / "in")):
        with pytest.raises(OSError, match="symbolic links"):
            act()
    with pytest.raises(OSError, match=r"symbolic links: .*a\.h5"):
        run(swept(registry), SPEC, registry, tmp_path / "a.h5", replace(FAST, watcher=StopAt(0)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_a_sweep_whose_folders_are_links(registry: Registry, tmp_path: Path) -> None:
    """To a folder that does not exist yet; once the sweep is discarded, the links remain and nothing else of it."""
    (tmp_path / "many").symlink_to("scratch/many")
    folder = begun(registry, tmp_path / "many")
    assert len(folder.items()) and (tmp_path / "scratch" / "many" / "sweep.json").exists()
    folder.work.rename(tmp_path / "elsewhere")
    folder.work.symlink_to("../../elsewhere")
    folder.clear()
    assert folder.work.is_symlink() and not (tmp_path / "elsewhere").exists()
    assert len(begun(registry, tmp_path / "many").items()) == len(list((tmp_path / "elsewhere").iterdir()))


def test_what_a_stopped_run_left_behind_a_link_is_thrown_away_with_fresh(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "r.h5.partial").symlink_to("scratch")
    out, asked = tmp_path / "r.h5", swept(registry)
    with pytest.raises(Interrupted):
        run(asked, SPEC, registry, out, replace(FAST, watcher=StopAt(40)))
    done = len(list((tmp_path / "scratch" / "work").glob("*.h5")))
    begins: list[int] = []

    class Counted(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            begins.append(state.step)

    assert done and run(asked, SPEC, registry, out, replace(FAST, watcher=Counted(-1), fresh=True))
    assert begins == [0] * 6
    assert (tmp_path / "r.h5.partial").is_symlink() and not (tmp_path / "scratch").exists()


# --- trying again ----------------------------------------------------------------------------------------------------


def test_patience_goes_on_when_the_disk_does(tmp_path: Path, hasty: None) -> None:
    said: list[str] = []
    left = iter([full(tmp_path / "x")] * 3)

    def act() -> str:
        for error in left:
            raise error
        return "done"

    assert Retry(tmp_path, 10.0, Stop(), said.append)(act) == "done"
    assert len(said) == 3 and said[0] == f"{tmp_path}/x: No space left on device; trying again in 0 s"


def test_patience_ends(tmp_path: Path, hasty: None) -> None:
    def act() -> None:
        raise full(tmp_path / "x")

    def elsewhere() -> None:
        raise full(Path("/elsewhere"))

    stopped = Stop()
    stopped.asked = signal.SIGTERM
    with pytest.raises(DiskError, match="No space left on device; once this is solved, run the same command again"):
        Retry(tmp_path, 0.05, Stop(), lambda _: None)(act)
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM while waiting for the disk \(.*No space left"):
        Retry(tmp_path, 10.0, stopped, lambda _: None)(act)
    with pytest.raises(OSError, match="elsewhere"):
        Retry(tmp_path, 10.0, Stop(), lambda _: None)(elsewhere)


# --- workers ---------------------------------------------------------------------------------------------------------


def test_finished_networks_wait_for_the_disk(registry: Registry, tmp_path: Path, hasty: None, monkeypatch: Any) -> None:
    """Six networks, one file at a time; none counts as failed, and none is trained twice."""
    half = swept(registry, "seeds=[0]")
    run(half, SPEC, registry, tmp_path / "one.h5")
    folder = begin(half, SPEC, registry, tmp_path / "many", FAST)
    begins: list[int] = []

    class Counted(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            begins.append(index)

    refusing(monkeypatch, job, "write_run", 3, folder.work / "x.h5")
    work(folder, registry, replace(FAST, watcher=Counted(-1)))
    assert len(begins) == len(folder.items()) and not list(folder.work.glob("*.error"))
    collect(folder, half, registry, tmp_path / "many.h5")
    assert_same(tmp_path / "one.h5", tmp_path / "many.h5")


@pytest.mark.parametrize("name", ["left", "reached"])
def test_a_folder_out_of_reach_is_waited_for(
    registry: Registry, tmp_path: Path, hasty: None, monkeypatch: Any, name: str
) -> None:
    folder = begun(registry, tmp_path / "many")

    class Cut(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            if index == 1:
                refusing(monkeypatch, Folder, name, 3, folder.work)

    work(folder, registry, replace(FAST, watcher=Cut(-1)))
    assert not folder.left() and not list(folder.work.glob("*.error"))


def test_a_folder_that_never_took_a_lease_is_a_mistake(registry: Registry, tmp_path: Path, monkeypatch: Any) -> None:
    folder = begun(registry, tmp_path / "many")
    refusing(monkeypatch, Folder, "reached", 1, folder.work)
    with pytest.raises(DiskError, match="No space left"):
        work(folder, registry, FAST)


def test_a_stop_without_a_checkpoint_does_not_say_that_all_is_saved(
    registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = begun(registry, tmp_path / "many")
    refusing(monkeypatch, hdf5, "save", 1, folder.work / "x.checkpoint.h5")
    with pytest.raises(Interrupted, match="the previous checkpoint is kept; run the same command again"):
        work(folder, registry, replace(FAST, watcher=StopAt(3)))


def test_what_becomes_of_a_folder_that_loses_its_plan(registry: Registry, tmp_path: Path) -> None:
    """The networks stored in it are not trained again."""
    folder = begun(registry, tmp_path / "many")
    with pytest.raises(Interrupted):
        work(folder, registry, replace(FAST, watcher=StopAt(40)))
    (folder.path / "sweep.json").unlink()
    with pytest.raises(EbayesError, match=r"sweep\.json: does not exist any more; start again .*--out .*many/"):
        folder.left()
    done = folder.finished()
    check_place(swept(registry), folder.path, fresh=False)
    folder = begin(swept(registry), SPEC, registry, folder.path, FAST)
    assert len(folder.left()) == len(folder.items()) - len(done)
    work(folder, registry, FAST)
    assert collect(folder, swept(registry), registry, tmp_path / "many.h5") == []


def test_a_sweep_deleted_underneath_can_be_begun_again(registry: Registry, tmp_path: Path) -> None:
    """The worker's last checkpoint creates the folder again, with nothing else in it."""
    folder = begun(registry, tmp_path / "many")
    calm = replace(FAST, pace=Pace(LIMIT))  # no beat sees the lease gone before

    class Deleted(StopAt):
        def begin(self, cohort: Any, index: int, count: int, state: Any) -> None:
            shutil.rmtree(folder.path)

    with pytest.raises(Interrupted):
        work(folder, registry, replace(calm, watcher=Deleted(3)))
    assert list(folder.work.iterdir()) and not (folder.path / "sweep.json").exists()
    check_place(swept(registry), folder.path, fresh=False)
    folder = begin(swept(registry), SPEC, registry, folder.path, FAST)
    work(folder, registry, FAST)
    assert collect(folder, swept(registry), registry, tmp_path / "many.h5") == []


@pytest.mark.parametrize("left", ["", ".4572@elsewhere.x.unfinished"])
def test_leftovers_of_finished_items_are_removed(
    registry: Registry, tmp_path: Path, monkeypatch: Any, left: str
) -> None:
    """As left by a worker that ends, or whose disk fails, between writing the finished file and cleaning up."""
    folder = begun(registry, tmp_path / "many")
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "clean_up", lambda self: None)
        work(folder, registry, FAST)
        for item in folder.items():
            folder.file(item, f"checkpoint.h5{left}", 1).touch()
        assert list(folder.work.glob("*.checkpoint.h5*"))
    work(folder, registry, FAST)
    assert {path.suffix for path in folder.work.iterdir()} == {".h5", ".json"}
    assert not list(folder.work.glob("*.checkpoint.h5"))


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_lease_that_cannot_be_written_is_nobodys(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "x.1.lease"
    with monkeypatch.context() as patch:
        patch.setattr("json.dump", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full") as caught:
            Lease(path, Pace())
    assert caught.value.filename == str(path) and not path.exists() and path.absolute() not in HELD


def test_a_lease_of_ones_own_that_could_not_be_removed_is_over(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "x.1.lease"
    with Lease(path, Pace()), monkeypatch.context() as patch:
        assert not Watch(120.0).over(path)
        patch.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(full(path)))
        lease = Lease(tmp_path / "y.1.lease", Pace())
        lease.__enter__()
        lease.__exit__(None, None, None)
    assert lease.path.exists() and Watch(120.0).over(lease.path)


# --- words -----------------------------------------------------------------------------------------------------------


def test_errors_are_told_in_a_users_words() -> None:
    import torch

    assert told(full(Path("/a/b"))) == "/a/b: No space left on device"
    assert told(EbayesError("as it is")) == "as it is"
    assert told(ValueError("x")) == "ValueError: x"
    for much in (lambda: torch.empty(10**15), lambda: np.empty(10**15)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            much()
        assert told(caught.value).startswith("not enough memory: use a smaller network or data set")
