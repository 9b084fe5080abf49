"""Signals that ask to stop: what goes on is finished and saved, and whoever asks again asks for the same.

Batch systems send several within milliseconds (CONT, TERM, TERM) and warn with USR1; a terminal that closes sends HUP.
What was ignored when the process started, as HUP is under nohup, stays ignored.
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

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  #: of which Windows has two
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
STREAMS = (0, 1, 2)


class Stop:
    """While it is open, a signal only asks.

    At a terminal the second Ctrl-C says, through `note`, what another one costs (`price`), and the third ends the
    process as it always would. Elsewhere nobody reads that, and any number of them is the same request.
    """

    def __init__(self, note: Callable[[str], None] = print) -> None:
        self.asked: signal.Signals | None = None
        self.note = note
        self.price: Callable[[], str] = lambda: "ends it at once"
        self._before: dict[signal.Signals, Any] = {}
        self._at_once, self._pressed = False, 0

    def __enter__(self) -> Stop:
        heard = [s for s in SIGNALS if signal.getsignal(s) not in (signal.SIG_IGN, None)]
        with contextlib.suppress(ValueError):  # not the main thread: whoever runs that decides about signals
            self._before = {s: signal.signal(s, self._ask) for s in heard}
        return self

    def __exit__(self, *_: object) -> None:
        ends = self.asked and Command.owned  # and who asks again on the way out asks for the same
        for s, handler in self._before.items():
            signal.signal(s, signal.SIG_IGN if ends else handler)

    def wait(self, seconds: float) -> None:
        """Until a signal asks, or the time is over."""
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(min(0.2, seconds))

    def check(self, where: str) -> None:
        """Raise Interrupted if a signal has asked."""
        if self.asked:
            raise Interrupted(f"stopped by {self.asked.name}{where}")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block that may be left at any moment, since nothing is lost with it: a signal raises KeyboardInterrupt."""
        self._at_once = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def _ask(self, number: int, _: FrameType | None) -> None:
        _leave_the_dead_terminal()
        self.asked = self.asked or signal.Signals(number)
        self._pressed += number == signal.SIGINT and os.isatty(0)
        if self._pressed == 2:  # from a thread of its own: this one may be in the middle of a line
            text = f"stopping; Ctrl-C once more {self.price()}"
            threading.Thread(target=self.note, args=(text,), daemon=True).start()
        if self._at_once or self._pressed > 2:
            interrupt()


class Command:
    """A process that is one command from start to end: whatever asks it to stop ends it."""

    owned = False

    @classmethod
    def own(cls) -> None:
        """Let a signal outside of any Stop end the process as Ctrl-C does: its files cleared up, with status 130."""
        cls.owned = True
        for s in SIGNALS:
            if signal.getsignal(s) == signal.SIG_DFL:
                signal.signal(s, cls._end)

    @staticmethod
    def _end(number: int, _: FrameType | None) -> None:
        """The first; those that follow must not disturb the clearing up."""
        _leave_the_dead_terminal()
        for s in SIGNALS:
            if signal.getsignal(s) == Command._end:
                signal.signal(s, signal.SIG_IGN)
        interrupt()


#: the standard streams that are a terminal's
TERMINAL = [stream for stream in STREAMS if os.isatty(stream)]


def _leave_the_dead_terminal() -> None:
    """Once it is closed, every message to it is an error, and must not cost what is being saved."""
    for stream in TERMINAL:
        if not os.isatty(stream):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
