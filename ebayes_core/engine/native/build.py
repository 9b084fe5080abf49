"""From C text to a function: the C compiler, and a folder in which its output is kept."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from ebayes_core.errors import DataError
from ebayes_core.storage.cache import cache_dir

#: finite results only are not assumed: a network that diverges has to be seen
FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
)  # fmt: skip
#: of x86: vectors as long as the processor has them
WIDE = "-mprefer-vector-width=512"
#: of torch's own OpenMP, which is loaded already; linking another would start threads that wait for each other
THREADS = "-fopenmp"


class NoCompiler(Exception):
    """The C compiler is missing, or fails."""


def load(text: str) -> ctypes.CDLL:
    """The library of this C text, compiled unless it was before. Raises NoCompiler."""
    folder = _folder()
    name = hashlib.sha256("\0".join([text, _machine(), *FLAGS]).encode()).hexdigest()[:32]
    path = folder / f"step-{name}.so"
    if not path.exists():
        _compile(text, path)
    return ctypes.CDLL(str(path))


def compiler() -> str:
    """The C compiler: that of CC, or one of the usual names. Raises NoCompiler."""
    asked = os.environ.get("CC")
    names = [asked] if asked else ["cc", "gcc", "clang"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise NoCompiler(f"no C compiler named {' or '.join(names)} was found")
    return found


@cache
def _machine() -> str:
    """What the compiler knows of itself and of this processor, on which its output depends."""
    return _run([compiler(), "-march=native", "-dM", "-E", "-x", "c", os.devnull])


def _compile(text: str, path: Path) -> None:
    """Compile beside the target, and move the result there: another process may be compiling the same."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, compiled, linked = (Path(folder) / name for name in ("step.c", "step.o", "step.so"))
        source.write_text(text, encoding="utf-8")
        command = [compiler(), *FLAGS, "-c", str(source), "-o", str(compiled)]
        for more in ([WIDE, THREADS], [THREADS], []):  # not every compiler and processor has these
            with contextlib.suppress(*([NoCompiler] if more else [])):
                _run([*command, *more])
                break
        _run([compiler(), "-shared", str(compiled), "-o", str(linked), "-lm"])
        linked.replace(path)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoCompiler(f"{command[0]}: {error.strerror or error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()[:300]]
        raise NoCompiler(f"{command[0]}: {lines[0].strip()}")
    return done.stdout


def _folder() -> Path:
    """A writable folder in the user's cache, or one that is removed with the process."""
    with contextlib.suppress(DataError, OSError):
        kept = cache_dir().absolute() / "compiled"
        kept.mkdir(parents=True, exist_ok=True)
        if os.access(kept, os.W_OK):
            return kept
    return _passing()


@cache
def _passing() -> Path:
    try:
        _PASSING.append(tempfile.TemporaryDirectory(prefix="ebayes-"))
    except OSError as error:
        raise NoCompiler(f"there is no writable folder to compile in ({error})") from error
    return Path(_PASSING[0].name)


_PASSING: list[tempfile.TemporaryDirectory[str]] = []
