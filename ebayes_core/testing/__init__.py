"""For plugin authors: hypothesis strategies, and one check per slot that a test calls in one line.

    from ebayes_core.testing import check_cost
    def test_glial():
        check_cost(Glial)

A check runs a property test over the plugin's own field bounds and raises AssertionError, which says what is wrong and
what to do. Requires the extra `test` (hypothesis); without it, raises an ImportError that says so. May import from
every room but `cli` and `bench`.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("ebayes_core.testing needs hypothesis; install it with: pip install 'ebayes[test]'")

from ebayes_core.testing.cost import check_cost
from ebayes_core.testing.inference import check_inference
from ebayes_core.testing.larger import check_analysis, check_dataset
from ebayes_core.testing.likelihood import check_likelihood
from ebayes_core.testing.networks import check_network
from ebayes_core.testing.noise import check_noise
from ebayes_core.testing.optimizer import check_optimizer
from ebayes_core.testing.strategies import mus, plugins, siblings, sigmas

__all__ = [
    "check_analysis", "check_cost", "check_dataset", "check_inference", "check_likelihood", "check_network",
    "check_noise", "check_optimizer",
    "mus", "plugins", "siblings", "sigmas",
]  # fmt: skip
