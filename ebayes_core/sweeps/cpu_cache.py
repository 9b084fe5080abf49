"""The last cache of the processor, as much of it as this machine gives: measured once, and kept.

The size that a processor states says little: other programs, and on a rented machine other people, use the same cache.
"""

from __future__ import annotations

import contextlib
import json
import time
from functools import cache

import torch

from ebayes_core.errors import DataError
from ebayes_core.results.provenance import processor
from ebayes_core.storage import atomic
from ebayes_core.storage.cache import cache_dir

FILE = "cpu_cache.json"
#: bytes that are tried, and the share of the highest speed at which one counts as within the cache
SIZES, SLOWER = [1 << n for n in range(20, 28)], 0.5
ROUNDS = 7


@cache
def size() -> int:
    """Bytes within the last cache, on this kind of processor."""
    known, path = {}, None
    with contextlib.suppress(OSError, ValueError, DataError):
        path = cache_dir() / FILE
        known = json.loads(path.read_text(encoding="utf-8"))
    if processor() not in known:
        known[processor()] = measured()
        with contextlib.suppress(OSError, DataError):
            if path:
                atomic.make(path.parent)
                atomic.write_text(path, json.dumps(known))
    return int(known[processor()])


def measured() -> int:
    """The largest size over which a loop on one thread runs at more than half of its highest speed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    speeds = [_speed(size) for size in SIZES]
    torch.set_num_threads(threads)
    return max(n for n, speed in zip(SIZES, speeds, strict=True) if speed >= SLOWER * max(speeds))


def _speed(size: int) -> float:
    """Bytes per second of the best of several runs of a loop that reads one half and writes the other."""
    a, b = torch.ones(2, size // 8)
    return size / min(_seconds(a, b) for _ in range(ROUNDS))


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.add(a, 1, out=b)
    return time.perf_counter() - began
