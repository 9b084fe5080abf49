"""`python -m ebayes_core` is `ebayes`."""

from ebayes_core.cli import entry

entry()
