"""For plugin authors: one check per slot that a test calls in one line, as `ebayes_core.testing` has them."""

from ebayes_core.testing import *  # noqa: F403
from ebayes_core.testing import __all__  # noqa: F401
