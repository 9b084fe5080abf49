"""The theory's predictions for trained networks, on models with exactly known answers (Appendix 2, 4, 5)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.loop import train
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.collect import free_energy
from ebayes_core.measure.convergence import expected_loss, projections
from ebayes_plugins.costs import Entropic, PowerLaw
from tests.build import cohort

RHO = {"calcium": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}
LINEAR = """
name = "linear"
dataset = { kind = "linear_gaussian", inputs = 6, examples = 100, spread = 1.0, noise_sd = 0.5 }
network = { kind = "mlp", hidden = [] }
noise = { kind = "heterogeneous", sigma_0 = 0.2 }
training = { epochs = 3500, batch_size = 100, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2, learning_rate_phi = 5e-3 }
"""
EVERY_MECHANISM = 'sweep.cost=[{kind="calcium"}, {kind="membrane"}, {kind="actin"}, {kind="trafficking"}]'


def settled(c: Cohort) -> Parameters:
    """Parameters averaged over the second half of training, to average out Adam's fluctuations about the optimum."""
    state = c.start()
    half = c.training.epochs * c.batches // 2
    settling = [p.value for p in state.parameters.all()]
    totals = [torch.zeros_like(t) for t in settling]
    for _ in train(c, state):
        if state.step > half and state.batch:
            for total, t in zip(totals, settling, strict=True):
                total += t / half
    return c.parameters(totals[:1], {"phi": totals[1:]})


def hessian(c: Cohort) -> np.ndarray:
    return c.member.dataset.hessian()


@pytest.fixture(scope="module")
def mechanisms(registry: Registry):
    """The four mechanisms on the linear model, trained to the end."""
    c = cohort(registry, LINEAR, EVERY_MECHANISM)
    return c, settled(c)


def test_trained_sigma_meets_equation_29(mechanisms) -> None:
    """sigma_i = (c rho / H_ii)^(1/(rho + 2)) for every synapse and mechanism, within 5%."""
    c, p = mechanisms
    sigma = c.formulas.sigmas(p)[0].numpy()
    for member, rho in enumerate(RHO.values()):
        known = (rho / hessian(c)) ** (1 / (rho + 2))
        np.testing.assert_allclose(sigma[member], known, rtol=0.05)


def test_trained_slopes_are_those_of_appendix_5(mechanisms) -> None:
    """d log sigma^2 / d log H = -2/(rho + 2)."""
    c, p = mechanisms
    sigma = c.formulas.sigmas(p)[0].numpy()
    for member, rho in enumerate(RHO.values()):
        slope = np.polyfit(np.log(hessian(c)), np.log(sigma[member] ** 2), 1)[0]
        assert slope == pytest.approx(-2 / (rho + 2), abs=0.03)


def test_trained_homogeneous_sigma_knows_the_mean_hessian(registry: Registry, mechanisms) -> None:
    """Homogeneous noise: sigma^(rho + 2) = c rho / mean(H); heterogeneous noise never costs more."""
    c = cohort(registry, LINEAR, EVERY_MECHANISM, 'noise={kind="homogeneous", sigma_0=0.2}')
    p = settled(c)
    sigma = c.formulas.sigmas(p)[0].numpy()
    own = mechanisms[0].formulas.sigmas(mechanisms[1])[0].numpy()
    for member, rho in enumerate(RHO.values()):
        known = (rho / hessian(c).mean()) ** (1 / (rho + 2))
        np.testing.assert_allclose(sigma[member], known, rtol=0.05)
        cost = lambda s, rho=rho: (0.5 * hessian(c) * s**2 + s**-rho).sum()
        assert cost(own[member]) <= cost(sigma[member])


