"""Appendix 4 as properties: the energy bounds the entropy, and touches it at s."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.functions import entropy_cost, expected_abs
from ebayes_core.measure import bound
from ebayes_plugins.costs import Calcium, Entropic, Mixture, PowerLaw, Trafficking

sigmas = st.floats(1e-5, 1e3)
scales = st.floats(1e-4, 10)
exponents = st.floats(1e-2, 4)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(rho=exponents, s=scales, sigma=sigmas)
def test_energy_bounds_the_entropic_cost(rho: float, s: float, sigma: float) -> None:
    """C_VI <= C_BI with the paper's constant (Eq. 44, 45), which the generic tangent reproduces."""
    cost, x = PowerLaw(rho=rho, s=s), double(sigma)
    energy = lambda v: cost(v, torch.zeros_like(v))
    const = bound.constant(energy, x)
    known = -1 / rho - 0.5 * math.log(2 * math.pi * math.e * s**2)
    assert const.item() == pytest.approx(known, rel=1e-7, abs=1e-7)
    assert (energy(x) + const - entropy_cost(x)).item() >= -1e-7 * (1 + energy(x).item())


@given(rho=exponents, s=scales)
def test_bound_is_tight_at_s(rho: float, s: float) -> None:
    """Eq. 53; the scale is recovered from the energy alone (Eq. 48)."""
    cost, x = PowerLaw(rho=rho, s=s), double(s)
    energy = lambda v: cost(v, torch.zeros_like(v))
    assert bound.scale(energy, x).item() == pytest.approx(s, rel=1e-6)
    assert (energy(x) + bound.constant(energy, x)).item() == pytest.approx(
        entropy_cost(x).item(), abs=1e-6 * (1 + 1 / rho)
    )


@given(s=scales, sigma=sigmas)
def test_slack_vanishes_with_rho(s: float, sigma: float) -> None:
    """Eq. 50-52: slack is rho/2 ln(s/sigma)^2 to first order, so it falls in proportion to rho."""
    slacks = []
    for rho in (1e-2, 1e-3):
        cost, x = PowerLaw(rho=rho, s=s), double(sigma)
        energy = lambda v, cost=cost: cost(v, torch.zeros_like(v))
        slacks.append((energy(x) + bound.constant(energy, x) - entropy_cost(x)).item())
    log_ratio = math.log(s / sigma)
    assert slacks[1] == pytest.approx(5e-4 * log_ratio**2, rel=0.02, abs=1e-6)
    assert slacks[0] >= slacks[1] - 1e-9


def test_entropic_cost_is_its_own_bound_only_at_multiplier_one() -> None:
    x = double(0.01, 1.0, 30.0)
    zero = torch.zeros_like(x)
    slack = Entropic()(x, zero) + bound.constant(lambda v: Entropic()(v, zero), x) - entropy_cost(x)
    torch.testing.assert_close(slack, zero, atol=1e-9, rtol=0.0)
    assert bound.constant(lambda v: Entropic(c=2.0)(v, zero), x).isnan().all()


@given(a=scales, b=scales, sigma=sigmas)
def test_mixtures_have_a_scale_of_their_own(a: float, b: float, sigma: float) -> None:
    """For a sum of mechanisms s solves sum_k c_k rho_k s^-rho_k = 1, and the bound holds with it."""
    cost = Mixture(costs=(Calcium(s=a), Trafficking(s=b)))
    x = double(sigma)
    energy = lambda v: cost(v, torch.zeros_like(v))
    s = bound.scale(energy, x).item()
    assert (a / s) ** 0.5 + (b / s) ** 2 == pytest.approx(1.0, rel=1e-5)
    assert (energy(x) + bound.constant(energy, x) - entropy_cost(x)).item() >= -1e-7 * (1 + energy(x).item())


@given(mu=st.floats(-5, 5), sigma=st.floats(1e-3, 5))
def test_expected_abs_is_the_folded_normal(mu: float, sigma: float) -> None:
    from scipy.stats import foldnorm

    known = foldnorm.mean(abs(mu) / sigma, scale=sigma) if abs(mu) / sigma < 30 else abs(mu)
    assert expected_abs(double(mu), double(sigma)).item() == pytest.approx(known, rel=1e-9, abs=1e-12)
    assert expected_abs(double(mu), double(0.0)).item() == pytest.approx(abs(mu), abs=1e-29)
    assert expected_abs(double(mu), double(sigma)).item() >= abs(mu) - 1e-12


@given(mu=st.floats(-5, 5), sigma=st.floats(1e-2, 5))
def test_slopes_of_expected_abs(mu: float, sigma: float) -> None:
    leaves = [double(mu).requires_grad_(), double(sigma).requires_grad_()]
    assert torch.autograd.gradcheck(expected_abs, leaves, atol=1e-6)
    assert torch.autograd.gradgradcheck(expected_abs, leaves, atol=1e-5)
