"""Defer interrupts during calls of HDF5, which calls Python back for every byte and loses exceptions raised there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _Waiting:
    """Nesting depth of such calls in the main thread, and whether it was interrupted; signals reach no other thread."""

    depth, interrupted = 0, False


@contextlib.contextmanager
def deferring_interrupts() -> Iterator[None]:
    """A block in which `interrupt` only takes note; KeyboardInterrupt is raised at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Waiting.depth += 1
    try:
        yield
    finally:
        _Waiting.depth -= 1
        if _Waiting.interrupted and not _Waiting.depth:
            _Waiting.interrupted = False
            raise KeyboardInterrupt


def interrupt() -> None:
    """Raise KeyboardInterrupt, at once or at the end of a block of `deferring_interrupts`; for signal handlers."""
    if not _Waiting.depth:
        raise KeyboardInterrupt
    _Waiting.interrupted = True
