"""Where torch writes what it compiles: a folder that a compiler can be told of, and never the current one.

torch cuts the compiler's command at spaces, paths and all, so that a space or a quote in the path of its cache, or of
temporary files, is the end of it. Where no folder for temporary files can be written, Python takes the current one.
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
#: the lines of a compiler's message that say most, the best first
TELLING = (r"\berror: (?!ld returned)", r"cannot find|denied|not found|No such file|No space")
CURE = (
    f"to mend it, install a C++ compiler, name one in CXX, or name another folder in {CACHE} and {TEMPORARY}; "
    "--compile off does without, and without this line"
)


class NoFolder(Exception):
    """There is none to compile in."""


@contextlib.contextmanager
def opened() -> Iterator[None]:
    """While it lasts, torch has folders that it can compile in: its own where they will do. Raises NoFolder.

    That of its cache stays in the environment, as torch leaves it: a GPU's kernels are compiled when they are called.
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


def told(error: BaseException) -> str:
    """What went wrong, in one line with the folder in which torch compiles."""
    where = "" if isinstance(error, NoFolder) else f" (in {os.environ.get(CACHE) or tempfile.gettempdir()})"
    return telling(error) + where


def telling(error: BaseException) -> str:
    """The line of a long error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    best = (line for pattern in TELLING for line in lines if re.search(pattern, line))
    return next(best, lines[0])[:300]


def _temporary() -> Path:
    """Python's folder of temporary files, unless it is unfit, or the current one for want of any other."""
    with contextlib.suppress(OSError):
        found = Path(tempfile.gettempdir())
        asked = {Path(os.environ[name]).absolute() for name in (TEMPORARY, "TEMP", "TMP") if os.environ.get(name)}
        if _fit(found) and (found != Path.cwd() or found in asked):
            return found
    return _ours()


def _fit(path: Path) -> bool:
    """Whether it can be written, and is one word of a command."""
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
    """A folder of ours in the user's cache, where what is compiled is kept; else one that goes with the process."""
    with contextlib.suppress(DataError):
        if _fit(kept := cache_dir().absolute() / "compiled"):
            return kept
    for base in ("/tmp", "/var/tmp"):
        with contextlib.suppress(OSError):
            passing = tempfile.mkdtemp(prefix="ebayes-", dir=base)
            atexit.register(shutil.rmtree, passing, ignore_errors=True)
            return Path(passing)
    raise NoFolder("no folder can be written whose path has no space or quote in it")
