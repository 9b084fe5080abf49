"""The preloaded library that ends a process, or lets the disk fail, at the n-th call that changes a file."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ebayes_core.sweeps.pool import alone
from tests.faults.saves import Look, Save

#: what happens at the n-th call; the first three end the process, the others last until `disarm`
BEFORE, AFTER, HALF, FULL, READ_ONLY, DENIED = range(6)
STOPPED = 99  #: exit status of a process that was ended


def under_shim(module: str) -> int:
    """Run a module with the arguments of this process, with the library compiled and preloaded, on one thread."""
    with tempfile.TemporaryDirectory() as name:
        env = {**alone(), "LD_PRELOAD": str(built("shim", Path(name)))}
        return subprocess.run([sys.executable, "-m", module, *sys.argv[1:]], env=env, check=False).returncode


def built(name: str, folder: Path) -> Path:
    """A library to preload, compiled into a folder."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def is_loaded() -> bool:
    """Whether the library is loaded in this process."""
    return "shim" in os.environ.get("LD_PRELOAD", "")


def arm(place: Path, number: int, how: int, coarse: bool = False) -> None:
    """Count calls below a folder from now on, from 1; 0 only counts. coarse: without those within an HDF5 file."""
    ctypes.CDLL(None).shim_arm(str(place).encode(), ctypes.c_long(number), how, int(coarse))


def disarm() -> int:
    """Let all calls pass again; returns the number of calls so far."""
    calls = ctypes.CDLL(None).shim_calls()
    arm(Path("/nowhere"), 0, BEFORE)
    return calls


def child(what: Callable[[], object]) -> int:
    """The exit status of a separate process; 1 if `what` raises."""
    process = os.fork()
    if not process:
        try:
            what()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def holds(look: Look, place: Path) -> bool:
    """Whether a check passes; a file that cannot even be opened does not pass."""
    try:
        return look(place)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return False


def is_tidy(place: Path) -> bool:
    """Whether the folder contains the file that the save writes, and nothing else."""
    return len(list(place.rglob("*"))) == 1


def count(save: Save, place: Path) -> int:
    """Number of calls that a save makes."""
    save.prepare(place)
    read, write = os.pipe()

    def counted() -> None:
        arm(place, 0, BEFORE, save.coarse)
        save.act(place)
        os.write(write, str(disarm()).encode())

    assert child(counted) == 0
    shutil.rmtree(place)
    return int(os.read(read, 20))
