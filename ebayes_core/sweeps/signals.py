"""Signals that request a stop: training is saved first, and repeated signals are the same request.

Batch systems send several within milliseconds (CONT, TERM, TERM) and warn with USR1; a terminal that closes sends HUP.
Signals that were ignored when the process started, as HUP is under nohup, stay ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ebayes_core.errors import Interrupted
from ebayes_core.storage.uninterrupted import interrupt

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  #: Windows has only two of them
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
STREAMS = (0, 1, 2)


class Stop:
    """A block in which a signal only sets `asked`, so that the code can save its work before it stops.

    At a terminal, the second Ctrl-C prints through `note` what another one does (`consequence`), and the third ends the
    process at once. Elsewhere there is no one to read that, and any number of signals is the same request.
    """

    def __init__(self, note: Callable[[str], None] = print) -> None:
        self.asked: signal.Signals | None = None
        self.note = note
        self.consequence: Callable[[], str] = lambda: "stops it at once"
        self._before: dict[signal.Signals, Any] = {}
        self._at_once, self._pressed = False, 0

    def __enter__(self) -> Stop:
        heard = [s for s in SIGNALS if signal.getsignal(s) not in (signal.SIG_IGN, None)]
        with contextlib.suppress(ValueError):  # not the main thread, which alone can set handlers
            self._before = {s: signal.signal(s, self._ask) for s in heard}
        return self

    def __exit__(self, *_: object) -> None:
        ends = self.asked and Command.owned  # further signals must not disturb the way out
        for s, handler in self._before.items():
            signal.signal(s, signal.SIG_IGN if ends else handler)

    def wait(self, seconds: float) -> None:
        """Sleep until a signal arrives or the time is over."""
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(min(0.2, seconds))

    def check(self, where: str) -> None:
        """Raise Interrupted if a signal has arrived."""
        if self.asked:
            raise Interrupted(f"stopped by {self.asked.name}{where}")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block that has nothing to save, so a signal in it raises KeyboardInterrupt at once."""
        self._at_once = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def _ask(self, number: int, _: FrameType | None) -> None:
        _detach_closed_terminal()
        self.asked = self.asked or signal.Signals(number)
        self._pressed += number == signal.SIGINT and os.isatty(0)
        if self._pressed == 2:  # in another thread: this one may be printing
            text = f"stopping; Ctrl-C once more {self.consequence()}"
            threading.Thread(target=self.note, args=(text,), daemon=True).start()
        if self._at_once or self._pressed > 2:
            interrupt()


class Command:
    """A process that runs a single command, so that any request to stop ends it."""

    owned = False

    @classmethod
    def own(cls) -> None:
        """Let a signal outside of any Stop end the process as Ctrl-C does: temporary files are removed, status 130."""
        cls.owned = True
        for s in SIGNALS:
            if signal.getsignal(s) == signal.SIG_DFL:
                signal.signal(s, cls._end)

    @staticmethod
    def _end(number: int, _: FrameType | None) -> None:
        """Handle the first signal; later ones are ignored so that they do not disturb the cleaning up."""
        _detach_closed_terminal()
        for s in SIGNALS:
            if signal.getsignal(s) == Command._end:
                signal.signal(s, signal.SIG_IGN)
        interrupt()


#: the standard streams that are connected to a terminal
TERMINAL = [stream for stream in STREAMS if os.isatty(stream)]


def _detach_closed_terminal() -> None:
    """Redirect the streams of a closed terminal: an error on writing to it must not prevent saving."""
    for stream in TERMINAL:
        if not os.isatty(stream):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
