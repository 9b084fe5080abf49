"""HDF5 calls Python back for every byte, and loses an exception that it meets there: an interruption waits for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _Waiting:
    """How deep the main thread is in such calls, and whether it was interrupted meanwhile; signals meet no other."""

    depth, interrupted = 0, False


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
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
    """What a signal's handler calls: raise KeyboardInterrupt, as soon as that is heard."""
    if not _Waiting.depth:
        raise KeyboardInterrupt
    _Waiting.interrupted = True
