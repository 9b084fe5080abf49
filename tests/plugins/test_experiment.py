"""The measured synapses, the published numbers, and the regression against scipy and algebra."""

from __future__ import annotations

from pathlib import Path

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
from tests.drawn import examples, words
from tests.plugins.test_analyses import FakeRun, figure_of, legible, power, sweep


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
    assert found[13, "Schug et al.'s r = -0.4416 is reproduced"] == ["by construction"]
    assert found[13, "busy synapses vary less"] == ["held"] * 4
    plasticity = found[13, "reliable synapses change less"]
    assert len(plasticity) == 8 and plasticity.count("held") == 2  # release probability, raw and log, alone


class Positive(FakeRun):
    """Log-normal weights whose sigma is the input."""

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        return super().layer(i, layer, "input_abs" if name == "sigma" else name)


def test_where_signs_are_fixed_nothing_is_cut_near_zero(tmp_path: Path) -> None:
    """Log-normal weights: one row for each choice of axes with and without |mu|, of all synapses."""
    arrays = Experiment().measure(Positive(*sweep(noise="log_normal"), power(1.0, 0.1)))
    sources = set(arrays["source"][arrays["member"] >= 0])
    assert sources == {f"c = {c}: all synapses" for c in ("0.01", "0.1", "1")}
    cut = Experiment().measure(FakeRun(*sweep(), power(1.0, 0.1)))
    assert (cut["member"] >= 0).sum() == 2 * (arrays["member"] >= 0).sum()
    figure = figure_of(Experiment(), arrays, tmp_path)
    assert "all synapses" in words(figure) and "near zero" not in words(figure)


def tilted(i: int, h: np.ndarray) -> np.ndarray:
    """sigma^2 in proportion to h^-(0.5 + 0.1 seed): three seeds of each cost."""
    return h ** (-0.25 - 0.05 * (i % 3))


def test_cortex_and_networks_share_axes_in_units_of_their_medians(tmp_path: Path) -> None:
    analysis = Experiment(together=True, points=77)
    arrays = analysis.measure(FakeRun(*sweep(seeds=3), tilted))
    slope, slopes = np.array([0.5, 0.6, 0.7]), {}
    # mu is 1, and h the learning rate and the input: sigma^2/|mu| on h, and h on sigma^2/|mu|
    for panel, values in (("a", -1 / slope), ("b", -slope)):
        here = (arrays["together_panel"] == panel) & (arrays["together_name"] != "cortex")
        half = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(arrays["together_slope"][here], values.mean(), rtol=1e-6)
        np.testing.assert_allclose(arrays["together_high"][here], values.mean() + half, rtol=1e-6)
        assert here.sum() == 3 and set(arrays["together_over"][here]) == {"seeds"}
        slopes[panel] = values.mean()
    cortex = arrays["together_name"] == "cortex"
    known = [row(plasticity()[1], "log"), row(rates()[0], "log")]
    np.testing.assert_allclose(arrays["together_slope"][cortex], [k["slope"] for k in known])
    np.testing.assert_allclose(arrays["together_low"][cortex], [k["low"] for k in known])
    assert np.median(arrays["together_a_cortex_x"]) == np.median(arrays["together_a_cortex_y"]) == 1
    assert len(arrays["together_b_network_y"]) == 77
    figure = figure_of(analysis, arrays, tmp_path)
    legible(figure)
    labels = [text.get_text() for ax in figure.axes for text in ax.get_legend().get_texts()]
    assert labels[4].startswith("cortex: -0.71 [") and labels[5].startswith(f"c = 0.01: {slopes['b']:.2f} [")
    lines = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    for line, planted in zip(lines, [known[1]["slope"], *[slopes["b"]] * 3], strict=True):
        assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx(planted)
    columns = analysis.statistics(arrays)
    assert len({len(v) for v in columns.values()}) == 1 and "cortex, interval over synapses" in columns["source"]
    assert f"{slopes['b']:.3g} in networks" in analysis.headline(arrays) and Experiment().headline(arrays).startswith(
        "In cortex, change falls"
    )
    assert len(Experiment().statistics(arrays)["source"]) == len(columns["source"]) - 8
