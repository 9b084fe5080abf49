"""What can go wrong, sorted by whose mistake it is; the command line turns each into an exit status.

EbayesError            1  something failed
├── StoreError            a file that is damaged, strange, or none of ours
│   └── InUse             a file that another program has open for writing: nothing is wrong with it
├── DiskError             a disk that refused for longer than anybody waits
├── UserError          2  the user can mend it: the message says where, what and how
│   ├── SpecError         a spec: every mistake in it, at once
│   ├── PluginError       a plugin: clashes, failed imports, broken contracts
│   ├── DataError         data that are missing, damaged, or unfit to train on, on this machine
│   └── AbsentError       what a results file does not hold, and what it does; a KeyError too
└── Interrupted      130  a signal stopped the run; its checkpoint says how to go on
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

SHOWN = 50  #: mistakes that one message names
#: how torch says that memory is short, on a processor and on a GPU
SHORT = re.compile("can't allocate memory|out of memory", re.IGNORECASE)


class EbayesError(Exception):
    """A failure that the message explains."""

    exit_code = 1


class StoreError(EbayesError):
    """A file that cannot be read as what it should be."""


class InUse(StoreError):
    """A file that another program has open for writing; once it is closed there, it can be read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.filename = str(path)


class DiskError(EbayesError):
    """A disk that refused for longer than anybody waits."""


class UserError(EbayesError):
    """A mistake that the user can mend."""

    exit_code = 2


class SpecError(UserError):
    """Every mistake in one spec; the message shows the first of very many."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        more = [f"and {len(self.mistakes) - SHOWN} more mistakes"] if len(self.mistakes) > SHOWN else []
        super().__init__("\n".join([*self.mistakes[:SHOWN], *more]))


class PluginError(UserError):
    """A plugin that cannot be used, with its distribution."""


class DataError(UserError):
    """Data that are missing, damaged, or unfit to train on: nothing is trained here before that is mended."""


class AbsentError(UserError, KeyError):
    """What a results file does not hold; the message lists what it does."""

    __str__ = Exception.__str__  # a KeyError's own puts its text in quotes


class Interrupted(EbayesError):
    """Stopped by a signal, after a checkpoint."""

    exit_code = 130


def told(error: BaseException) -> str:
    """Any error in one line, as a user may read it."""
    if isinstance(error, EbayesError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and SHORT.search(str(error))):
        what = " ".join(str(error).split())
        return f"not enough memory: take a smaller network or data set, or fewer networks at a time (--cohort); {what}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the names is close, else nothing."""
    close = get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
