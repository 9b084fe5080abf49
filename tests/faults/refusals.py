"""Let every write, fsync and rename of a save fail, from a given call on, and check what remains.

    python -m tests.faults.refusals

A preloaded library answers like a kernel whose disk is full, was remounted read-only, or no longer permits creating a
file. The save must end with an error that names a file, every file must be the complete old or new one, and once the
disk works again, the same process and another one must end as if nothing had happened.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from ebayes_core.errors import EbayesError
from ebayes_core.sweeps import retry
from ebayes_core.sweeps.signals import Stop
from tests.faults import shim
from tests.faults.saves import Save, saves

WAYS = {"disk full": shim.FULL, "read-only": shim.READ_ONLY, "permission lost": shim.DENIED}


def main() -> int:
    """Print the numbers of tries and losses for each kind of save; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every n-th call")
    given = parser.parse_args()
    if not shim.is_loaded():
        return shim.under_shim("tests.faults.refusals")
    retry.PAUSE, Stop.wait = (1e6, 1e6), lambda *_: None  # a second attempt at once, and no third
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        lost = sum(tried(save, folder, given.every) for save in saves(folder))
    return int(lost > 0)


def tried(save: Save, folder: Path, every: int) -> int:
    """Fail from every call on in every way; return how often something was lost."""
    calls, lost, tries = shim.count(save, folder / "count"), 0, 0
    for number in range(1, calls + 1, every):
        for how, kind in WAYS.items():
            good = survived(save, folder / "place", number, kind)
            lost, tries = lost + (not good), tries + 1
            if not good:
                print(f"{save.name}: lost at call {number}, {how}")
    print(f"{save.name}: {calls} calls, refused {tries} times, lost {lost}", flush=True)
    return lost


def survived(save: Save, place: Path, number: int, how: int) -> bool:
    """Whether all files are complete when the disk works again, and no others are left."""
    save.prepare(place)
    good = shim.child(lambda: refused(save, place, number, how)) == 0
    good = good and shim.holds(save.ended, place) and shim.is_tidy(place)
    shutil.rmtree(place)
    return good


def refused(save: Save, place: Path, number: int, how: int) -> None:
    """A save while the disk fails, a check, and the same again once it works. Raises if anything is lost."""
    shim.arm(place, number, how, save.coarse)
    try:
        save.act(place)
    except (OSError, EbayesError) as error:
        assert str(place) in str(error), f"the message names no file: {error}"
    shim.disarm()
    assert shim.holds(save.whole, place)
    save.act(place)


if __name__ == "__main__":
    sys.exit(main())
