"""Effective exponents of planted synapses, and the three slopes where each has a closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._exponents import implied_slope, local_exponents, solved_slope
from ebayes_plugins.analyses._held import held
from ebayes_plugins.analyses.exponent import Exponent
from tests.drawn import examples, words
from tests.plugins.test_analyses import ENERGY, MECHANISMS, FakeRun, figure_of, legible, power, sweep

SIGMA, MU = np.geomspace(1e-3, 3, 17), np.linspace(-2, 1.5, 17)
Synapses = tuple[np.ndarray, np.ndarray]


def spec(**cost: Any) -> dict[str, Any]:
    return {"cost": cost, "inference": ENERGY, "noise": {"kind": "heterogeneous"}}


@given(st.floats(0.1, 8), st.floats(1e-3, 1e3))
@examples(20)
def test_a_power_law_has_its_own_exponent_everywhere(rho: float, c: float) -> None:
    rho1, rho2 = local_exponents(spec(kind="power_law", rho=rho, c=c), SIGMA, MU)
    np.testing.assert_allclose(rho1, rho, rtol=1e-12)
    np.testing.assert_allclose(rho2, rho, rtol=1e-8)


def test_a_mixture_has_the_exponent_of_the_paper() -> None:
    """rho2 = sum c_k rho_k^2 sigma^-rho_k / sum c_k rho_k sigma^-rho_k (review of the paper), rho1 one power less."""
    parts = {"calcium": 0.7, "actin": 0.02, "trafficking": 0.003}
    costs = [{"kind": kind, "c": c} for kind, c in parts.items()]
    rho, c = (np.array([values[kind] for kind in parts])[:, None] for values in (MECHANISMS, parts))
    terms = [(c * rho**k * SIGMA**-rho).sum(0) for k in range(3)]
    rho1, rho2 = local_exponents(spec(kind="mixture", costs=costs), SIGMA, MU)
    np.testing.assert_allclose(rho1, terms[1] / terms[0], rtol=1e-12)
    np.testing.assert_allclose(rho2, terms[2] / terms[1], rtol=1e-8)


def test_an_energy_of_no_sign_has_no_rho1_but_its_slope_is_known() -> None:
    """-log sigma: above sigma = 1 it is negative, and its derivative on log sigma is constant."""
    rho1, rho2 = local_exponents(spec(kind="entropic"), SIGMA, MU)
    np.testing.assert_allclose(rho1[SIGMA < 1], -1 / np.log(SIGMA[SIGMA < 1]))
    assert np.isnan(rho1[SIGMA > 1]).all()
    np.testing.assert_allclose(rho2, 0, atol=1e-8)


def test_means_that_go_with_curvature_move_the_slope_of_the_optimum_and_not_the_implied_one() -> None:
    """(sigma / |mu|)^-rho with mu^2 = H^-a: the optimum has the slope -(2 + a rho) / (2 + rho)."""
    rho, a, h = 1.5, 0.6, np.geomspace(1e-2, 1e4, 41)
    mu, cost = h ** (-a / 2), spec(kind="cv", rho=rho, c=0.3, delta=1e-6)
    assert solved_slope(cost, mu, h, 1.0) == pytest.approx(-(2 + a * rho) / (2 + rho), abs=1e-6)
    _, rho2 = local_exponents(cost, np.full_like(mu, 0.1), mu)
    assert implied_slope(np.log(h), rho2) == pytest.approx(-2 / (2 + rho), abs=1e-8)


def test_the_implied_slope_is_that_of_the_integrated_curve() -> None:
    """For exponents that change over log H, against numpy's fit to the curve in closed form; gaps are left out."""
    x = np.random.default_rng(3).normal(0, 2, 4001)
    slope = -0.6 - 0.05 * x  # the curve is -0.6 x - 0.025 x^2
    rho = -2 / slope - 2
    known = np.polyfit(x, -0.6 * x - 0.025 * x**2, 1)[0]
    assert implied_slope(x, rho) == pytest.approx(known, rel=1e-12)
    with_gaps = np.where(np.arange(len(x)) % 7 == 0, np.nan, rho)
    assert implied_slope(x, with_gaps) == pytest.approx(known, rel=0.02)
    assert np.isnan(implied_slope(x, np.full_like(x, np.nan)))


