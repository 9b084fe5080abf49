"""Ctrl-C and SIGTERM as a flag that the training loop reads between steps."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is open, the first signal only asks; the second ends the process as it always would."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        try:
            self._before = {s: signal.signal(s, self._ask) for s in SIGNALS}
        except ValueError:  # not the main thread: whoever runs that decides about signals
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)

    def wait(self, seconds: float) -> None:
        """Until a signal asks, or the time is over."""
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(min(0.2, seconds))

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.asked = signal.Signals(number)
        for s, handler in self._before.items():
            signal.signal(s, handler)
