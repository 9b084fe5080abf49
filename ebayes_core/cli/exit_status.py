"""How a command ends: every exception becomes a message and an exit status."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from typing import Any

import rich_click as click
from click.exceptions import Exit

from ebayes_core.console.output import say
from ebayes_core.errors import EbayesError, Interrupted


class Stderr(logging.Handler):
    """Writes log lines to the current stderr, so that they appear above a live display and not within it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as one line."""
        print(self.format(record), file=sys.stderr)


def guarded(command: Callable[[], Any]) -> int:  # noqa: PLR0911
    """The exit status of a command: 0, 2 for a user error, 130 for an interruption, 1 for anything else."""
    try:
        result = command()
        return result if isinstance(result, int) else 0
    except Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("stopped", err=True)
        return 130
    except Interrupted as error:
        again = [a for a in sys.argv[1:] if a != "--fresh"]  # --fresh would discard the work
        say(f"{error}\n  {shlex.join(['ebayes', *again])}", err=True)
        return error.exit_code
    except EbayesError as error:
        say(error, err=True)
        return error.exit_code
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    from ebayes_core.contract.attribution import blamed

    say(f"{blamed(error)}\n(set EBAYES_DEBUG=1 for the traceback)", err=True)
    return 1