@pytest.mark.parametrize("kind", MECHANISMS)
def test_at_a_planted_optimum_all_slopes_agree(kind: str) -> None:
    rho = MECHANISMS[kind]
    arrays = Exponent().measure(FakeRun([{"cost": {"kind": kind, "c": 0.1}}], {}, power(rho, 0.1)))
    for name in ("found", "implied", "solved"):
        np.testing.assert_allclose(arrays[name], -2 / (rho + 2), rtol=1e-6, err_msg=name)
    for name in ("rho1", "rho2"):
        for at in ("low", "median", "high"):
            np.testing.assert_allclose(arrays[f"{name}_{at}"], rho, rtol=1e-7)
    assert arrays["n"].tolist() == [509, 510], "flat synapses are left out"
    text = Exponent().headline(arrays)
    assert text.count(f"{-2 / (rho + 2):.3g}") >= 3


def test_the_intervals_over_seeds_are_those_of_the_seeds_slopes() -> None:
    run = FakeRun(*sweep(seeds=4), lambda i, h: h ** -(0.3 + 0.01 * (i % 4)))
    arrays = Exponent().measure(run)
    slopes = -2 * (0.3 + 0.01 * np.arange(4))
    np.testing.assert_allclose(arrays["found_mean"], slopes.mean(), rtol=1e-6)
    np.testing.assert_allclose(arrays["found_over_seeds"], 3.182446 * slopes.std(ddof=1) / 2, rtol=1e-5)
    np.testing.assert_allclose(arrays["solved_over_seeds"], 0, atol=0.05)  # the curvatures of seeds differ, not rho
    assert (arrays["seeds"] == 4).all()


def test_the_figure_is_legible_and_shows_what_was_measured(tmp_path: Any) -> None:
    run = FakeRun(*sweep(seeds=2), power(2 / 3, 0.1))
    arrays = Exponent().measure(run)
    figure = figure_of(Exponent(), arrays, tmp_path)
    legible(figure)
    above = figure.axes[0]
    np.testing.assert_allclose(above.lines[0].get_ydata(), arrays["rho2"][0][: len(above.lines[0].get_ydata())])
    assert [t for ax in figure.axes[:3] for t in [ax.get_title().split("\n")[0]]] == ["c = 0.01", "c = 0.1", "c = 1"]
    many = figure_of(Exponent(columns=2), arrays, tmp_path)
    assert "2 of 3 sweep points" in words(many)


def test_networks_of_one_sigma_are_refused() -> None:
    with pytest.raises(UserError, match="heterogeneous"):
        Exponent().measure(FakeRun(*sweep(noise="homogeneous"), power(1, 1)))


def quantal(**prices: float) -> dict[str, Any]:
    return spec(kind="quantal", **{"turnover": 0.0, "mu_floor": 0.0} | prices)


def test_calcium_and_turnover_have_two_fifths_and_a_slope_of_minus_five_sixths() -> None:
    """Precision as the fifth power of the energy; mean and curvature independent of each other."""
    rho1, rho2 = local_exponents(quantal(turnover=0.05), SIGMA, MU + 0.01)
    np.testing.assert_allclose(rho1, 2 / 5, rtol=1e-10)
    np.testing.assert_allclose(rho2, 2 / 5, rtol=1e-7)
    h = np.geomspace(1e-2, 1e5, 41)
    assert solved_slope(quantal(turnover=0.05), np.full_like(h, 0.3), h, 1.0) == pytest.approx(-5 / 6, abs=1e-9)


