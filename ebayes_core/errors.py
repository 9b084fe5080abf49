"""What can go wrong, sorted by whose mistake it is; the command line turns each into an exit status.

EbayesError            1  something failed
├── UserError          2  the user can mend it: the message says where, what and how
│   ├── SpecError         a spec: every mistake in it, at once
│   └── PluginError       a plugin: clashes, failed imports, broken contracts
└── Interrupted      130  a signal stopped the run; its checkpoint says how to go on
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 50  #: mistakes that one message names


class EbayesError(Exception):
    """A failure that the message explains."""

    exit_code = 1


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


class Interrupted(EbayesError):
    """Stopped by a signal, after a checkpoint."""

    exit_code = 130


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the names is close, else nothing."""
    close = get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
