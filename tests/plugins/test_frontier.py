"""The stochastic frontier against numerical integration, and the boundaries against scipy's minimum over n, p and q."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from ebayes_plugins.analyses._families import ALL_FOUR, ANY, FAMILIES, _all_four, curve_of, precision, shares
from ebayes_plugins.analyses._frontier import FORMS, Box, Fit, fit, log_density
from ebayes_plugins.costs.quantal import Quantal
from tests.drawn import examples

EXCESS = {"half_normal": stats.halfnorm, "exponential": stats.expon}


@pytest.mark.parametrize("excess", EXCESS)
@pytest.mark.parametrize(("error", "scale"), [(0.7, 1.3), (1.1, 0.2), (0.05, 2.0)])
def test_the_density_is_the_convolution(excess: str, error: float, scale: float) -> None:
    e = np.array([-1.3, -0.2, 0.0, 0.4, 2.7])
    density, by_error, by_scales = FORMS[excess](e, error, scale)
    for value, found in zip(e, density, strict=True):
        product = lambda u, at=value: EXCESS[excess].pdf(u, scale=scale) * stats.norm.pdf(at - u, scale=error)
        known, _ = integrate.quad(product, 0, 40 * scale, points=[max(value, 0.0)], epsabs=0, limit=400)
        assert np.exp(found) == pytest.approx(known, rel=1e-7)
    h = 1e-6
    slope = lambda f: (f(h) - f(-h)) / (2 * h)
    np.testing.assert_allclose(by_error, slope(lambda d: FORMS[excess](e + d, error, scale)[0]), rtol=1e-5, atol=1e-7)
    numeric = [
        slope(lambda d: FORMS[excess](e, error * np.exp(d), scale)[0]),
        slope(lambda d: FORMS[excess](e, error, scale * np.exp(d))[0]),
    ]
    np.testing.assert_allclose(by_scales, numeric, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("excess", EXCESS)
def test_far_below_the_boundary_nothing_overflows(excess: str) -> None:
    density, by_error, by_scales = FORMS[excess](np.array([-1e9, 1e9]), 1e-3, 0.5)
    assert np.isfinite([*density, *by_error, *by_scales.ravel()]).all() and density[0] < -1e20


def flat(n: int) -> tuple[object, Box]:
    return lambda theta: (np.zeros(n), np.zeros((n, 0))), Box(np.zeros(0))


@pytest.mark.parametrize("excess", EXCESS)
def test_planted_scales_are_found_and_nothing_near_is_likelier(excess: str) -> None:
    n, random = 4001, np.random.default_rng(3)
    y = 1.5 + 0.4 * random.normal(size=n) + EXCESS[excess].rvs(scale=0.9, size=n, random_state=random)
    found = fit(*flat(n), y, excess)
    assert (found.height, found.error, found.excess) == pytest.approx((1.5, 0.4, 0.9), abs=0.06)
    best = log_density(y, found, excess).sum()
    for height, error, scale in 0.01 * random.normal(size=(40, 3)):
        near = Fit(found.theta, found.height + height, found.error * np.exp(error), found.excess * np.exp(scale))
        assert log_density(y, near, excess).sum() < best


@pytest.mark.parametrize("excess", EXCESS)
def test_values_that_fall_short_of_the_boundary_leave_a_normal_error(excess: str) -> None:
    """Skewed the wrong way (Waldman 1982): least squares, with the likelihood of a normal error."""
    y = -EXCESS["half_normal"].rvs(size=201, random_state=np.random.default_rng(1))
    found = fit(*flat(201), y, excess)
    assert found == (found.theta, y.mean(), y.std(), 0.0)
    assert log_density(y, found, excess).sum() == pytest.approx(stats.norm.logpdf(y, y.mean(), y.std()).sum())


def test_the_slope_of_a_power_law_is_that_of_least_squares_if_errors_are_normal() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=83)
    y = 0.7 * x - stats.halfnorm.rvs(size=83, random_state=random)
    found = fit(*curve_of(FAMILIES[-1], x, 0.5), y, "half_normal")
    assert FAMILIES[-1].name == ANY and found.theta == pytest.approx([stats.linregress(x, y).slope], rel=1e-6)


def energy(t: float, m: float, s: float, prices: np.ndarray) -> float:
    """E(t) for calcium at price 1, turnover, membrane and actin, as derived from n, p and q."""
    o, (f, b, d) = np.exp(t), prices
    n, q = s / o, m * (1 + o) / s
    return float(o**0.25 + f * n + b * n * q ** (2 / 3) + d * n * q ** (1 / 3))


def least(m: float, s: float, prices: np.ndarray) -> float:
    of = partial(energy, m=m, s=s, prices=prices)
    return float(optimize.minimize_scalar(of, bounds=(-30, 30), method="bounded", options={"xatol": 1e-10}).fun)


@given(parts=st.tuples(*[st.floats(0, 1)] * 2), p=st.floats(0.02, 0.98))
@examples(25)
def test_the_boundary_of_all_four_costs_has_one_least_energy(parts: tuple[float, float], p: float) -> None:
    """Prices that make p what it is at mean 1, S = 1, with these shares; then scipy's minimum, along the boundary."""
    x, paid, o = np.linspace(-3, 3, 7), shares(np.array(parts)), p / (1 - p)
    vesicles = o**0.25 / 4 / (paid @ [1, 1 - 2 * p / 3, 1 - p / 3])
    prices = vesicles * paid * o / (1 + o) ** np.array([0, 2 / 3, 1 / 3])
    s, _ = precision(x, paid, p)
    assert s[3] == pytest.approx(0, abs=1e-12)
    found = [least(np.exp(at), np.exp(value), prices) for at, value in zip(x, s, strict=True)]
    np.testing.assert_allclose(found, o**0.25 + vesicles, rtol=1e-9)


