"""The least energy of n, p and q: its table, its limits, its closed form, and its derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from ebayes_plugins.costs import Quantal, QuantalTurnover

#: mu, sigma, prices (calcium, turnover, membrane, actin), n_min; energy, its derivatives in mu and in sigma
TABLE = [
    (1, 0.5, (1, 1, 0, 0), 0, 2.17637641, 0.870551, -1.741101),
    (1, 0.5, (1, 1, 0, 0), 1, 2.41421356, 0.707107, -1.414214),
    (1, 0.1, (1, 0.05, 0, 0), 0, 2.27570525, 0.910282, -9.102821),
    (1, 0.1, (1, 0.1, 0.3, 0.2), 0, 3.55001692, 1.642014, -12.469597),
    (1, 0.5, (1, 0.1, 0.3, 0.2), 1, 2.07777619, 0.889443, -1.171098),
]
MIXED = (1, 0.1, 0.3, 0.2)


def quantal(prices=MIXED, n_min=0, mu_floor=0.0):
    names = ("calcium", "turnover", "membrane", "actin")
    return Quantal(**dict(zip(names, map(float, prices), strict=True)), n_min=n_min, mu_floor=mu_floor)


def synapse(*values, dtype=torch.float64):
    return [torch.tensor([v], dtype=dtype, requires_grad=True) for v in values]


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-8), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("m", "s", "prices", "n_min", "energy", "in_mu", "in_sigma"), TABLE)
def test_known_answers(m, s, prices, n_min, energy, in_mu, in_sigma, dtype, digits) -> None:
    mu, sigma = synapse(float(m), s, dtype=dtype)
    found = quantal(prices, n_min).energy(sigma, mu)
    slopes = torch.autograd.grad(found.sum(), [mu, sigma])
    assert math.isclose(found.item(), energy, rel_tol=max(digits, 3e-9))
    for slope, known in zip(slopes, (in_mu, in_sigma), strict=True):
        assert math.isclose(slope.item(), known, rel_tol=2e-6)


def energy_of(n, p, q, prices):
    """Calcium, turnover, membrane and actin, written out (Eq. 12-16)."""
    a, f, b, d = prices
    return a * (p / (1 - p)) ** 0.25 + n * (f + b * q ** (2 / 3) + d * q ** (1 / 3))


def by_search(m, s, prices, n_min):
    """The least energy by a search over log odds, with n and q that give mean and standard deviation."""

    def at(t):
        p = 1 / (1 + math.exp(-t))
        n = m**2 / s**2 * (1 - p) / p
        return energy_of(n, p, m / (n * p), prices)

    highest = math.log(m**2 / s**2 / n_min) if n_min else 30
    inside = minimize_scalar(at, bounds=(-30, highest), method="bounded", options={"xatol": 1e-10}).fun
    return min(inside, at(highest))


@pytest.mark.parametrize("n_min", [0, 1])
def test_no_n_p_and_q_are_cheaper(n_min: int) -> None:
    chance = np.random.default_rng(0)
    for _ in range(60):
        m, s = np.exp(chance.uniform(-4, 2)), np.exp(chance.uniform(-6, 2))
        prices = (1.0, *np.exp(chance.uniform(-5, 2, 3)) * (chance.random(3) > 0.3))
        prices = prices if any(prices[1:]) else MIXED
        mu, sigma = synapse(-m, s)
        cost = quantal(prices, n_min)
        found = cost.energy(sigma, mu).item()
        assert math.isclose(found, by_search(m, s, prices, n_min), rel_tol=1e-7)
        n, p, q = (t.item() for t in cost.quanta(sigma.detach(), mu.detach()))
        assert math.isclose(n * p * q, -m, rel_tol=1e-10)
        assert math.isclose(n * p * (1 - p) * q**2, s**2, rel_tol=1e-9)
        assert math.isclose(energy_of(n, p, -q, prices), found, rel_tol=1e-9)
        assert n >= n_min * (1 - 1e-12)


def test_calcium_and_turnover_have_a_closed_form() -> None:
    a, f, m, s = 1.3, 0.07, 0.4, 0.09
    mu, sigma = synapse(m, s)
    energy = 1.6493848884661 * a**0.8 * f**0.2 * (m / s) ** 0.4
    precision = m**2 / s**2
    for found in (quantal((a, f, 0, 0)), QuantalTurnover(calcium=a, turnover=f, mu_floor=0.0)):
        assert math.isclose(found.energy(sigma, mu).item(), energy, rel_tol=1e-12)
        n, p, _ = found.quanta(sigma, mu)
        assert math.isclose(n.item(), precision**0.2 * (a / (4 * f)) ** 0.8, rel_tol=1e-10)
        assert math.isclose((p / (1 - p)).item(), (4 * f * precision / a) ** 0.8, rel_tol=1e-10)
        assert math.isclose(a * (p / (1 - p)).item() ** 0.25, 0.8 * energy, rel_tol=1e-10)  # calcium pays 4/5


def exponents(prices, m, s, n_min=0):
    """-dlnE/dln sigma, and -dln(-dE/dln sigma)/dln sigma."""
    u = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    energy = quantal(prices, n_min).energy(s * u.exp(), torch.tensor([m], dtype=torch.float64))
    (first,) = torch.autograd.grad(energy.sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), u)
    return (-first / energy).item(), (-second / first).item()


#: prices besides calcium: the exponent of many vesicles (S -> 0), and of few (S -> infinity)
LIMITS = {"membrane": ((1, 0, 1, 0), 2 / 15, 2 / 7), "actin": ((1, 0, 0, 1), 4 / 15, 4 / 11),
          "turnover": ((1, 1, 0, 0), 2 / 5, 2 / 5)}  # fmt: skip


@pytest.mark.parametrize(("prices", "noisy", "reliable"), LIMITS.values(), ids=LIMITS)
def test_local_exponents_with_all_free(prices, noisy: float, reliable: float) -> None:
    for s, known in ((1e9, noisy), (1e-9, reliable)):
        assert exponents(prices, 1.0, s) == pytest.approx((known, known), rel=2e-3)
    for s in np.logspace(-9, 9, 37):
        of_energy, of_slope = exponents(prices, 1.0, float(s))
        assert noisy - 1e-3 <= of_energy <= reliable + 1e-3
        assert of_slope < 0.411  # more than 2/5, between the limits, if only actin has a price


def test_the_first_exponent_is_the_share_of_what_grows_with_precision() -> None:
    m, s = 1.0, 0.1
    n, p, q = (t.item() for t in quantal().quanta(*synapse(s, m)))
    _, f, b, d = MIXED
    parts = n * np.array([f, b * q ** (2 / 3), d * q ** (1 / 3)])
    known = 2 * parts @ [1, 1 / 3, 2 / 3] / (parts.sum() + (p / (1 - p)) ** 0.25)
    assert math.isclose(exponents(MIXED, m, s)[0], known, rel_tol=1e-9)


def test_one_vesicle_pays_calcium_as_the_paper_has_it() -> None:
    """Where n >= 1 binds, odds are S, and the energy falls as sigma^(-1/2) (Eq. 13)."""
    of_energy, of_slope = exponents((1, 50.0, 0, 0), 1.0, 0.5, n_min=1)
    assert math.isclose(of_slope, 1 / 2, rel_tol=1e-9)
    assert of_energy < 1 / 2  # the vesicle is paid for, too


def test_a_synapse_of_one_vesicle_has_a_cheapest_sigma() -> None:
    cost = quantal(MIXED, n_min=1)
    sigma = torch.logspace(-3, 2, 400, dtype=torch.float64)
    energy = cost.energy(sigma, torch.ones_like(sigma))
    assert 0 < energy.argmin() < 399
    assert not cost.monotone
    assert quantal(MIXED).monotone
    assert quantal((1, 1, 0, 0), n_min=1).monotone
    every = quantal(MIXED).energy(sigma, torch.ones_like(sigma))
    assert bool((every.diff() < 0).all())


def test_whole_vesicles_cost_little_more() -> None:
    """Whole n >= 1 costs at most 1.45% more than real n >= 1 (calcium and turnover)."""
    prices = (1.0, 0.05, 0, 0)
    worst = 0.0
    for s in np.logspace(-2, 1, 60):
        real = quantal(prices, n_min=1).energy(*synapse(float(s), 1.0)).item()
        odds = [1 / s**2 / n for n in range(1, 60)]
        whole = min(o**0.25 + 0.05 * n for n, o in enumerate(odds, 1))
        worst = max(worst, whole / real - 1)
    assert 0.012 < worst <= 0.0146


@pytest.mark.parametrize("n_min", [0, 1])
def test_the_closed_form_is_what_newtons_method_finds(n_min: int) -> None:
    mu = torch.tensor([1.3, -0.2, 0.004, 0.7, -2.0], dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor([0.03, 0.5, 0.2, 3.0, 0.4], dtype=torch.float64, requires_grad=True)
    costs = (cls(calcium=0.7, turnover=0.3, n_min=n_min, mu_floor=1e-3) for cls in (Quantal, QuantalTurnover))
    searched, closed = (_derivatives(cost.energy(sigma, mu), mu, sigma) for cost in costs)
    for a, b in zip(searched, closed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def _derivatives(energy, *leaves):
    """Energy, first and second derivatives."""
    first = torch.autograd.grad(energy.sum(), leaves, create_graph=True)
    return energy, *first, *(s for f in first for s in torch.autograd.grad(f.sum(), leaves, retain_graph=True))


@pytest.mark.parametrize("n_min", [0, 1])
def test_first_and_second_derivatives(n_min: int) -> None:
    mu = torch.tensor([1.3, -0.2, 0.004, 0.7, -2.0], dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor([0.03, 0.5, 0.2, 3.0, 0.4], dtype=torch.float64, requires_grad=True)
    for prices in (MIXED, (1, 0.5, 0, 0), (1, 0, 2.0, 0), (0.3, 0, 0, 1.0)):
        energy = quantal(prices, n_min, mu_floor=1e-3).energy
        torch.autograd.gradcheck(lambda m, s, f=energy: f(s, m), (mu, sigma), rtol=1e-5)
        torch.autograd.gradgradcheck(lambda m, s, f=energy: f(s, m), (mu, sigma), rtol=1e-5)


def test_single_precision_is_as_good_as_it_can_be() -> None:
    chance = torch.Generator().manual_seed(0)
    draw = lambda low, high: torch.empty(20_001, dtype=torch.float64).uniform_(low, high, generator=chance).exp()
    mu, sigma = draw(-9, 2), draw(-9, 2)
    for prices in (MIXED, (1, 0.05, 0, 0), (1, 0, 0.2, 0.0), (1, 0, 0, 0.2)):
        cost = quantal(prices, mu_floor=1e-4)
        exact, found = (_with_slopes(cost, mu.to(t), sigma.to(t)) for t in (torch.float64, torch.float32))
        worst = [float(((b.double() - a) / a).abs().max()) for a, b in zip(exact, found, strict=True)]
        assert worst[0] < 1e-6
        assert max(worst[1:]) < 2e-6


def _with_slopes(cost, mu, sigma):
    leaves = [mu.clone().requires_grad_(), sigma.clone().requires_grad_()]
    energy = cost.energy(leaves[1], leaves[0])
    return energy.detach(), *torch.autograd.grad(energy.sum(), leaves)


def test_a_mean_near_zero_has_a_finite_slope() -> None:
    mu, sigma = synapse(0.0, 0.1)
    (slope,) = torch.autograd.grad(quantal(mu_floor=1e-3).energy(sigma, mu).sum(), mu)
    assert slope.item() == 0
    mu, sigma = synapse(1e-5, 0.1)
    (slope,) = torch.autograd.grad(quantal(mu_floor=1e-3).energy(sigma, mu).sum(), mu)
    (steep,) = torch.autograd.grad(quantal().energy(sigma, mu).sum(), mu)
    assert 0 < slope.item() < steep.item() / 10


def test_calcium_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="one of turnover, membrane and actin must be at least 1e-06"):
        quantal((1, 0, 0, 0))


def test_rounding_leaves_no_synapse_with_less_than_a_vesicle() -> None:
    mu, sigma = torch.linspace(-1, 1, 1001, dtype=torch.float64), torch.linspace(0.01, 3, 1001, dtype=torch.float64)
    n, p, q = quantal(n_min=1, mu_floor=1e-4).quanta(sigma, mu)
    assert (n >= 1).all() and (n == 1).any() and (n > 1).any()
    torch.testing.assert_close(n * p * q, mu)