@pytest.mark.parametrize(
    ("prices", "unreliable", "reliable"),
    [({"membrane": 1.0}, 2 / 15, 2 / 7), ({"actin": 1.0}, 4 / 15, 4 / 11), ({"turnover": 1.0}, 2 / 5, 2 / 5)],
)
def test_the_limits_of_one_price_beside_calcium(prices: dict[str, float], unreliable: float, reliable: float) -> None:
    for at, known in ((1e9, unreliable), (1e-9, reliable)):
        found = local_exponents(quantal(**prices), np.array([at]), np.array([1.0]))
        np.testing.assert_allclose(found, known, rtol=1e-3)


def test_all_four_prices_have_the_exponents_of_40_digits() -> None:
    """mu = 0.03, prices 1, 0.05, 1, 0.3; mpmath: bisection for the odds, then differences of the energy in ln S.

    rho1 stays below 2/5; rho2 does not, between precisions at which membrane and at which turnover is dear.
    """
    sigma = 0.03 / np.sqrt([0.25, 1.0, 9.0, 400.0])
    found = local_exponents(quantal(turnover=0.05, membrane=1.0, actin=0.3), sigma, np.full(4, 0.03))
    known = [
        (0.23177185113785628, 0.45963611957569933), (0.2716140640854295, 0.4939098345835036),
        (0.33173940610562924, 0.46140008402700144), (0.37088784481401676, 0.3903103686468912),
    ]  # fmt: skip
    np.testing.assert_allclose(found, np.transpose(known), rtol=1e-6)


def test_a_noise_of_quanta_has_the_exponent_of_what_it_leaves_free() -> None:
    """Two release sites of any p: calcium pays the fourth root of the odds mu^2/(2 sigma^2), turnover the same always.

    So rho2 is 1/2, and rho1 that times the share of calcium.
    """
    held = spec(kind="quantal", calcium=0.7, turnover=0.2) | {"noise": {"kind": "binomial", "n": 2}}
    sigma = np.abs(MU) * np.linspace(0.1, 3, 17)
    rho1, rho2 = local_exponents(held, sigma, MU)
    calcium = 0.7 * (MU**2 / (2 * sigma**2)) ** 0.25
    np.testing.assert_allclose(rho1, calcium / (calcium + 2 * 0.2) / 2, rtol=1e-6)
    np.testing.assert_allclose(rho2, 1 / 2, rtol=1e-6)


def test_energies_with_one_n_or_one_p_are_those_of_a_search_by_hand() -> None:
    """a (S/n)^(1/4) + f n with one n; a o^(1/4) + f S / o with one o: alike synapses lose nothing."""
    mu, sigma = np.array([0.3, -1.2, 0.04, 2.0, 0.7]), np.array([0.1, 0.5, 0.1, 0.2, 0.33])
    spec = {
        "cost": {"kind": "quantal", "calcium": 1.0, "turnover": 0.05, "mu_floor": 0.0},
        "noise": {"kind": "heterogeneous"},
    }
    s, grid = mu**2 / sigma**2, np.geomspace(1e-3, 1e4, 200_001)[:, None]
    free = 1.6493848884661 * 0.05**0.2 * (s**0.2).sum()
    one_n = min(((s / grid) ** 0.25 + 0.05 * grid).sum(1)) / free
    one_p = min((grid**0.25 + 0.05 * s / grid).sum(1)) / free
    np.testing.assert_allclose(held(spec, mu, sigma), (one_n, one_p), rtol=1e-6)
    assert 1 < one_n < one_p
    whole = {**spec, "cost": {**spec["cost"], "kind": "quantal", "n_min": 1}}
    by_n, by_p = held(whole, mu, sigma)
    assert by_n >= 1 and np.isnan(by_p)  # fewer than one vesicle are not to be had
    np.testing.assert_allclose(held(spec, np.full(7, 0.3), np.full(7, 0.1)), (1, 1), rtol=1e-6)
    assert np.isnan(held(spec | {"cost": {"kind": "calcium"}}, mu, sigma)).all()
