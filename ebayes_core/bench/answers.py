"""Time to an answer: how long `ebayes run` takes from the command to the figures, and with what it is busy."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ebayes_core.bench.processes import python
from ebayes_core.bench.rows import Say
from ebayes_core.bench.startup import ENTRY
from ebayes_core.console.printing import Column, Listing
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import EbayesError

#: what the columns of the table mean
LEGEND = {
    "start": "Python, imports, spec and data",
    "compile": "until the end of the first step of each cohort; the compiler has seen it before, in the estimate",
    "train": "all other steps, and the test set after each epoch",
    "measure": "curvature, balance and test scores of the trained networks, and writing the file",
    "draw": "the analyses, their figures, and the printed results",
    "~": "not run: the steps times the duration of one, as `ebayes check` estimates",
}
PARTS = ("start", "compile", "train", "measure", "draw")


@dataclass(frozen=True)
class Answer:
    """Seconds until the figures of a spec, by parts; of a spec that takes too long, only those of training, estimated.

    A later spec whose networks were trained by an earlier one starts from that one's results, as a user's does.
    """

    spec: str
    networks: int
    steps: int  #: of all cohorts
    seconds: dict[str, float | None]
    estimated: bool

    @property
    def total(self) -> float:
        """Seconds of all parts that are known."""
        return sum(value for value in self.seconds.values() if value is not None)


def answers(specs: Sequence[str], limit: float, device: str, say: Say) -> list[Answer]:
    """One for each spec. Those whose training is estimated to take longer than `limit` seconds are not run."""
    from ebayes_core.spec import find

    registry, found = Registry.load(), []
    for spec in specs:  # one that does not exist is a mistake of the command
        find(spec, registry)
    with tempfile.TemporaryDirectory() as folder:
        for spec in specs:
            try:
                found.append(answer(spec, registry, limit, device, Path(folder), say))
            except EbayesError as error:  # its data cannot be downloaded, for example; the others are still measured
                say(f"{spec}: {error}")
    return found


def answer(spec: str, registry: Registry, limit: float, device: str, folder: Path, say: Say) -> Answer:
    """The time of a spec, run in a new process, or estimated."""
    from ebayes_core import spec as specs
    from ebayes_core.sweeps.estimate import estimates, in_total
    from ebayes_core.sweeps.planning import find_device, workers

    experiment, where = specs.load(spec, registry), find_device(device)
    points = experiment.members()
    found = estimates(points, where)
    train, _ = in_total(found, workers(points, where)) or (0.0, 0.0)
    runs = train <= limit
    say(f"{spec}: about {train:.0f} s of training{'' if runs else ', which is not run'}")
    seconds = _run(spec, experiment.name, device, folder) if runs else {**dict.fromkeys(PARTS), "train": train}
    return Answer(spec, len(points), sum(e.steps for e in found), seconds, not runs)


def _run(spec: str, name: str, device: str, folder: Path) -> dict[str, float | None]:
    """Seconds of each part of a run; what the command does not account for is its start."""
    times, began = folder / "times.json", time.perf_counter()
    arguments = ["run", spec, "--out", str(folder / f"{name}.h5"), "--device", device, "--times", str(times)]
    done = python("-c", ENTRY, *arguments)
    total = time.perf_counter() - began
    if done.returncode:
        raise EbayesError(f"{spec}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    known: dict[str, float] = json.loads(times.read_text(encoding="utf-8"))
    return {"start": total - sum(known.values()), **known}


def listing(found: Sequence[Answer]) -> Listing:
    """The table: spec, networks, steps, total, and the seconds of each part with their shares."""
    rows = [[a.spec, str(a.networks), str(a.steps), f"{'~' * a.estimated}{a.total:.0f}", *_parts(a)] for a in found]
    headings = ("spec", "networks", "steps", "total\n(s)", *(f"{part}\n(s)" for part in PARTS))
    columns = zip(headings, zip(*rows, strict=True) if rows else [()] * len(headings), strict=True)
    return Listing(
        "time to an answer", [Column(h, list(cells), words=h == "spec", key=h == "spec") for h, cells in columns]
    )


def _parts(a: Answer) -> list[str]:
    return [_part(a.seconds[name], a.total, "~" * a.estimated) for name in PARTS]


def _part(seconds: float | None, total: float, mark: str) -> str:
    if seconds is None:
        return "-"
    return f"{mark}{seconds:.1f}" + ("" if mark else f" ({100 * seconds / total:.0f}%)")


def record(found: Sequence[Answer]) -> list[dict[str, Any]]:
    """The answers as plain data."""
    return [asdict(a) | {"total": a.total} for a in found]
