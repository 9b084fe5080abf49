"""How the tests are spread over processes; and the Python of the documentation, which is run as tests, page by page."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
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
    """A page starts as a file beside the example package would, in an empty folder for what it writes."""
    namespace["__name__"] = "page"
    namespace["_folder"], namespace["_before"] = tempfile.mkdtemp(prefix="ebayes-page-"), os.getcwd()
    os.chdir(str(namespace["_folder"]))
    sys.path.insert(0, EXAMPLE)


def _teardown(namespace: dict[str, object]) -> None:
    sys.path.remove(EXAMPLE)
    os.chdir(str(namespace["_before"]))
    shutil.rmtree(str(namespace["_folder"]))


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["docs/*.md", "README.md"],
    setup=_setup,
    teardown=_teardown,
).pytest()
