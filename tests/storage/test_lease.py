"""Leases: one holder at a time, whatever clocks, kills and suspensions do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebayes_core.storage import lease
from ebayes_core.storage.lease import Lease, Pace, Watch, dead, me, read
from tests.waiting import until

needs_proc = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells when a process started; a lease goes stale elsewhere"
)
QUICK = Pace(beat=0.05, stale=0.5, stuck=3600)
HOLDER = """
import sys, time
from pathlib import Path
from ebayes_core.storage.lease import Lease, Pace
with Lease(Path(sys.argv[1]), Pace(beat=0.05)):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds a lease."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_of_many_that_try_one_gets_it(tmp_path: Path) -> None:
    path, won, together = tmp_path / "a.1.lease", [], threading.Barrier(20)

    def attempt(number: int) -> None:
        together.wait()
        try:
            Lease(path, QUICK)
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=attempt, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert read(path)["pid"] == os.getpid()


def test_a_lease_beats_while_it_is_held_and_is_gone_afterwards(tmp_path: Path) -> None:
    path, watch = tmp_path / "a.1.lease", Watch(0)
    with Lease(path, QUICK) as held:
        for _ in range(5):
            assert not watch.over(path)  # though none may go without a beat from one look to the next
            last = path.stat().st_mtime_ns
            until(lambda last=last: path.stat().st_mtime_ns != last)
        assert held.held() and not held.lost
    assert not path.exists()
    assert not watch.over(path)  # nothing to take over


def test_a_lease_without_a_heartbeat_is_over_whatever_the_clocks_say(tmp_path: Path, monkeypatch) -> None:
    """From another host, so that only heartbeats count; its clock is a year ahead, or at the epoch."""
    watched = [0.0]  # the time on the clock of whoever watches
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: watched[0]))
    for when in (time.time() + 3e7, 0):
        path, watch = tmp_path / "a.1.lease", Watch(0.3)
        path.write_text(json.dumps({**me(), "host": "elsewhere"}))
        os.utime(path, (when, when))
        assert not watch.over(path)
        watched[0] += 0.2
        os.utime(path, (when - 50, when - 50))  # a beat, and the clock jumps back
        assert not watch.over(path)
        watched[0] += 0.2
        assert not watch.over(path)  # since the beat, not since the first look
        watched[0] += 0.2
        assert watch.over(path)


@needs_proc
def test_a_killed_holder_on_this_host_is_known_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.1.lease"
    process, watch = holder(path), Watch(3600)
    assert not watch.over(path)
    process.kill()
    process.wait()
    assert path.exists() and watch.over(path)


@needs_proc
def test_a_number_that_another_process_has_now_is_no_sign_of_life() -> None:
    assert not dead(me())
    assert dead({**me(), "started": "1"})
    assert not dead({**me(), "started": "1", "host": "elsewhere"})  # nobody here can know
    assert not dead({**me(), "started": "1", "world": "another container"})


def test_a_suspended_holder_goes_stale(tmp_path: Path) -> None:
    """It does not count as ended; but once its heartbeat has stopped for long enough, others may take over."""
    path, watch = tmp_path / "a.1.lease", Watch(0.5)
    process = holder(path)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        assert not watch.over(path)
        until(lambda: watch.over(path))
    finally:
        process.kill()
        process.wait()


def test_a_higher_number_or_a_file_deleted_underneath_ends_it(tmp_path: Path) -> None:
    with Lease(tmp_path / "a.1.lease", QUICK) as first:
        with Lease(tmp_path / "a.2.lease", QUICK) as second:
            until(lambda: first.lost)
            assert not second.lost
        assert first.held()  # released: nobody holds it now but us
        until(lambda: not first.lost)
        (tmp_path / "a.1.lease").unlink()
        until(lambda: first.lost)


def test_stuck_is_counted_in_beats(tmp_path: Path) -> None:
    """Training steps reset the count; a wall clock that jumps, or a suspension, has no effect."""
    calls: list[str] = []
    held = Lease(tmp_path / "a.1.lease", Pace(beat=0.05, stuck=0.5))
    held.stuck = lambda: calls.append("stuck")
    for _ in range(3):
        held.progress()
        beat(held, 8)
    assert not calls
    beat(held, 8)
    assert calls == ["stuck"]


def beat(held: Lease, times: int) -> None:
    """Beat the given number of times, without waiting."""
    waits = iter([False] * times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "_end", SimpleNamespace(wait=lambda seconds: next(waits, True)))
        held._beat()


@pytest.mark.parametrize("left", ["", "{", "[]", "null", '{"pid": 1}'])
def test_half_a_lease_is_nobodys_and_goes_stale(tmp_path: Path, left: str) -> None:
    """Its holder ended while writing it."""
    path, watch = tmp_path / "a.1.lease", Watch(0.2)
    path.write_text(left)
    assert not watch.over(path)
    until(lambda: watch.over(path))
    assert lease.read(tmp_path / "none") is None
