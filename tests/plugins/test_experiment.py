"""The measured synapses, the published numbers, and the regression against scipy and algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ebayes_core.errors import UserError
from ebayes_plugins.analyses._regression import regress
from ebayes_plugins.analyses.experiment import (
    CHANGE,
    INPUT,
    RATE,
    RELEASE,
    VARIABILITY,
    Experiment,
    _rows,
    plasticity,
    rates,
)
from tests.drawn import examples
from tests.plugins.test_analyses import FakeRun, power, sweep


@given(seed=st.integers(0, 10_000), slope=st.floats(-3, 3), n=st.integers(10, 60))
@examples(20)
def test_one_regressor_is_scipys_linregress(seed: int, slope: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = slope * x + rng.normal(size=n)
    ours, known = regress(x, y), stats.linregress(x, y)
    for name, value in (("slope", known.slope), ("stderr", known.stderr), ("p", known.pvalue), ("r", known.rvalue)):
        assert ours[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert ours["low"] < ours["high"]


@given(seed=st.integers(0, 10_000))
@examples(20)
def test_two_regressors_are_the_normal_equations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    second = rng.normal(size=40)
    x = second + rng.normal(size=40)
    y = -0.7 * x + 2 * second + rng.normal(size=40)
    design = np.stack([x, second, np.ones(40)], 1)
    coefficients, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    covariance = residual[0] / 37 * np.linalg.inv(design.T @ design)
    ours = regress(x, y, second)
    assert ours["slope"] == pytest.approx(coefficients[0])
    assert ours["stderr"] == pytest.approx(covariance[0, 0] ** 0.5)


def test_the_bootstrap_covers_a_planted_slope_as_often_as_it_says() -> None:
    """95% intervals of 60 points: in 200 trials about 190 cover the slope, within three standard errors of 3 and a
    small bias.
    """
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        x = rng.normal(size=60)
        found = regress(x, 0.5 * x + rng.normal(size=60))
        hits += found["low"] <= 0.5 <= found["high"]
    assert 178 <= hits <= 199


def test_what_cannot_be_fitted_is_nan() -> None:
    for x in (np.zeros(0), np.ones(2), np.ones(10)):
        found = regress(x, np.arange(len(x), dtype=float))
        assert found["n"] == len(x) and np.isnan(found["slope"])


def row(choice: object, scale: str, beside: str = "") -> dict:
    (found,) = (r for r in _rows(choice) if r["scale"] == scale and r["beside"] == beside)
    return found


def test_schugs_correlation() -> None:
    """Published: Pearson r = -0.4416, p < 0.01, 44 pairs; the deposited values give -0.4418."""
    found = row(plasticity()[0], "raw")
    assert (found["x"], found["y"], found["n"]) == (RELEASE, CHANGE, 44)
    assert found["r"] == pytest.approx(-0.4416, abs=5e-4) and found["p"] < 0.01


def test_kos_slopes() -> None:
    """Published, without the processing: -0.62 (eLife), -0.71 (first preprint). Both are reproduced with logarithmic
    axes.
    """
    alone, beside = row(rates()[0], "log"), row(rates()[0], "log", "mean PSP")
    assert (alone["x"], alone["y"], alone["n"]) == (RATE, VARIABILITY, 136)
    assert alone["slope"] == pytest.approx(-0.71, abs=0.005)
    assert beside["slope"] == pytest.approx(-0.62, abs=0.005)
    assert max(alone["high"], beside["high"]) < 0


def test_simulated_synapses_follow_what_was_planted() -> None:
    """mu is 1 and sigma**2 a power of h, which also serves as input and learning rate: the slopes are known."""
    arrays = Experiment(layer=2).measure(FakeRun(*sweep(), power(1.0, 0.1)))
    network = (arrays["member"] >= 0) & (arrays["beside"] == "")
    exponent = -2 / 3  # sigma**2 against h at rho = 1
    for x, slope in ((VARIABILITY, 1 / exponent), (INPUT, exponent)):
        found = arrays["slope"][network & (arrays["x"] == x)]
        assert len(found) == 2 * 3
        np.testing.assert_allclose(found, slope, rtol=1e-6)


def test_it_says_what_the_spec_lacks() -> None:
    with pytest.raises(UserError, match="at most 2 layers"):
        Experiment(layer=3).measure(FakeRun(*sweep(), power(1.0, 0.1)))
    with pytest.raises(UserError, match="no network has noise"):
        Experiment().measure(FakeRun(*sweep(noise="none"), power(1.0, 0.1)))


def test_the_claims_about_cortex_need_no_network() -> None:
    run = FakeRun(*sweep(), power(2 / 3, 0.1))
    analysis = Experiment()
    arrays = analysis.measure(run)
    found = {
        (c.number, c.statement): [c.verdict(part) for part in c.measure(analysis, arrays)] for c in analysis.claims
    }
    assert found[13, "Schug et al.'s r = -0.4416 is reproduced"] == ["held"]
    assert found[13, "busy synapses vary less"] == ["held"] * 4
    plasticity = found[13, "reliable synapses change less"]
    assert len(plasticity) == 8 and plasticity.count("held") == 2  # release probability, raw and log, alone
