"""An interrupt that arrives while HDF5 calls Python back is raised once it has returned, and is never lost."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ebayes_core.storage import hdf5
from ebayes_core.storage.tolerant import Lenient
from ebayes_core.storage.uninterrupted import deferring_interrupts, interrupt


@pytest.mark.parametrize("method", ["write", "readinto", "truncate", "seek"])
def test_in_the_middle_of_a_write_it_is_heard_before_the_file_counts(tmp_path: Path, monkeypatch, method: str) -> None:
    called = getattr(Lenient, method)

    def disturbed(self, *arguments):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(Lenient, method, called)
        interrupt()
        return called(self, *arguments)

    hdf5.save(tmp_path / "old.h5", {"x": np.arange(5)})
    monkeypatch.setattr(Lenient, method, disturbed)
    with pytest.raises(KeyboardInterrupt), hdf5.writing(tmp_path / "new.h5", tmp_path / "old.h5") as file:
        file["y"] = np.arange(100_000)
        file.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["old.h5"]


def test_it_is_raised_at_once_where_nothing_is_called_back() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_it_is_raised_once_at_the_end_of_the_outermost_block_and_goes_before_an_error() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), deferring_interrupts():
        with deferring_interrupts():
            interrupt()
        reached.append("the end of the inner one")
        raise ValueError("the file is not whole")
    assert reached
    with deferring_interrupts():
        pass


def test_another_thread_keeps_no_interruption_waiting() -> None:
    inside, done = threading.Event(), threading.Event()

    def read() -> None:
        with deferring_interrupts():
            inside.set()
            done.wait()

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        done.set()
        thread.join()
