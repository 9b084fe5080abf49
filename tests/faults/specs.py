"""A hundred thousand specs, most of them invalid: each is either rejected with exit status 2 or trains.

    python -m tests.faults.specs --count 100000

Half come from a grammar, half are valid specs that were damaged, and a few are extreme. Accepted specs are reduced to
one small network, otherwise unchanged, and a share of them is trained, measured and drawn.

Coverage-guided fuzzing was tried and not kept: the parsers are those of tomllib and pydantic, instrumented byte code
makes a spec ten times as slow, and a grammar reaches a depth that random bytes do not.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.report import figures
from ebayes_core.results.reader import Run
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.run import run
from tests.faults import texts
from tests.waiting import LIMIT

MEMORY = 12 << 30
UNEXPECTED = re.compile(r": (?!StoreError)\w+(Error|Exception|Warning): ")


#: of the digits, for networks that need images or sequences
LAYOUTS = {"convolutional": "image", "recurrent": "rows"}


class Trial:
    """The specs judged so far."""

    def __init__(self, folder: Path, every: int) -> None:
        self.registry, self.folder, self.every = Registry.load(), folder, every
        self.counts: Counter[str] = Counter()
        self.slowest = (0.0, b"")
        self.lost: list[tuple[bytes, str]] = []

    def judge(self, text: bytes) -> None:
        """Load a spec as the command line does, and train some of them."""
        began = time.monotonic()
        signal.alarm(int(LIMIT))
        try:
            self._judge(text)
            signal.alarm(0)
        except Exception:
            signal.alarm(0)
            self.lost.append((text, traceback.format_exc()))
        self.counts["tried"] += 1
        self.slowest = max(self.slowest, (time.monotonic() - began, text[:200]))

    def _judge(self, text: bytes) -> None:
        path = self.folder / "spec.toml"
        path.write_bytes(text)
        try:
            members = spec.load(path, self.registry).members()
        except UserError as error:
            assert error.exit_code == 2
            assert str(path) in str(error), f"the message does not name the file: {str(error)[:300]}"
            self.counts["refused"] += 1
            return
        self.counts["accepted"] += 1
        if self.counts["accepted"] % self.every == 0:
            self._train(members[self.counts["accepted"] % len(members)].member)

    def _train(self, member: Any) -> None:
        """Train one network to the end, then read, measure and draw its file."""
        text, out = self.small(spec.resolved(member)), self.folder / "r.h5"
        experiment = spec.loads(text, self.registry)
        try:
            run(experiment, text, self.registry, out, Options(fresh=True))
        except UserError as error:  # only with the data it is known whether a network fits them
            assert "does not fit the data set" in str(error)
            self.counts["refused"] += 1
            return
        problems = figures.measure(out, figures.named(experiment.analysis))
        problems += figures.draw(out, self.folder / "figures", self.registry)[1]
        assert not [p for p in problems if UNEXPECTED.search(p)], problems
        with Run(out) as found:
            self.counts["trained"] += 1
            self.counts["diverged"] += found.status[0] != "done"

    def small(self, table: dict[str, Any]) -> str:
        """The spec of one network, unchanged except for its size and the length of its training."""
        seed = table.pop("seed")
        if table["dataset"]["kind"] not in ("digits", "linear_gaussian", "cubic"):
            table["dataset"] = {"kind": "digits"}
        for name in ("examples", "inputs", "outputs"):
            if name in table["dataset"]:
                table["dataset"][name] = min(table["dataset"][name], 1000 if name == "examples" else 10)
        layout = LAYOUTS.get(table["network"]["kind"])
        table["dataset"] = {"kind": "digits", "layout": layout} if layout else table["dataset"]
        wide = table["network"].get("hidden")
        if isinstance(wide, list):
            table["network"]["hidden"] = [min(n, 5) for n in wide[:2]]
        elif wide:
            table["network"]["hidden"] = min(wide, 5)
        for kernels in table["network"].get("layers", []):
            kernels["channels"] = min(kernels["channels"], 5)
        table["training"] |= {"epochs": 1, "batch_size": max(table["training"]["batch_size"], 500)}
        table["measurement"] = {"samples": 2, "sample_batch": 500, "probe_batch": 100, "probe_examples": 100}
        whole = {"name": "small", "seeds": [seed], **table, "analysis": [{"kind": "training"}, {"kind": "importance"}]}
        import tomli_w

        return tomli_w.dumps(whole)


def late(*_: object) -> None:
    """Raised when a spec takes too long."""
    raise TimeoutError(f"not done in {LIMIT:.0f} s")


def main() -> int:
    """Print the numbers of tries and losses; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-every", type=int, default=10, help="train every n-th accepted spec")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as name:
        trial, chance = Trial(Path(name), given.train_every), random.Random(given.seed)
        grammar = texts.Grammar(spec.json_schema(trial.registry), chance)
        for text in texts.EXTREMES:
            trial.judge(text)
        while trial.counts["tried"] < given.count:
            trial.judge(grammar.text().encode() if chance.random() < 0.5 else texts.damaged(chance))
            if trial.counts["tried"] % 5000 == 0:
                print(dict(trial.counts), f"lost {len(trial.lost)}", flush=True)
    for text, why in trial.lost[:20]:
        print(text[:600], why, sep="\n")
    print(f"{dict(trial.counts)}; lost: {len(trial.lost)}; slowest: {trial.slowest[0]:.1f} s, {trial.slowest[1]!r}")
    return int(bool(trial.lost))


if __name__ == "__main__":
    sys.exit(main())
