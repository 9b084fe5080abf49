"""Where downloaded data sets are kept; the folder changes no result."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EBAYES_CACHE"


def cache_dir() -> Path:
    """The folder named by EBAYES_CACHE (or `--cache`), else the user's cache folder; made where it is missing."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    folder = Path(named).expanduser() if named else user_cache_path("ebayes")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
