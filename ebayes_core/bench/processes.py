"""Other processes: several that run side by side with one thread each, and new ones that compute a single result."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from ebayes_core.bench.rows import Row, Say, Variant
from ebayes_core.bench.timing import Effort, interleaved
from ebayes_core.errors import EbayesError

TIMEOUT = 600.0  #: seconds that one process waits for the others, which may be compiling
_barrier: Any = None


def side_by_side(each: Sequence[Sequence[Variant]], effort: Effort) -> list[Row]:
    """Rows timed in 1-thread processes that start each burst together, averaged over them round by round.

    each: the variants of each process, row by row the same but for the numbers of their networks.
    """
    context = multiprocessing.get_context("spawn")
    meet = context.Barrier(len(each))
    with ProcessPoolExecutor(len(each), context, _join, (meet,)) as pool:
        futures = [pool.submit(_one_thread, variants, effort, i == 0) for i, variants in enumerate(each)]
        found = [future.result() for future in futures]
    return [_mean(rows) for rows in zip(*found, strict=True)]


def _join(meet: Any) -> None:
    global _barrier  # noqa: PLW0603 - a barrier can only be passed when the process starts
    _barrier = meet


def _one_thread(variants: Sequence[Variant], effort: Effort, loud: bool) -> list[Row]:
    import logging

    import torch

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # as the command line does
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    say: Say = (lambda text: print(f"  1 thread: {text}", file=sys.stderr, flush=True)) if loud else (lambda _: None)
    return interleaved(variants, effort, say, lambda: _barrier.wait(TIMEOUT))


def _mean(rows: Sequence[Row]) -> Row:
    """The average over processes as one row, which fails if one of them failed."""
    first, problem = rows[0], next((row.problem for row in rows if row.problem), None)
    if problem:
        return Row(first.name, (), first.tags, problem)
    tries = np.nanmean([row.tries for row in rows], axis=0)  # without those that waited
    return Row.quickest(first.name, tries.tolist(), first.tags, first.note)


CALL = "import json, sys; from {} import {} as f; print(json.dumps(f(*json.loads(sys.argv[1]))))"


def fresh(function: Callable[..., Any], *arguments: Any, **environment: str) -> Any:
    """Call a function in a new process; arguments and result are passed as JSON."""
    code = CALL.format(function.__module__, function.__name__)
    done = python("-c", code, json.dumps(arguments), **environment)
    if done.returncode:
        raise EbayesError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the Python interpreter of this process with other arguments."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
