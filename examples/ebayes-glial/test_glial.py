"""Check of the plugin contract, as a property test over the bounds of kappa."""

import ebayes_glial

from ebayes.testing import check_cost


def test_glial_keeps_the_contract():
    """The energy is elementwise, decreases with sigma, has the gradient of its values, and more."""
    check_cost(ebayes_glial.Glial)
