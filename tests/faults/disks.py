"""Disturb a worker's disk at random moments, restore it, and check whether anything was lost.

    python -m tests.faults.disks --trials 10

Faults: a small file system that is full, one that turns read-only, permissions withdrawn, files and folders deleted,
and a clock that jumps by years. The worker waits or ends with a message; the same command must then finish the sweep
with the results of an undisturbed one. Mounting requires Linux and a namespace of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ebayes_core.sweeps.pool import alone
from tests.faults import shim
from tests.faults.kills import alike
from tests.waiting import LIMIT

SPEC = """
name = "disks"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [20] }
training = { epochs = 60, batch_size = 50 }
measurement = { samples = 2 }
[sweep]
"cost.c" = [0.1, 1.0]
"""
EBAYES = [sys.executable, "-m", "ebayes_core"]
ENOUGH = "64m"
MOMENT = 8.0  #: seconds within which a fault occurs; a single worker takes about as long
#: a root user without the capability to override permissions
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@dataclass
class Fault:
    """A fault in a sweep's folder, and how to undo it."""

    name: str
    cause: Callable[[Path, random.Random], object]
    heal: Callable[[Path], object] = lambda place: None
    preload: str = ""


def main() -> int:
    """Print the numbers of tries and losses for each fault; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10, help="number of trials of each fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only faults whose name contains this text")
    given = parser.parse_args()
    if "EBAYES_MOUNTS" not in os.environ:
        inside = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        env = {**os.environ, "EBAYES_MOUNTS": "1"}
        command = [*inside, sys.executable, "-m", "tests.faults.disks", *sys.argv[1:]]
        return subprocess.run(command, env=env, check=False).returncode
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        known = [fault for fault in faults(folder) if given.only in fault.name]
        try:
            lost = sum(tried(fault, folder, given.trials, random.Random(given.seed)) for fault in known)
        finally:
            mount("umount", folder / "disk")
    return int(lost > 0)


def prepare(folder: Path) -> None:
    """The planned sweep, its expected results, and a small file system of its own."""
    folder.chmod(0o755)
    (folder / "spec.toml").write_text(SPEC)
    (folder / "disk").mkdir()
    mount("mount", "-t", "tmpfs", "-o", f"size={ENOUGH}", "ebayes", folder / "disk")
    ebayes(folder, "run", "spec.toml", "--out", "planned/", "--workers", "0", "--cohort", "1")
    shutil.copytree(folder / "planned", folder / "whole")
    assert finished(folder, folder / "whole").returncode == 0


def mount(*command: str | Path) -> int:
    """Mount the file system; returns the exit status."""
    return subprocess.run(list(map(str, command)), stderr=subprocess.DEVNULL, check=False).returncode


def ebayes(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [*EBAYES, *arguments]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, env=environment(), check=False)


def environment() -> dict[str, str]:
    """One thread, and this checkout, whatever the working directory is."""
    return {**alone(), "PYTHONPATH": str(Path(__file__).parents[2])}


def finished(folder: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Run the complete command on a sweep's folder."""
    return ebayes(folder, "run", "spec.toml", "--out", f"{place}/", "--workers", "1", "--cohort", "1")


def tried(fault: Fault, folder: Path, trials: int, chance: random.Random) -> int:
    """Number of trials of a fault that lost anything."""
    lost, ends = 0, []
    for number in range(trials):
        what = trial(fault, folder, chance)
        ends.append(what)
        if what not in ("went on", "ended with a message"):
            lost += 1
            print(f"{fault.name}, trial {number}: {what}", flush=True)
    counts = ", ".join(f"{what} {ends.count(what)} times" for what in dict.fromkeys(ends))
    print(f"{fault.name}: {trials} trials, {counts}; lost {lost}", flush=True)
    return lost


def trial(fault: Fault, folder: Path, chance: random.Random) -> str:
    """One worker, with one fault at a random moment for a random time; returns the outcome in words."""
    place = folder / "disk" / "sweep"
    shutil.copytree(folder / "planned", place)
    env = environment() | ({"LD_PRELOAD": fault.preload} if fault.preload else {})
    command = [*ORDINARY, *EBAYES, "work", str(place), "--checkpoint-every", "0.05"]
    worker = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    time.sleep(chance.uniform(0, MOMENT))
    fault.cause(place, chance)
    time.sleep(chance.uniform(0, 4))
    fault.heal(place)
    try:
        return judged(worker, worker.communicate(timeout=LIMIT)[0], folder, place)
    except subprocess.TimeoutExpired:
        worker.kill()
        return f"does not end: {worker.communicate()[0]}"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def judged(worker: subprocess.Popen[str], said: str, folder: Path, place: Path) -> str:
    """How the worker ended, and whether the sweep ends with the expected results."""
    status = worker.returncode
    if status not in (0, 1, 2) or "Traceback" in said or (status and str(place) not in said):
        return f"ended with {status}: {said}"
    again = finished(folder, place)
    if again.returncode or not alike(folder / "whole" / "results.h5", place / "results.h5"):
        return f"cannot be ended: {again.stdout}{again.stderr}\nafter: {said}"
    return "ended with a message" if status else "went on"


def faults(folder: Path) -> list[Fault]:
    """All faults."""
    disk = folder / "disk"

    def fill(place: Path, chance: random.Random) -> None:
        """Fill the disk to the last byte, or nearly."""
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with suppress(OSError):
            os.truncate(disk / "filler", max(0, (disk / "filler").stat().st_size - chance.randrange(200_000)))

    def read_only(place: Path, chance: random.Random) -> None:
        """Remount as soon as no file is open for writing."""
        while mount("mount", "-o", "remount,ro", disk):
            time.sleep(0.005)

    def delete(pattern: str) -> Callable[[Path, random.Random], None]:
        def one(place: Path, chance: random.Random) -> None:
            found = sorted(place.glob(pattern)) if pattern else [place]
            for path in found[: 1 + chance.randrange(2)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

        return one

    patterns = {
        "a checkpoint": "work/*.checkpoint.h5", "a lease": "work/*.lease", "an item": "work/*[0-9a-f].json",
        "a finished file": "work/????????????????.h5", "the plan": "sweep.json", "all items": "work",
    }  # fmt: skip
    deleted = [Fault(f"{what} deleted", delete(pattern)) for what, pattern in patterns.items()]
    return [
        Fault("disk full", fill, lambda place: (disk / "filler").unlink(missing_ok=True)),
        Fault("read-only", read_only, lambda place: mount("mount", "-o", "remount,rw", disk)),
        Fault("folder's permission lost", lambda p, _: p.chmod(0), lambda p: p.chmod(0o755)),
        Fault("items' permission lost", lambda p, _: (p / "work").chmod(0o555), lambda p: (p / "work").chmod(0o755)),
        *deleted,
        Fault("the sweep deleted", delete("")),
        Fault("clock jumping", lambda place, chance: None, preload=str(shim.built("clock", folder))),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
