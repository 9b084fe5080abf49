"""Speed of two workers relative to one on the same items, in network steps per second.

    python -m tests.faults.two_workers --repeats 3

One and two workers alternate, so that a noisy machine disturbs both equally; the ratio of the medians is printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.pool import alone

SPEC = Path(__file__).parents[2] / "specs" / "desk" / "sweep.toml"
EBAYES = [sys.executable, "-m", "ebayes_core"]


def main() -> int:
    """Print each rate and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.repeats):
        for workers, found in rates.items():
            found.append(rate(workers, given.epochs))
            print(f"{workers} workers: {found[-1]:.0f} member-steps per second", flush=True)
    one, two = (statistics.median(found) for found in rates.values())
    print(f"two workers do {two / one:.2f} times the member-steps of one")
    return 0


def rate(workers: int, epochs: int) -> float:
    """Network steps per second, from the first item that is taken to the last finished file."""
    with tempfile.TemporaryDirectory() as name:
        command = ["run", SPEC, "--out", f"{name}/sweep/", "--workers", "0", "--set", f"training.epochs={epochs}"]
        subprocess.run([*EBAYES, *map(str, command)], check=True, env=alone(), stdout=subprocess.DEVNULL)
        folder = Folder(Path(name) / "sweep")
        work = sum(len(item.members) * item.steps for item in folder.items())
        running = [
            subprocess.Popen([*EBAYES, "work", str(folder.path)], env=alone(), stdout=subprocess.DEVNULL)
            for _ in range(workers)
        ]
        while not list(folder.work.glob("*.lease")):
            time.sleep(0.01)
        began = time.monotonic()
        while folder.left():
            time.sleep(0.1)
        seconds = time.monotonic() - began
        for process in running:
            process.wait()
        return work / seconds


if __name__ == "__main__":
    sys.exit(main())
