"""The Python of the README and of the documentation is run, page by page, as tests."""

from __future__ import annotations

import sys
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

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
