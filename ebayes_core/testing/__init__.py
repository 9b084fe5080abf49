"""For plugin authors: hypothesis strategies, and one check per slot that a test calls in one line.

    from ebayes_core.testing import check_cost
    def test_glial():
        check_cost(Glial)

A check runs a property test over the plugin's own field bounds and raises AssertionError that says what is wrong and what to do.
Needs the extra `test` (hypothesis).
"""

from __future__ import annotations

from ebayes_core.testing.checks import check_cost, check_inference, check_noise
from ebayes_core.testing.larger import check_analysis, check_dataset, check_network
from ebayes_core.testing.strategies import mus, plugins, siblings, sigmas

__all__ = [
    "check_analysis", "check_cost", "check_dataset", "check_inference", "check_network", "check_noise",
    "mus", "plugins", "siblings", "sigmas",
]  # fmt: skip
