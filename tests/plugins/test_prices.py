"""Costs of vesicles as functions of sigma, against their closed form for one release site."""

from __future__ import annotations

import math

import numpy as np

from ebayes_core.contract.registry import Registry
from ebayes_core.measure.collect import measure
from ebayes_plugins.analyses._common import analytic_slope, optimum, slope_of
from tests.build import DIGITS, cohort, trained

SPEC = {
    "inference": {"kind": "energy_efficient", "magnitude": 0.0},
    "cost": {"kind": "quantal", "c": 0.3, "calcium": 2.0},
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


def test_a_synapse_at_each_position_pays_its_own_price(registry: Registry) -> None:
    """Positions of kernels of 3 x 3 on 8 x 8 pixels: 6 x 6, then with stride 2: 2 x 2; each dense synapse is one."""
    images = 'dataset={kind="digits", layout="image"}', 'network={kind="convolutional", noise_per="position"}'
    c = cohort(registry, DIGITS, *images, "training.epochs=1", 'cost={kind="membrane", c=0.1}')
    (result,) = measure(c, trained(c))
    assert result.layer_metrics["n_copies"].tolist() == [36, 4, 1]
    sizes = result.layer_metrics["n_synapses"]
    assert math.isclose(result.metrics["n_copies"], (sizes * [36, 4, 1]).sum() / sizes.sum())
    sigma = np.logspace(-3, 1, 5)
    np.testing.assert_allclose(slope_of(SPEC, 0.4, 36.0)(sigma), 36 * slope_of(SPEC, 0.4)(sigma))
    each = [(layer["sigma"].astype(float) ** (-2 / 3)).sum() for layer in result.layers]
    paid = 0.1 * float(np.dot([36, 4, 1], each))
    assert math.isclose(result.metrics["reliability_cost"], paid, rel_tol=1e-9)
