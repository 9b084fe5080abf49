"""The errors that ebayes raises, by their cause, with the exit status that the command line gives each.

EbayesError            1  something failed
├── StoreError            a file is damaged, unknown, or was not written by ebayes
│   └── InUse             another program has the file open for writing; nothing is wrong with it
├── DiskError             a disk could not be written for longer than a run waits
├── UserError          2  the user can correct it: the message says where, what and how
│   ├── SpecError         a spec is invalid; lists every mistake in it
│   ├── PluginError       a plugin clashes, cannot be imported, or breaks the contract
│   ├── DataError         data are missing, damaged, or unfit to train on, on this machine
│   └── AbsentError       a results file does not contain something; lists what it does; also a KeyError
└── Interrupted      130  a signal stopped the run after a checkpoint
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

SHOWN = 50  #: largest number of mistakes listed in one message
#: how torch reports too little memory, on a CPU and on a GPU
SHORT = re.compile("can't allocate memory|out of memory", re.IGNORECASE)


class EbayesError(Exception):
    """A failure that its message explains."""

    exit_code = 1


class StoreError(EbayesError):
    """A file cannot be read as what it should be."""


class InUse(StoreError):
    """Another program has the file open for writing; it can be read once it is closed there."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.filename = str(path)


class DiskError(EbayesError):
    """A disk could not be written for longer than a run waits."""


class UserError(EbayesError):
    """A mistake that the user can correct."""

    exit_code = 2


class SpecError(UserError):
    """Every mistake in one spec; of very many, the message shows the first."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        more = [f"and {len(self.mistakes) - SHOWN} more mistakes"] if len(self.mistakes) > SHOWN else []
        super().__init__("\n".join([*self.mistakes[:SHOWN], *more]))


class PluginError(UserError):
    """A plugin that cannot be used; the message names its distribution."""


class DataError(UserError):
    """Data that are missing, damaged, or unfit to train on; raised before anything is trained on this machine."""


class AbsentError(UserError, KeyError):
    """Something that a results file does not contain; the message lists what it does."""

    __str__ = Exception.__str__  # KeyError's own would put the text in quotes


class Interrupted(EbayesError):
    """Stopped by a signal, after a checkpoint."""

    exit_code = 130


def told(error: BaseException) -> str:
    """Any error in one line, as shown to a user."""
    if isinstance(error, EbayesError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and SHORT.search(str(error))):
        what = " ".join(str(error).split())
        return f"not enough memory: use a smaller network or data set, or fewer networks at a time (--cohort); {what}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` if one of the names is similar, else an empty string."""
    close = alike(name, names)
    return f"; did you mean '{close[0]}'?" if close else ""


def alike(name: str, names: Iterable[str]) -> list[str]:
    """The most similar of the names; empty if none is similar."""
    return get_close_matches(str(name), list(names), n=1, cutoff=0.5)