@given(
    h=st.lists(st.floats(1e-4, 1e6), min_size=2, max_size=20),
    rho=st.floats(0.05, 4),
    s=st.floats(1e-3, 10),
)
def test_heterogeneous_noise_never_costs_more(h: list[float], rho: float, s: float) -> None:
    """The quadratic model at both optima, from the formulas, and the closed form of its minimum (paper section 4)."""
    curvature = np.array(h)
    cost = lambda sigma: (0.5 * curvature * sigma**2 + (s / sigma) ** rho / rho).sum()
    each = (s**rho / curvature) ** (1 / (rho + 2))
    one = np.full_like(curvature, (s**rho / curvature.mean()) ** (1 / (rho + 2)))
    assert cost(each) == pytest.approx(((0.5 + 1 / rho) * curvature * each**2).sum(), rel=1e-9)
    assert cost(each) <= cost(one) * (1 + 1e-12)


@given(s=st.floats(0.01, 10), sigma=st.floats(1e-3, 10))
def test_power_law_goes_to_the_entropic_cost(s: float, sigma: float) -> None:
    """As rho -> 0, values up to a constant and slopes (Eq. 50-52)."""
    x = torch.tensor([sigma, 2 * sigma], dtype=torch.float64, requires_grad=True)
    near = PowerLaw(rho=1e-5, s=s)(x, x)
    limit = Entropic()(x, x)
    assert (near[0] - near[1]).item() == pytest.approx((limit[0] - limit[1]).item(), rel=1e-3)
    slopes_ = [torch.autograd.grad(e.sum(), x, retain_graph=True)[0] for e in (near, limit)]
    torch.testing.assert_close(*slopes_, rtol=1e-3, atol=0.0)


def test_entropic_cost_is_variational_bayes_with_a_flat_prior(registry: Registry) -> None:
    """Both end at the exact posterior's variance 1/H (paper section 4.4), though their tables differ."""
    costs = 'sweep="none"'.replace('"none"', "{}")
    energy = cohort(registry, LINEAR, costs, 'cost={kind="entropic"}', "inference.magnitude=0.0")
    bayes = cohort(registry, LINEAR, costs, 'inference={kind="variational_bayes", prior="gaussian", scale=1e4}')
    for c in (energy, bayes):
        p = settled(c)
        np.testing.assert_allclose(c.formulas.sigmas(p)[0][0].numpy(), hessian(c) ** -0.5, rtol=0.05)


def test_variational_bayes_finds_the_exact_posterior_and_evidence(registry: Registry) -> None:
    """Orthogonal inputs: the posterior factorises, so mean-field Bayes is exact and the ELBO is the log evidence."""
    prior = 0.7
    c = cohort(registry, LINEAR, f'inference={{kind="variational_bayes", prior="gaussian", scale={prior}}}')
    p = settled(c)
    mean, covariance = c.member.dataset.posterior(prior)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(covariance, np.diag(sd**2), atol=1e-9)
    np.testing.assert_allclose(c.formulas.sigmas(p)[0][0].numpy(), sd, rtol=0.05)
    assert (np.abs(p.mu[0][0].numpy() - mean) < 0.2 * sd).all()
    exact = at(c, mean, sd)
    elbo = free_energy(c, exact, expected_nll(c, mean, sd))["elbo"].item()
    assert elbo == pytest.approx(c.member.dataset.log_evidence(prior), abs=1e-6)
    trained = free_energy(c, p, expected_nll(c, *numbers(c, p)))["elbo"].item()
    assert elbo - 0.1 < trained <= elbo + 1e-9


def at(c: Cohort, mean: np.ndarray, sd: np.ndarray) -> Parameters:
    sigma = torch.as_tensor(sd)[None]
    return c.parameters([torch.as_tensor(mean)[None]], {"phi": [sigma + torch.log(-torch.expm1(-sigma))]})


def numbers(c: Cohort, p: Parameters) -> tuple[np.ndarray, np.ndarray]:
    return p.mu[0][0].numpy(), c.formulas.sigmas(p)[0][0].numpy()