@given(parts=st.tuples(*[st.floats(0, 1)] * 2), p=st.floats(0.05, 0.95))
@examples(15)
def test_it_has_one_energy_under_the_cost_that_networks_are_trained_with(parts: tuple[float, float], p: float) -> None:
    x, paid, o = np.linspace(-3, 3, 8), shares(np.array(parts)), p / (1 - p)
    prices = o**0.25 / 4 / (paid @ [1, 1 - 2 * p / 3, 1 - p / 3]) * paid * o / (1 + o) ** np.array([0, 2 / 3, 1 / 3])
    cost = Quantal(**dict(zip(("turnover", "membrane", "actin"), map(float, prices), strict=True)), mu_floor=0)
    s, _ = precision(x, paid, p)
    paid_there = cost.energy(torch.tensor(np.exp(x - s / 2)), torch.tensor(np.exp(x)))
    np.testing.assert_allclose(paid_there, float(paid_there[0]), rtol=1e-9)


@given(parts=st.tuples(*[st.floats(0.01, 0.99)] * 2), p=st.floats(0.02, 0.98))
@examples(15)
def test_the_derivatives_of_that_boundary_are_those_of_differences(parts: tuple[float, float], p: float) -> None:
    x, theta, h = np.linspace(-2, 2.5, 6), np.array(parts), 1e-5
    slopes = [(_all_four(x, theta + d, p)[0] - _all_four(x, theta - d, p)[0]) / (2 * h) for d in h * np.eye(2)]
    np.testing.assert_allclose(_all_four(x, theta, p)[1].T, slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("theta", "name"), [((0, 0.3), "μ²/σ²"), ((1, 0), "membrane"), ((1, 1), "actin")])
def test_one_mechanism_beside_calcium_has_the_boundary_of_its_family(theta: tuple[float, float], name: str) -> None:
    """Whatever p: calcium + turnover, + membrane and + actin are power laws."""
    x = np.linspace(-2, 3, 6)
    (family,) = (f for f in FAMILIES if f.name == name)
    for p in (0.1, 0.9):
        np.testing.assert_allclose(_all_four(x, np.array(theta, float), p)[0], family.slope * x, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "cost", "held"),
    [
        ("μ²/σ²", lambda n, p, q: (p / (1 - p)) ** 0.25, "n"),
        ("μ²/σ²", lambda n, p, q: n * p, "p"),
        ("membrane", lambda n, p, q: n * q ** (2 / 3), "p"),
        ("actin", lambda n, p, q: n * q ** (1 / 3), "p"),
    ],
)
def test_a_family_is_the_boundary_of_its_mechanism(name: str, cost: object, held: str) -> None:
    """n or p is found by bisection for an energy of 2, with the other held and q from the mean."""
    moments = []
    for q in np.geomspace(0.01, 3, 5):
        at = lambda v, q=q: (v, 0.4, q) if held == "p" else (4.0, v, q)
        v = optimize.brentq(lambda v, at=at: cost(*at(v)) - 2, 1e-9, 1e9 if held == "p" else 1 - 1e-9)
        n, p, _ = at(v)
        moments.append((np.log(n * p * q), np.log(n * p * (1 - p) * q * q)))
    x, y = np.transpose(moments)
    (family,) = (f for f in FAMILIES if f.name == name)
    np.testing.assert_allclose(np.diff(y) / np.diff(x), family.slope, rtol=1e-6)
    assert family.name != ALL_FOUR
