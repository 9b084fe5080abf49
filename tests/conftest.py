"""What all tests share: the registered plugins, and hypothesis without deadlines on a shared machine."""

from __future__ import annotations

import pytest
from hypothesis import settings

from ebayes_core.registry import Registry

settings.register_profile("ebayes", deadline=None, database=None)
settings.load_profile("ebayes")


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return Registry.load()
