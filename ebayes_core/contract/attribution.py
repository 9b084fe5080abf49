"""Attribution of errors to plugins: which plugin raised an error, so that the message says whom to report it to."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, FrameType, TracebackType
from typing import Any

from ebayes_core.contract.registry import OWN, Registered, Registry, everything
from ebayes_core.contract.slots import Plugin
from ebayes_core.errors import SHORT, EbayesError, told

Place = tuple[FrameType, int]  #: a frame and its current line
Attribution = tuple[list[Registered], str]  #: the plugin (several if it is ambiguous), and where in its code


@contextlib.contextmanager
def asking(plugin: Plugin, where: str) -> Iterator[None]:
    """Attribute errors to a plugin while the value that its method returned is used.

    By then no frame of the plugin is on the stack. The plugin is recorded on the error, which is raised again
    unchanged.
    """
    try:
        yield
    except Exception as error:
        vars(error).setdefault("asked", (type(plugin), where))
        raise


def blamed(error: BaseException, registry: Registry | None = None) -> str:
    """The error in one line; if a plugin raised it, with slot, kind, distribution, method, line, and what to do.

    registry: where to look for the plugin; everything that is installed if omitted. With EBAYES_DEBUG the traceback is
    printed to stderr. Errors that ebayes raises itself, about a spec or a file, are left unchanged.
    """
    if os.environ.get("EBAYES_DEBUG"):
        traceback.print_exception(error)
    entries = registry.entries if registry else everything()
    places = list(_outer(error.__traceback__))
    found = _innermost(places, entries) or _asked(error, entries) or _beside(places, entries)
    explained = isinstance(error, EbayesError) and not isinstance(error, LookupError)
    if found is None or explained:
        return told(error)
    return f"{_named(*found)}: {told(error)}{_advice(error, found[0])}"


def standing_in(registry: Registry) -> str:
    """What the main thread is executing now: a plugin, described as for an error, or the engine."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    found = _innermost(reversed(list(_inner(frame))), registry.entries)
    return _named(*found) if found else "the engine"


def _outer(tb: TracebackType | None) -> Iterator[Place]:
    """From the outermost frame to the one where the error arose."""
    while tb is not None:
        yield tb.tb_frame, tb.tb_lineno
        tb = tb.tb_next


def _inner(frame: FrameType | None) -> Iterator[Place]:
    """From the current frame outwards."""
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _innermost(places: Iterable[Place], entries: Sequence[Registered]) -> Attribution | None:
    """The plugin of the innermost frame that is one of its methods, or a function of its module called by one."""
    known, found = _code_of(entries), None
    methods: dict[str, Attribution] = {}
    for frame, line in places:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        of = _whose(frame, known)
        if of:
            found = methods[module] = (of, f"{name}, line {line}")
        elif module in methods:
            of, method = methods[module]
            found = (of, method if name.startswith("<") else f"{method}: {name}, line {line}")
    return found


def _beside(places: Iterable[Place], entries: Sequence[Registered]) -> Attribution | None:
    """The plugins of the module in which the error arose if no method is on the stack, as in a custom backward pass.

    A notebook that defines a plugin and also calls the engine is not meant: there, frames of the engine are
    further in.
    """
    known, found = _code_of(entries), None
    for frame, line in places:
        module = frame.f_globals.get("__name__", "")
        if module in known:
            found = (known[module], f"{frame.f_code.co_name}, line {line}")
        elif module.startswith("ebayes_core."):
            found = None
    return found


def _code_of(entries: Sequence[Registered]) -> dict[Any, list[Registered]]:
    """Code object of a method, or name of a module -> the plugins that define it."""
    found: dict[Any, list[Registered]] = {}
    for entry in entries:
        for part in dict.fromkeys([entry.cls.__module__, *_codes(entry)]):
            found.setdefault(part, []).append(entry)
    return found


def _whose(frame: FrameType, known: dict[Any, list[Registered]]) -> list[Registered]:
    """The plugins whose method a frame is; if several inherit it, the one that it was called on."""
    of = known.get(frame.f_code, [])
    me = next(iter(frame.f_locals.values()), None) if of else None
    return [entry for cls in type(me).__mro__ for entry in of if entry.cls is cls][:1] or of


def _asked(error: BaseException, entries: Sequence[Registered]) -> Attribution | None:
    """The plugin that `asking` recorded on the error."""
    cls, where = getattr(error, "asked", (object, ""))
    found = [entry for parent in cls.__mro__ for entry in entries if entry.cls is parent][:1]
    return (found, where) if found else None


def _named(of: list[Registered], where: str) -> str:
    """`cost 'mine' of my-plugin 0.1 (energy, line 12)`."""
    kinds = " or ".join(f"{entry.slot} '{entry.kind}'" for entry in of)
    return f"{kinds} of {of[0].distribution} {of[0].version} ({where})"


def _advice(error: BaseException, of: list[Registered]) -> str:
    """What to do about a mistake in the plugin's code; nothing for a full disk or too little memory."""
    if isinstance(error, (EbayesError, OSError, MemoryError)) or SHORT.search(str(error)):
        return ""
    whom = "the developers of ebayes" if of[0].distribution == OWN else "its author"
    slots = " or ".join(dict.fromkeys(entry.slot for entry in of))
    return f"; report it to {whom} with what EBAYES_DEBUG=1 shows, or take another {slots}"


def _codes(entry: Registered) -> Iterator[CodeType]:
    """The code of every method that the plugin's class defines or inherits, except from bases of ebayes_core."""
    for cls in entry.cls.__mro__:
        for item in vars(cls).values() if not cls.__module__.startswith("ebayes_core.") else ():
            function = getattr(item, "fget", None) or getattr(item, "__func__", None) or item
            if isinstance(getattr(function, "__code__", None), CodeType):
                yield function.__code__
