"""How the tests are spread over processes; and the Python of the documentation, which is run as tests, page by page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

MOST_WORKERS = 8  #: more gain little: a module's tests run one after another, and each worker holds its own torch
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: there is a worker for every core


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


EXAMPLE = str(Path(__file__).parent / "examples" / "ebayes-glial")


def _setup(namespace: dict[str, object]) -> None:
    """A page starts as a file beside the example package would."""
    namespace["__name__"] = "page"
    sys.path.insert(0, EXAMPLE)


def _teardown(namespace: dict[str, object]) -> None:
    sys.path.remove(EXAMPLE)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["docs/*.md", "README.md"],
    setup=_setup,
    teardown=_teardown,
).pytest()
