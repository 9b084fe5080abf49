"""Stop the process, or simulate a power failure, at every write, fsync and rename of a save, and check what remains.

    python -m tests.faults.crash_points
    python -m tests.faults.crash_points --power

A preloaded library ends the process before a call, after it, or halfway through it; with `--power` everything that was
not synced is lost too. Every file found afterwards under its final name must be the complete old or new file, and a
process that is started again must end as if nothing had happened.
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
#: the state before a call is that after the previous one; half of what was not synced is no worse than nothing
POWER = {"data lost": False, "data and names lost": True}


def main() -> int:
    """Print the numbers of tries and losses for each kind of save; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every n-th call")
    parser.add_argument(
        "--power", action="store_true", help="simulate a power failure instead of the end of the process"
    )
    given = parser.parse_args()
    if not shim.is_loaded():
        return shim.under_shim("tests.faults.crash_points")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        lost = sum(tried(save, folder, given.every, given.power) for save in saves(folder))
    return int(lost > 0)


def tried(save: Save, folder: Path, every: int, fail_power: bool) -> int:
    """Stop at every call in every way; return how many states were lost."""
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
    """Whether a finished save is still there after an immediate power failure."""
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
    """Whether all files are complete after a stop, and correct after another start."""
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
