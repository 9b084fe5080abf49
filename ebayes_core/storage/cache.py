"""The folder for downloaded data sets; it does not affect any result."""

from __future__ import annotations

import os
from pathlib import Path

from ebayes_core.errors import DataError

VARIABLE = "EBAYES_CACHE"


def cache_dir() -> Path:
    """The folder named by EBAYES_CACHE (or `--cache`), otherwise the user's cache folder; it need not exist yet.

    Raises DataError if the path starts with `~` and the home folder is unknown.
    """
    from platformdirs import user_cache_path

    folder = Path(os.path.expanduser(os.environ.get(VARIABLE) or user_cache_path("ebayes")))
    if folder.parts[:1] and folder.parts[0].startswith("~"):
        raise DataError(
            f"there is no home folder for the cache folder {folder}; name one with --cache DIR or {VARIABLE}"
        )
    return folder


def refused(folder: Path, error: OSError) -> DataError:
    """The error to raise for a cache folder that cannot be written to."""
    return DataError(
        f"cannot write to the cache folder {folder} ({error.filename or folder}: {error.strerror or error}); "
        f"name another folder with --cache DIR or {VARIABLE}"
    )
