"""What all tests share: the registered plugins, and how many examples hypothesis draws, the same ones each time.

`pytest -m hypothesis --hypothesis-profile=wide` runs the properties alone, on fresh examples and ten times as many;
what fails there is printed with the decorator that repeats it.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

from ebayes_core.contract.registry import Registry

EXAMPLES = 100
settings.register_profile("ebayes", max_examples=EXAMPLES // 2, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "wide", max_examples=5 * EXAMPLES, derandomize=False, deadline=None, database=None, print_blob=True
)
settings.load_profile("ebayes")


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return Registry.load()
