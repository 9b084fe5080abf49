"""Waiting for other processes: for an event, never for a time that a busy machine could exceed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 600.0  #: seconds; whatever has not happened by then never will


def until(what: Callable[[], T]) -> T:
    """The first true value of `what`, which is called repeatedly."""
    end = time.monotonic() + LIMIT
    while not (found := what()):
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.02)
    return found
