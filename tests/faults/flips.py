"""Flip every byte of a small results file in turn, and cut it at every length: `verify` sees it, or nobody is harmed.

    python -m tests.faults.flips

A byte is inverted, and then each of its bits flipped where `--bits` is given. "Unharmed" means that everything that
can be read of the file, each array, name and attribute, is what it was.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ebayes_core import figures, spec
from ebayes_core.registry import Registry
from ebayes_core.run import run
from ebayes_core.strangers import POINTERS
from ebayes_core.verify import verify

SPEC = """
name = "small"
dataset = { kind = "linear_gaussian", inputs = 2, examples = 50, spread = 1.0, noise_sd = 0.5 }
network = { kind = "mlp", hidden = [] }
training = { epochs = 1, batch_size = 25 }
measurement = { samples = 2 }
[[analysis]]
kind = "training"
"""
SECONDS = 20  #: HDF5 that reads a damaged file for longer hangs


def main() -> int:
    """Print what was tried and lost; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth byte and length")
    parser.add_argument("--bits", action="store_true", help="also each bit alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        whole = small(Path(name))
        content, wanted, registry = whole.read_bytes(), contents(whole), Registry.load()
        patterns = [0xFF, *([1 << bit for bit in range(8)] if given.bits else [])]
        counts: Counter[str] = Counter()
        print(f"a file of {len(content)} bytes", flush=True)
        for kind, damaged in damages(content, patterns, given.every):
            found = judged(Path(name) / "damaged.h5", damaged, wanted, registry)
            counts[f"{kind} {found}"] += 1
            if counts.total() % 5000 == 0:
                print(dict(counts), flush=True)
    lost = sum(n for what, n in counts.items() if what.endswith(("lost", "crashed")))
    print(f"tried {counts.total()}: {dict(counts)}; lost: {lost}")
    return int(lost > 0)


def small(folder: Path) -> Path:
    """A results file with everything that a file has, and as little of it as may be."""
    registry, path = Registry.load(), folder / "small.h5"
    experiment = spec.loads(SPEC, registry)
    run(experiment, SPEC, registry, path)
    assert not figures.measure(path, figures.named(experiment.analysis))
    return path


def damages(content: bytes, patterns: list[int], every: int) -> Iterator[tuple[str, bytes]]:
    """Each way to damage the file."""
    for at in range(0, len(content), every):
        for pattern in patterns:
            yield "flip", content[:at] + bytes([content[at] ^ pattern]) + content[at + 1 :]
    for length in range(0, len(content), every):
        yield "cut", content[:length]


def judged(path: Path, damaged: bytes, wanted: dict[str, object], registry: Registry) -> str:
    """In a process of its own: whether verify sees it, and if not, whether it matters."""
    path.write_bytes(damaged)
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        os._exit(look(path, wanted, registry))
    _, status = os.waitpid(child, 0)
    return {0: "unharmed", 1: "caught", 2: "lost"}.get(os.waitstatus_to_exitcode(status), "crashed")


def look(path: Path, wanted: dict[str, object], registry: Registry) -> int:
    """0 unharmed, 1 caught, 2 lost."""
    if verify(path, registry).problems:
        return 1
    try:
        return 0 if contents(path) == wanted else 2
    except Exception as error:
        print(f"verify saw nothing, but: {type(error).__name__}: {error}")
        return 2


def contents(path: Path) -> dict[str, object]:
    """Everything that can be read of a file, by h5py alone."""
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
    """A value that can be compared: NaN is NaN."""
    array = np.asarray(value)
    return (array.dtype.str, array.shape, array.tolist() if array.dtype.kind in "OSU" else array.tobytes())


if __name__ == "__main__":
    sys.exit(main())
