"""The contract, as a property test over kappa's bounds."""

import ebayes_glial

from ebayes_core.testing import check_cost


def test_glial_keeps_the_contract():
    """Elementwise, falling with sigma, its gradient that of its values, and more."""
    check_cost(ebayes_glial.Glial)
