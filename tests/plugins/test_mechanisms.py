"""The costs of Appendix 1 from n, p and q: exponents, the constant mean, and the prefactors derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from ebayes_plugins.analyses.mechanisms import FREE, Mechanisms
from tests.drawn import examples

N, P = st.floats(1, 1e3), st.floats(0.02, 0.98)


@given(n=N, p=P, mean=st.floats(0.01, 100))
@examples(30)
def test_the_exponents_are_the_papers(n: float, p: float, mean: float) -> None:
    arrays = Mechanisms(n=n, p=p, mean=mean).measure(None)
    np.testing.assert_allclose(arrays["exponent"][:4], [-1 / 2, -2 / 3, -4 / 3, -2], rtol=1e-9)
    assert (arrays["half_width"][:4] < 1e-6).all()


@given(n=N, p=P, mean=st.floats(0.01, 100))
@examples(30)
def test_the_mean_is_kept_and_sigma_is_the_binomials(n: float, p: float, mean: float) -> None:
    a = Mechanisms(n=n, p=p, mean=mean).measure(None)
    np.testing.assert_allclose(a["n"] * a["p"] * a["q"], mean)
    np.testing.assert_allclose(a["sigma"], mean * np.sqrt((1 - a["p"]) / (a["n"] * a["p"])))  # Eq. 10


def test_trafficking_by_p_is_a_power_law_only_at_small_p() -> None:
    """Eq. 18: the cost is (1 - p) / sigma^2 at constant mean."""
    a = Mechanisms(span=1e4).measure(None)
    cost, sigma, p = (a[name][4] for name in ("cost", "sigma", "p"))
    known = (1 - p) / sigma**2
    np.testing.assert_allclose(cost, known / known.min())
    local = np.diff(np.log(cost)) / np.diff(np.log(sigma))
    assert local[0] == pytest.approx(-2, abs=0.05) and local[-1] > -0.1


@given(mean=st.floats(0.01, 100), calcium=st.floats(0.1, 10), turnover=st.floats(1e-3, 1))
@examples(30)
def test_with_calcium_and_turnover_nothing_held_the_exponent_is_two_fifths(
    mean: float, calcium: float, turnover: float
) -> None:
    """n = S^(1/5) (a/4f)^(4/5): n has a fifth of the precision, the odds of p four fifths."""
    a = Mechanisms(mean=mean, calcium=calcium, turnover=turnover).measure(None)
    precision = (mean / a["sigma"][5]) ** 2
    assert a["name"][5] == FREE and a["rho"][5] == 2 / 5
    assert a["exponent"][5] == pytest.approx(-2 / 5, rel=1e-8)
    assert a["share_n"][5] == pytest.approx(1 / 5, rel=1e-8)
    np.testing.assert_allclose(a["n"][5], precision ** (1 / 5) * (calcium / (4 * turnover)) ** (4 / 5), rtol=1e-9)
    np.testing.assert_allclose(a["p"][5] / (1 - a["p"][5]), precision / a["n"][5], rtol=1e-9)


def test_the_least_energy_of_all_four_prices_is_that_of_scipy() -> None:
    """By minimising the energy of n, p and q over p at each mean and sigma; the cost is that relative to its least."""
    analysis = Mechanisms(mean=0.7, n=3.0, span=50.0, calcium=0.9, turnover=0.03, membrane=0.2, actin=0.4)
    a = analysis.measure(None)

    def energy(logit: float, precision: float) -> float:
        odds = np.exp(logit)
        n, q = precision / odds, 0.7 * (1 + odds) / precision
        return 0.9 * odds**0.25 + n * (0.03 + 0.2 * q ** (2 / 3) + 0.4 * q ** (1 / 3))

    precision = (0.7 / a["sigma"][5]) ** 2
    best = [minimize_scalar(energy, bounds=(-20, 20), args=(s,), method="bounded", options={"xatol": 1e-10})
            for s in precision]  # fmt: skip
    least = np.array([b.fun for b in best])
    np.testing.assert_allclose(a["cost"][5], least / least.min(), rtol=1e-9)
    np.testing.assert_allclose(a["p"][5], 1 / (1 + np.exp([-b.x for b in best])), rtol=1e-5)
    assert np.isnan(a["rho"][5]) and -2 / 5 < a["exponent"][5] < -2 / 15


def test_calcium_needs_a_second_price() -> None:
    with pytest.raises(ValueError, match="turnover, membrane and actin"):
        Mechanisms(turnover=0)