def expected_nll(c: Cohort, mean: np.ndarray, sd: np.ndarray) -> torch.Tensor:
    """Eq. 24 with its constant: the expectation over the noise in closed form."""
    data = c.member.dataset
    x, y = data.design(), data.load("train")[1].numpy()[:, 0]
    misfit = ((y - x @ mean) ** 2).sum() / data.noise_sd**2 + (hessian(c) * sd**2).sum()
    return torch.tensor([0.5 * misfit + 0.5 * len(y) * math.log(2 * math.pi * data.noise_sd**2)])


def test_monte_carlo_objective_equals_its_closed_form(registry: Registry) -> None:
    """The sampled expected loss against Eq. 24, within four standard errors of many passes."""
    c = cohort(registry, LINEAR, "measurement.balance_passes=40")
    mean = np.linspace(-1, 1, 7)
    sd = np.linspace(0.05, 0.5, 7)
    noise = generator(0, MEASURE)
    found, error = expected_loss(c, projections(c, at(c, mean, sd), noise))
    assert error < 0.02 * found
    assert abs(found - expected_nll(c, mean, sd)) < 4 * error


def laplace_evidence(c: Cohort, rate: float) -> float:
    """log P(y) under Laplace priors on orthogonal inputs: one integral per weight, by quadrature."""
    data = c.member.dataset
    x, y = data.design(), data.load("train")[1].numpy()[:, 0]
    h = hessian(c)
    best = x.T @ y / data.noise_sd**2 / h
    log_likelihood = -expected_nll(c, best, np.zeros_like(best)).item()
    total = log_likelihood
    for centre, curvature in zip(best, h, strict=True):
        width = curvature**-0.5
        f = lambda w, m=centre, k=curvature: rate / 2 * math.exp(-rate * abs(w) - 0.5 * k * (w - m) ** 2)
        edges = sorted(
            {centre - 12 * width, min(max(0.0, centre - 12 * width), centre + 12 * width), centre + 12 * width}
        )
        total += math.log(sum(quad(f, a, b, epsabs=0)[0] for a, b in itertools.pairwise(edges)))
    return total


@pytest.mark.parametrize("kind", [*RHO, "mixture"])
@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_chain_of_bounds(registry: Registry, kind: str, rate: float) -> None:
    """-(overall cost) - const <= ELBO <= log evidence (Eq. 49), at the optimum, off it, and for every mechanism."""
    cost = f'{{kind="{kind}", c=0.01}}' if kind != "mixture" else (
        '{kind="mixture", costs=[{kind="calcium", s=0.02}, {kind="trafficking", s=0.1}]}'
    )  # fmt: skip
    c = cohort(registry, LINEAR, f"cost={cost}", f"inference.magnitude={rate}")
    h, data = hessian(c), c.member.dataset
    best = data.design().T @ data.load("train")[1].numpy()[:, 0] / data.noise_sd**2 / h
    evidence = laplace_evidence(c, rate)
    for factor in (0.1, 1.0, 10.0):
        sd = factor * h**-0.5
        found = free_energy(c, at(c, best, sd), expected_nll(c, best, sd))
        bound, elbo, slack = (found[name].item() for name in ("bound", "elbo", "slack"))
        assert bound <= elbo <= evidence
        assert slack == pytest.approx(elbo - bound)
        overall = (
            expected_nll(c, best, sd).item() + c.formulas.penalty(*map(torch.as_tensor, (best, sd)), True).sum().item()
        )
        if (
            kind in RHO
        ):  # the paper's own constants (Eq. 45) and those of the Laplace prior (Eq. 39); E|w| >= |mu| (Jensen)
            s = (0.01 * RHO[kind]) ** (1 / RHO[kind])
            const = len(h) * (-1 / RHO[kind] - 0.5 * math.log(2 * math.pi * math.e * s**2) + math.log(2 / rate))
            assert bound <= -overall - const + 1e-9
            assert -overall - const - bound <= rate * (np.sqrt(2 / np.pi) * sd).sum()
