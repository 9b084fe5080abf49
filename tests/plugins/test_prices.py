"""Costs of vesicles as functions of sigma, against their closed form for one release site."""

from __future__ import annotations

import numpy as np

from ebayes_plugins.analyses._common import analytic_slope, optimum, slope_of

SPEC = {
    "inference": {"kind": "energy_efficient", "magnitude": 0.0},
    "cost": {"kind": "vesicles", "c": 0.3, "calcium": 2.0},
    "noise": {"kind": "binomial", "n": 3},
}


def test_the_slope_of_a_price_of_release_is_its_closed_form() -> None:
    """p / (1 - p) = mu^2 / n sigma^2, so calcium costs (mu^2 / n)^(1/4) sigma^(-1/2): a power law with rho = 1/2."""
    mu, sigma = 0.4, np.logspace(-5, 2, 15)
    known = 0.3 * 2.0 / 2 * (mu**2 / 3) ** 0.25 * sigma**-0.5
    slope = slope_of(SPEC, mu)
    np.testing.assert_allclose(slope(sigma), known, rtol=1e-6)
    curvature = np.logspace(0, 4, 5)
    found = optimum(slope, curvature)
    np.testing.assert_allclose(found, (0.3 * (mu**2 / 3) ** 0.25 / curvature) ** (1 / 2.5), rtol=1e-6)
    np.testing.assert_allclose(analytic_slope(slope, found[0]), -2 / 2.5, rtol=1e-4)
