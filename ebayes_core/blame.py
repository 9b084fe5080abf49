"""Whose code failed: the plugin nearest to where an error arose, so that a user knows whom to write to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, TracebackType

from ebayes_core.errors import told
from ebayes_core.registry import Registered, Registry

Place = tuple[FrameType, int]  #: a frame, and the line where it stands


def blamed(error: BaseException, registry: Registry) -> str:
    """The error in one line, with the plugin in whose code it arose, if any."""
    return _named(_outer(error.__traceback__), registry) + told(error)


def standing_in(registry: Registry) -> str:
    """Where the main thread is now, as for an error."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return _named(reversed(list(_inner(frame))), registry).removesuffix(": ") or "the engine"


def _outer(tb: TracebackType | None) -> Iterator[Place]:
    """From the outermost frame to where the error arose."""
    while tb is not None:
        yield tb.tb_frame, tb.tb_lineno
        tb = tb.tb_next


def _inner(frame: FrameType | None) -> Iterator[Place]:
    """From where it stands now outwards."""
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _named(places: Iterable[Place], registry: Registry) -> str:
    """`cost 'mine' of my-plugin 0.1 (energy, line 12): ` for the innermost frame that is a plugin's, else nothing."""
    codes = {code: entry for entry in registry.entries for code in _codes(entry)}
    for frame, line in reversed(list(places)):
        if frame.f_code in codes:
            entry = codes[frame.f_code]
            where = f"{frame.f_code.co_name}, line {line}"
            return f"{entry.slot} '{entry.kind}' of {entry.distribution} {entry.version} ({where}): "
    return ""


def _codes(entry: Registered) -> Iterator[CodeType]:
    """The code of every method that the plugin's class, or a base of it that is no base of ours, defines."""
    for cls in entry.cls.__mro__:
        for item in vars(cls).values() if not cls.__module__.startswith("ebayes_core.") else ():
            function = getattr(item, "fget", None) or getattr(item, "__func__", None) or item
            if isinstance(getattr(function, "__code__", None), CodeType):
                yield function.__code__
