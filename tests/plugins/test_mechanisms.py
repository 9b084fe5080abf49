"""The costs of Appendix 1 from n, p and q: exponents, the constant mean, and the prefactors derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_plugins.analyses.mechanisms import Mechanisms
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
