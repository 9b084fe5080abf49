"""`python -m ebayes_core` is `ebayes`."""

from ebayes_core.cli.main import entry

entry()
