"""Stop the process, or fail the power, at every write, fsync and rename of a save, and look at what is left.

    python -m tests.faults.crash_points
    python -m tests.faults.crash_points --power

A preloaded shim ends the process before a call, after it, or with half of it done; with `--power` all that was not
synced is lost too. Every file found afterwards under a name of its own is the old one or the new one, whole; and what
is started again ends as if nothing had happened.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults import power, shim
from tests.faults.saves import Save, saves

WAYS = {"before": shim.BEFORE, "after": shim.AFTER, "halfway": shim.HALF}
#: before a call is after the one before it; half of what was not synced is no worse than nothing
POWER = {"data lost": False, "data and names lost": True}


def main() -> int:
    """Print what was tried and lost for each kind of save; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth call")
    parser.add_argument("--power", action="store_true", help="fail the power, and not the process alone")
    given = parser.parse_args()
    if not shim.is_loaded():
        return shim.under_shim("tests.faults.crash_points")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        lost = sum(tried(save, folder, given.every, given.power) for save in saves(folder))
    return int(lost > 0)


def tried(save: Save, folder: Path, every: int, fail_power: bool) -> int:
    """Stop at every call in every way; how many states were lost."""
    calls, lost, tries = shim.count(save, folder / "count"), 0, 0
    for number in range(1, calls + 1, every):
        for how in POWER if fail_power else WAYS:
            good = survived(save, folder, number, how)
            lost, tries = lost + (not good), tries + 1
            if not good:
                print(f"{save.name}: lost at call {number}, {how}")
    if fail_power:
        good = kept(save, folder)
        lost, tries = lost + (not good), tries + 1
    print(f"{save.name}: {calls} calls, stopped {tries} times, lost {lost}", flush=True)
    return lost


def kept(save: Save, folder: Path) -> bool:
    """Whether what was done is still done when the power fails at once."""
    place, shadow = folder / "place", folder / "shadow"
    save.prepare(place)

    def act() -> None:
        power.Recorder(shadow, place)
        save.act(place)

    good = shim.child(act) == 0
    power.fail(place, shadow, names_too=True)
    good = good and shim.holds(save.ended, place)
    for used in (place, shadow):
        shutil.rmtree(used)
    return good


def survived(save: Save, folder: Path, number: int, how: str) -> bool:
    """Whether all is whole after a stop, and as it shall be after another start."""
    place, shadow = folder / "place", folder / "shadow"
    save.prepare(place)

    def act() -> None:
        if how in POWER:
            power.Recorder(shadow, place)
        shim.arm(place, number, WAYS.get(how, shim.BEFORE), save.coarse)
        save.act(place)

    good = shim.child(act) == shim.STOPPED
    if how in POWER:
        power.fail(place, shadow, POWER[how])
    good = good and shim.holds(save.whole, place)
    good = good and shim.child(lambda: save.act(place)) == 0 and shim.holds(save.ended, place)
    good = good and shim.is_tidy(place)
    for used in (place, shadow):
        shutil.rmtree(used, ignore_errors=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
