"""Checks and Hypothesis strategies for plugins of one's own; a test calls a check in one line."""

from ebayes_core.testing import *  # noqa: F403
from ebayes_core.testing import __all__  # noqa: F401
