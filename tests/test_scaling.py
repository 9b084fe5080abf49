"""What tells Bayes from energy: how sigma^2 goes with the amount of data, and with the price; on the linear model.

There the curvature of every synapse is N x^2 / epsilon^2 whatever the means are, so that the answers are exact:
variational Bayes with a weak prior, sigma^2 = 1/(N h); energies, sigma^2 = (c rho / (N h))^(2/(rho + 2)).
"""

from __future__ import annotations

import numpy as np
import pytest

from ebayes_core.contract.registry import Registry
from tests.build import cohort, trained

RHO = {"calcium": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}
EXAMPLES, PRICES = (80, 1280), (0.01, 1.0)
CLOSE = 0.01  #: the solver's factor between Fisher and curvature is an average over 40 synapses and 1000 steps
LINEAR = """
name = "linear"
dataset = { kind = "linear_gaussian", inputs = 40, examples = 200, spread = 1.0, noise_sd = 0.5 }
network = { kind = "mlp", hidden = [] }
noise = { kind = "heterogeneous", sigma_0 = 0.05 }
training = { epochs = 1000, batch_size = 10000, dtype = "float64", sigma = "fixed_point", schedule = "cosine" }
optimizer = { kind = "adam", learning_rate = 2e-2 }
"""
ENERGIES = 'sweep.cost=[{kind="calcium"}, {kind="membrane"}, {kind="actin"}, {kind="trafficking"}]'


def log_variances(registry: Registry, *overrides: str) -> np.ndarray:
    """Natural logarithms of sigma^2, (member, synapses), of networks trained to their optimum."""
    c = cohort(registry, LINEAR, *overrides)
    return 2 * np.log(c.formulas.sigmas(trained(c).parameters)[0].numpy())


def with_data(registry: Registry, *overrides: str) -> np.ndarray:
    """Slope of ln sigma^2 on ln N of each synapse, (member, synapses)."""
    few, many = (log_variances(registry, *overrides, f"dataset.examples={n}") for n in EXAMPLES)
    return (many - few) / np.log(EXAMPLES[1] / EXAMPLES[0])


@pytest.mark.parametrize("prior", ["gaussian", "laplace"])
def test_the_variance_of_variational_bayes_is_the_inverse_of_the_data(registry: Registry, prior: str) -> None:
    weak = f'inference={{kind="variational_bayes", prior="{prior}", scale=1e6}}'
    np.testing.assert_allclose(with_data(registry, weak), -1, atol=CLOSE)


def test_the_variance_of_an_energy_falls_more_slowly(registry: Registry) -> None:
    """-2/(rho + 2): -0.8, -0.75, -0.6 and -0.5."""
    found = with_data(registry, ENERGIES)
    for slopes, rho in zip(found, RHO.values(), strict=True):
        np.testing.assert_allclose(slopes, -2 / (rho + 2), atol=CLOSE)


def test_the_variance_of_an_energy_grows_with_its_price(registry: Registry) -> None:
    found = log_variances(registry, ENERGIES, f'sweep."cost.c"={list(PRICES)}').reshape(4, 2, -1)
    for (cheap, dear), rho in zip(found, RHO.values(), strict=True):
        slopes = (dear - cheap) / np.log(PRICES[1] / PRICES[0])
        np.testing.assert_allclose(slopes, 2 / (rho + 2), atol=CLOSE)


def test_the_variance_of_variational_bayes_has_no_price(registry: Registry) -> None:
    cheap, dear = log_variances(registry, 'inference.kind="variational_bayes"', f'sweep."cost.c"={list(PRICES)}')
    np.testing.assert_allclose(cheap, dear, rtol=1e-12)


def test_a_prior_flattens_the_fall_as_the_exact_posterior_says(registry: Registry) -> None:
    """sigma^2 = 1/(N h + 1/scale^2), with a prior as wide as the posterior."""
    prior = 'inference={kind="variational_bayes", prior="gaussian", scale=0.1}'
    known = []
    for n in EXAMPLES:
        c = cohort(registry, LINEAR, prior, f"dataset.examples={n}")
        known.append(-np.log(c.member.dataset.hessian() + 1 / 0.1**2))
    slopes = (known[1] - known[0]) / np.log(EXAMPLES[1] / EXAMPLES[0])
    np.testing.assert_allclose(with_data(registry, prior)[0], slopes, atol=CLOSE)
    assert slopes.max() > -0.5
