"""Kill a sweep at random moments, repeatedly, and check whether anything was lost.

    python -m tests.faults.kills --kills 100
    python -m tests.faults.kills --kills 8 --spec specs/desk/sweep.toml --within 70 --checkpoint-every 60

A sweep with two workers is started, and at a random moment SIGKILL or SIGTERM is sent to the whole process group, to
the command alone, or to one worker. After a few kills it may finish, and its file is compared array by array with that
of an undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.pool import alone
from tests.sweeps.test_run import assert_same

SPEC = """
name = "killed"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [20] }
training = { epochs = 30, batch_size = 10 }
optimizer = { kind = "adam", learning_rate_phi = 0.05 }
measurement = { samples = 2 }
[sweep]
"cost.c" = [0.01, 0.1, 1.0]
noise = [{ kind = "heterogeneous" }, { kind = "homogeneous" }]
"""
KILLS_PER_SWEEP = 4


@dataclass(frozen=True)
class Sweep:
    """What is started, and within how many seconds it is killed."""

    spec: Path
    within: float
    checkpoint_every: str

    def command(self, out: Path) -> list[str]:
        """The command as a user types it."""
        run = ["run", self.spec, "--out", f"{out}/", "--workers", "2", "--checkpoint-every", self.checkpoint_every]
        return [sys.executable, "-m", "ebayes_core", *map(str, run)]


def main() -> int:
    """Print the numbers of tries and losses; return 1 if anything was lost."""
    given = asked()
    chance, counts, lost = random.Random(given.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        small = Path(name) / "spec.toml"
        small.write_text(SPEC)
        sweep = Sweep(given.spec or small, given.within, given.checkpoint_every)
        whole = uninterrupted(sweep, Path(name))
        for number in range(-(-given.kills // KILLS_PER_SWEEP)):
            out = Path(name) / f"sweep-{number}"
            lost += not survived(sweep, out, whole, chance, counts)
            print(f"sweep {number + 1}: {dict(counts)}, lost {lost}", flush=True)
            shutil.rmtree(out)
    print(f"kills tried: {sum(counts.values())}; sweeps lost or damaged: {lost}")
    return int(lost > 0)


def asked() -> argparse.Namespace:
    """The options of the command line; by default checkpoints are frequent, so that most kills are near one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spec", type=Path, help="a spec to use instead of the small one of this script")
    parser.add_argument(
        "--within",
        type=float,
        default=12.0,
        help="seconds within which it is killed; the sweep should take about as long",
    )
    parser.add_argument("--checkpoint-every", default="0.3", help="seconds, as `ebayes run` takes them")
    return parser.parse_args()


def uninterrupted(sweep: Sweep, folder: Path) -> Path:
    """The results of an undisturbed sweep."""
    subprocess.run(sweep.command(folder / "whole"), check=True, stdout=subprocess.DEVNULL, env=alone())
    return folder / "whole" / "results.h5"


def survived(sweep: Sweep, out: Path, whole: Path, chance: random.Random, counts: Counter[str]) -> bool:
    """Whether a sweep that is killed a few times ends like the others, with nothing trained twice."""
    for _ in range(KILLS_PER_SWEEP):
        counts[kill_once(sweep, out, chance)] += 1
    end = subprocess.run(sweep.command(out), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=alone())
    same = end.returncode == 0 and alike(whole, out / "results.h5")
    left = [path.name for path in (out / "work").iterdir() if path.suffix not in (".h5", ".json")]
    if not same or left or not once(out):
        print(end.stdout.decode(), left, sep="\n")
    return same and not left and once(out)


def alike(whole: Path, found: Path) -> bool:
    """Whether two results files contain the same arrays, to the bit."""
    try:
        assert_same(whole, found)
    except AssertionError as error:
        print(error)
        return False
    return True


def once(out: Path) -> bool:
    """Whether every network is in exactly one finished file, and no failures were recorded."""
    folder = Folder(out)
    members = [digest for item in folder.items() for digest in item.digests]
    return len(members) == len(set(members)) and len(folder.finished()) == len(folder.items())


def kill_once(sweep: Sweep, out: Path, chance: random.Random) -> str:
    """Start the sweep and kill part of it at a random moment; returns what was done, in words."""
    process = subprocess.Popen(
        sweep.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone(), start_new_session=True
    )
    time.sleep(chance.uniform(0.5, sweep.within))
    which, number = chance.choice(["all", "command", "worker"]), chance.choice([signal.SIGKILL, signal.SIGTERM])
    victims = workers(out)
    if which != "worker":
        kill(process.pid, number)
    if which != "command":
        for pid in victims if which == "all" else victims[:1]:
            kill(pid, number)
    if which == "worker":  # the command continues and replaces it; sometimes it gets a moment to do so
        time.sleep(chance.uniform(0, 3))
        kill(process.pid, signal.SIGTERM)
    process.wait()
    return f"{number.name} {which}"


def workers(out: Path) -> list[int]:
    """Processes that hold a lease."""
    found = []
    for path in (out / "work").glob("*.lease") if (out / "work").is_dir() else ():
        try:
            found.append(json.loads(path.read_text())["pid"])
        except (OSError, ValueError):
            continue
    return found


def kill(pid: int, number: int) -> None:
    """Send a signal to a process, which may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
