"""The preloaded library that ends a process, or has the disk refuse, at the n-th call that changes a file."""

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

#: what happens at the n-th call; the first three end the process, the others go on until `disarm`
BEFORE, AFTER, HALF, FULL, READ_ONLY, DENIED = range(6)
STOPPED = 99  #: exit status of a process that was ended


def under_shim(module: str) -> int:
    """Run a module with the arguments of this process, the shim compiled and preloaded, on one thread."""
    with tempfile.TemporaryDirectory() as name:
        env = {**alone(), "LD_PRELOAD": str(built("shim", Path(name)))}
        return subprocess.run([sys.executable, "-m", module, *sys.argv[1:]], env=env, check=False).returncode


def built(name: str, folder: Path) -> Path:
    """A library of ours to preload, compiled into a folder."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def is_loaded() -> bool:
    """Whether this process has the shim."""
    return "shim" in os.environ.get("LD_PRELOAD", "")


def arm(place: Path, number: int, how: int, coarse: bool = False) -> None:
    """From now on calls below a folder count, from 1; 0 only counts. coarse: but for those within an HDF5 file."""
    ctypes.CDLL(None).shim_arm(str(place).encode(), ctypes.c_long(number), how, int(coarse))


def disarm() -> int:
    """Let everything pass again; the calls so far."""
    calls = ctypes.CDLL(None).shim_calls()
    arm(Path("/nowhere"), 0, BEFORE)
    return calls


def child(what: Callable[[], object]) -> int:
    """The exit status of a process of its own; 1 where `what` raises."""
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
    """Whether a look is content; a file that cannot even be opened is not."""
    try:
        return look(place)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return False


def is_tidy(place: Path) -> bool:
    """Whether there is the one file that each save is about, and nothing else."""
    return len(list(place.rglob("*"))) == 1


def count(save: Save, place: Path) -> int:
    """Calls that a save makes."""
    save.prepare(place)
    read, write = os.pipe()

    def counted() -> None:
        arm(place, 0, BEFORE, save.coarse)
        save.act(place)
        os.write(write, str(disarm()).encode())

    assert child(counted) == 0
    shutil.rmtree(place)
    return int(os.read(read, 20))
