"""A variant made ready, in this process or in a fresh one: a burst is its step, repeated for a given time."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from ebayes_core.bench.rows import Step, Variant, reason
from ebayes_core.errors import EbayesError

WARM_UP = 3  #: steps before the first that counts; the first of them may wait for the compiler
Burst = Callable[[float], float]  #: from the seconds that it lasts to the milliseconds of a step


def here(variant: Variant) -> Burst:
    """Prepare, compile and warm up a variant in this process."""
    step, settle = variant.start(), settled(variant.device)
    for _ in range(WARM_UP):
        step()
    give_back()
    return lambda seconds: milliseconds(step, seconds, settle)


def milliseconds(step: Step, seconds: float, settle: Callable[[], object] = lambda: None) -> float:
    """Mean time of a step, repeated for at least `seconds`; `settle` waits for a device that computes on its own."""
    settle()
    steps, began = 0, time.perf_counter()
    while True:
        step()
        steps += 1
        if time.perf_counter() - began >= seconds:
            settle()
            return 1e3 * (time.perf_counter() - began) / steps


def settled(device: str) -> Callable[[], object]:
    """What waits until a device has done all that it was asked to; a processor always has."""
    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def give_back() -> None:
    """Return freed memory to the system: the C library keeps half a gigabyte after each compilation."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def wait(seconds: float) -> float:
    """A burst in which another process has the machine to itself; no time is measured."""
    time.sleep(seconds)
    return math.nan


class Elsewhere:
    """A variant in a fresh process, which computes only when a burst is asked for."""

    def __init__(self, variant: Variant) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        threads = variant.threads or torch.get_num_threads()
        self.process = context.Process(target=_serve, args=(variant, threads, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def ready(self) -> Elsewhere:
        """Wait until it is warmed up. Raises EbayesError with its reason if it fails."""
        self._answer()
        return self

    def __call__(self, seconds: float) -> float:
        """Time a burst. Raises EbayesError with its reason if it fails."""
        self.pipe.send(seconds)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()

    def _answer(self) -> float:
        try:
            answer: float | str = self.pipe.recv()
        except EOFError:
            raise EbayesError("its process ended") from None
        if isinstance(answer, str):
            raise EbayesError(answer)
        return answer


def _serve(variant: Variant, threads: int, pipe: Any) -> None:
    """Time a burst for each number of seconds that arrives; the first answer says that the variant is ready."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        burst = here(variant)
        pipe.send(0.0)
        while True:
            pipe.send(burst(pipe.recv()))
    except EOFError:  # the parent has ended
        return
    except Exception as error:
        pipe.send(reason(error))
