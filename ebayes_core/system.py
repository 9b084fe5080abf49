"""The operating systems that ebayes runs on: Linux and macOS."""

from __future__ import annotations

import sys

from ebayes_core.errors import UserError


def refuse_windows() -> None:
    """Raise UserError on Windows, where files cannot be renamed, synced and locked as results and sweeps need it."""
    if sys.platform == "win32":
        raise UserError("ebayes runs on Linux and macOS; on Windows, install and run it inside WSL")
