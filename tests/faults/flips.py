"""Flip every byte of a small results file in turn, and cut it at every length: `verify` must notice, or it must not
matter.

    python -m tests.faults.flips

Each byte is inverted, and with `--bits` each of its bits is flipped. A change does not matter if everything that can be
read from the file, each array, name and attribute, is unchanged.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.report import figures
from ebayes_core.report.verify import verify
from ebayes_core.storage.untrusted import POINTERS
from ebayes_core.sweeps.run import run
from tests.waiting import LIMIT

SPEC = """
name = "small"
dataset = { kind = "linear_gaussian", inputs = 2, examples = 50, spread = 1.0, noise_sd = 0.5 }
network = { kind = "mlp", hidden = [] }
training = { epochs = 1, batch_size = 25 }
measurement = { samples = 2 }
[[analysis]]
kind = "training"
"""


def main() -> int:
    """Print the numbers of tries and losses; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every n-th byte and length")
    parser.add_argument("--bits", action="store_true", help="also flip each single bit")
    parser.add_argument("--share", default="1/1", help="part of the tries, for instance 1/2 and 2/2 in two processes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        whole = small(Path(name))
        patterns = [0xFF, *([1 << bit for bit in range(8)] if given.bits else [])]
        number, shares = map(int, given.share.split("/"))
        mine = itertools.islice(damages(whole.read_bytes(), patterns, given.every), number - 1, None, shares)
        print(f"a file of {whole.stat().st_size} bytes", flush=True)
        counts = tally(Judge(whole, Path(name) / "damaged.h5"), list(mine))
    lost = sum(n for what, n in counts.items() if what.endswith(("lost", "crashed")))
    print(f"tried {counts.total()}: {dict(counts)}; lost: {lost}")
    return int(lost > 0)


def small(folder: Path) -> Path:
    """A results file with all parts, each as small as possible."""
    registry, path = Registry.load(), folder / "small.h5"
    experiment = spec.loads(SPEC, registry)
    run(experiment, SPEC, registry, path)
    assert not figures.measure(path, figures.named(experiment.analysis))
    return path


Damage = tuple[str, int, int]  #: flip, at, pattern; or cut, at, 0


def damages(content: bytes, patterns: list[int], every: int) -> Iterator[Damage]:
    """All ways to damage the file."""
    for at in range(0, len(content), every):
        yield from (("flip", at, pattern) for pattern in patterns)
    yield from (("cut", at, 0) for at in range(0, len(content), every))


def tally(judge: Judge, tries: list[Damage]) -> Counter[str]:
    """Counts of the outcomes."""
    counts: Counter[str] = Counter()
    for (kind, at, _), found in zip(tries, judge.all(tries), strict=True):
        counts[f"{kind} {found}"] += 1
        if found in ("lost", "crashed"):
            print(f"{kind} at byte {at}: {found}", flush=True)
        if counts.total() % 5000 == 0:
            print(dict(counts), flush=True)
    return counts


class Judge:
    """Whether verify notices a damage, and if not, whether it matters."""

    def __init__(self, whole: Path, place: Path) -> None:
        self.content, self.wanted, self.place = whole.read_bytes(), contents(whole), place
        self.registry = Registry.load()

    def all(self, tries: list[Damage]) -> Iterator[str]:
        """One word for each try; in a separate process, which is replaced if a try ends it or does not end."""
        done = 0
        while done < len(tries):
            read, write = os.pipe()
            child = os.fork()
            if not child:
                self._work(tries[done:], write)
            os.close(write)
            with os.fdopen(read, "rb") as results:
                while word := results.read(1):
                    yield WORDS[word]
                    done += 1
            os.waitpid(child, 0)
            if done < len(tries):
                yield "crashed"
                done += 1

    def _work(self, tries: list[Damage], write: int) -> NoReturn:
        for kind, at, pattern in tries:
            signal.alarm(int(LIMIT))  # HDF5 that reads a damaged file for longer hangs
            flipped = bytes([self.content[at] ^ pattern]) + self.content[at + 1 :]
            self.place.write_bytes(self.content[:at] + (flipped if kind == "flip" else b""))
            os.write(write, self._look())
        os._exit(0)

    def _look(self) -> bytes:
        if verify(self.place, self.registry).problems:
            return b"c"
        try:
            return b"u" if contents(self.place) == self.wanted else b"l"
        except Exception as error:
            print(f"verify saw nothing, but: {type(error).__name__}: {error}", flush=True)
            return b"l"


WORDS = {b"u": "unharmed", b"c": "caught", b"l": "lost"}


def contents(path: Path) -> dict[str, object]:
    """Everything that can be read from a file, by h5py alone."""
    found: dict[str, object] = {}

    def note(name: str, item: h5py.HLObject) -> None:
        for key in set(item.attrs) - set(POINTERS):
            found[f"{name}@{key}"] = plain(item.attrs[key])
        if isinstance(item, h5py.Dataset):
            found[name] = plain(item[()])
            found[f"{name}#"] = [[scale.name for scale in dimension.values()] for dimension in item.dims]

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return found


def plain(value: object) -> object:
    """A value that can be compared: NaN equals NaN."""
    array = np.asarray(value)
    return (array.dtype.str, array.shape, array.tolist() if array.dtype.kind in "OSU" else array.tobytes())


if __name__ == "__main__":
    sys.exit(main())
