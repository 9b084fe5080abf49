"""Folders for torch's compilation: writable, with a path that a compiler's command can contain, and never the current
one.

torch splits the compiler's command at spaces, including those in paths, so that a space or a quote in the path of its
cache or of temporary files makes it fail. If no folder for temporary files can be written, Python uses the current one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ebayes_core.errors import DataError
from ebayes_core.storage.cache import cache_dir

CACHE, TEMPORARY = "TORCHINDUCTOR_CACHE_DIR", "TMPDIR"
#: patterns of the most informative lines in a compiler's message, best first
INFORMATIVE = (r"\berror: (?!ld returned)", r"cannot find|denied|not found|No such file|No space")
CURE = (
    f"install a C++ compiler, name one in CXX, or name another folder in {CACHE} and {TEMPORARY}; "
    "--compile off turns compilation and this message off"
)


class NoFolder(Exception):
    """There is no folder to compile in."""


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """A block in which torch has folders that it can compile in: its own if they are suitable. Raises NoFolder.

    The cache folder stays set in the environment afterwards, since a GPU's kernels are compiled when they are called.
    """
    temporary, before = _temporary(), (tempfile.tempdir, os.environ.get(TEMPORARY))
    if CACHE in os.environ and not _fit(Path(os.environ[CACHE])):
        os.environ[CACHE] = str(_ours() / "torchinductor")
    tempfile.tempdir = os.environ[TEMPORARY] = str(temporary)
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop(TEMPORARY)
        os.environ.update({TEMPORARY: before[1]} if before[1] is not None else {})


def described(error: BaseException) -> str:
    """The error in one line, with the folder in which torch compiles."""
    where = "" if isinstance(error, NoFolder) else f" (in {os.environ.get(CACHE) or tempfile.gettempdir()})"
    return informative_line(error) + where


def informative_line(error: BaseException) -> str:
    """The most informative line of a long error message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    best = (line for pattern in INFORMATIVE for line in lines if re.search(pattern, line))
    return next(best, lines[0])[:300]


def _temporary() -> Path:
    """Python's folder for temporary files, unless it is unsuitable, or is the current folder only for lack of any
    other.
    """
    with contextlib.suppress(OSError):
        found = Path(tempfile.gettempdir())
        asked = {Path(os.environ[name]).absolute() for name in (TEMPORARY, "TEMP", "TMP") if os.environ.get(name)}
        if _fit(found) and (found != Path.cwd() or found in asked):
            return found
    return _ours()


def _fit(path: Path) -> bool:
    """Whether the folder can be written and its path is one word of a command."""
    if re.search(r"[\s'\"]" if os.name == "nt" else r"[\s'\"\\]", str(path.absolute())):
        return False
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


@cache
def _ours() -> Path:
    """A folder in the user's cache, where compiled code is kept; otherwise one that is removed with the process."""
    with contextlib.suppress(DataError):
        if _fit(kept := cache_dir().absolute() / "compiled"):
            return kept
    for base in ("/tmp", "/var/tmp"):
        with contextlib.suppress(OSError):
            passing = tempfile.mkdtemp(prefix="ebayes-", dir=base)
            atexit.register(shutil.rmtree, passing, ignore_errors=True)
            return Path(passing)
    raise NoFolder("there is no writable folder whose path contains no space or quote")
