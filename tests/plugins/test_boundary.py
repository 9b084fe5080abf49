"""Boundary: planted synapses of a known cost are recognised, exponents are the planted ones, bad tables are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import DataError, SpecError
from ebayes_core.spec import loads
from ebayes_plugins.analyses._boundary_fits import SHARED, bracket, changes_compared, compared
from ebayes_plugins.analyses._boundary_slopes import BESIDE, FORWARD, MOVES
from ebayes_plugins.analyses._clouds import clouds
from ebayes_plugins.analyses._families import ALL_FOUR, ANY, FAMILIES, curve_of
from ebayes_plugins.analyses._measured import PLASTICITY, RATES, Synapses, carried, own
from ebayes_plugins.analyses._precision import CALCIUM, EXPONENT, FITTED, FREE, LEAST, PATH, exponents
from ebayes_plugins.analyses.boundary import MOVED, Boundary
from ebayes_plugins.analyses.experiment import _rows, rates
from tests.drawn import words
from tests.plugins.test_analyses import FakeRun, figure_of, legible, power, sweep

NONE = np.zeros(0)
KNOWN = [family for family in FAMILIES if family.name != ANY]


def synapses(mean: Any, variance: Any, n: Any = NONE, p: Any = NONE) -> Synapses:
    return Synapses("planted", mean, variance, NONE, NONE, n, p)


def planted(family: Any, n: int, excess: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance: on the boundary, with a normal error of 0.25 and a half-normal excess on ln variance."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 1.2, n)
    theta = {ALL_FOUR: np.array([0.6, 0.3])}.get(family.name, np.zeros(0))
    y = curve_of(family, x - np.median(x), 0.5)[0](theta)[0] - 2.0
    y = y + 0.25 * random.normal(size=n) + stats.halfnorm.rvs(scale=excess, size=n, random_state=random)
    return np.exp(x), np.exp(y)


@pytest.mark.parametrize("family", KNOWN, ids=[family.name for family in KNOWN])
def test_the_family_that_was_planted_wins(family: Any) -> None:
    """By its likelihood with a penalty for parameters, and by predicting synapses that were left out."""
    rows = {row["family"]: row for row in compared(*planted(family, 137), "half_normal", 11, 0.5)}
    known = [row for name, row in rows.items() if name != ANY]
    assert min(known, key=lambda row: row["bic"])["family"] == family.name
    assert min(known, key=lambda row: row["behind"])["family"] == family.name
    mine = rows[family.name]
    assert mine["excess"] == pytest.approx(0.5, abs=0.2) and mine["error"] == pytest.approx(0.25, abs=0.1)
    assert mine["parameters"] == SHARED + family.shapes
    assert mine["aic"] == pytest.approx(2 * mine["parameters"] - 2 * mine["log_likelihood"])
    assert mine["bic"] - mine["aic"] == pytest.approx(mine["parameters"] * (np.log(137) - 2))
    for name, row in rows.items():  # nested in all four costs or in any power law: never likelier than those
        wider = ALL_FOUR if name in ("μ²/σ²", "actin", "membrane", ALL_FOUR) else ANY
        assert row["log_likelihood"] <= rows[wider]["log_likelihood"] + 1e-3
        if name not in (family.name, ALL_FOUR, ANY):
            assert row["behind_low"] > 0, "the others predict worse, beyond the interval"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("excess", ["half_normal", "exponential"])
@pytest.mark.parametrize(("slope", "name"), [(0.0, "sigma alone"), (2.5, "actin")])
def test_synapses_exactly_on_a_boundary_are_of_its_family(slope: float, name: str, excess: Any) -> None:
    """As those of a network with one sigma for all."""
    mean = np.exp(np.random.default_rng(1).normal(size=31))
    rows = [row for row in compared(mean, 0.3 * mean**slope, excess, 4, 0.5) if row["family"] != ANY]
    assert max(rows, key=lambda row: row["log_likelihood"])["family"] == name
    assert min(rows, key=lambda row: row["behind"])["family"] == name


def test_unrelated_values_have_no_reversed_slope() -> None:
    x, y = np.tile([-1.0, -1.0, 1.0, 1.0], 5), np.tile([-1.0, 1.0], 10)
    forward, reverse = bracket(x, y)
    assert forward["slope"] == 0 and np.isnan([reverse[name] for name in ("slope", "low", "high")]).all()


def test_left_out_synapses_are_predicted_by_the_others() -> None:
    """Without excess and shape: normal densities at the mean and deviation of the rest, one left out at a time."""
    random = np.random.default_rng(4)
    x, y = random.normal(size=23), -stats.halfnorm.rvs(size=23, random_state=random)
    rows = compared(np.exp(x), np.exp(y), "half_normal", 100, 0.5)
    rest = [np.delete(y, i) for i in range(23)]
    known = sum(stats.norm.logpdf(value, r.mean(), r.std()) for value, r in zip(y, rest, strict=True))
    assert rows[0]["family"] == "sigma alone" and rows[0]["predicted"] == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize("family", [f for f in FAMILIES if np.isfinite(f.slope)], ids=lambda f: f.name)
def test_changes_along_a_boundary_are_recognised(family: Any) -> None:
    random = np.random.default_rng(5)
    x = random.normal(0.2, 0.5, 41)
    y = family.slope / 2 * x + 0.1 * random.normal(size=41)
    rows = {row["family"]: row for row in changes_compared(x, y, 41)}
    assert ALL_FOUR not in rows and min(rows.values(), key=lambda row: row["bic"])["family"] == family.name
    spread = np.sqrt(np.mean((y - family.slope / 2 * x) ** 2))
    known = stats.norm.logpdf(y, family.slope / 2 * x, spread).sum()
    assert rows[family.name]["log_likelihood"] == pytest.approx(known)
    free = float(x @ y / (x @ x))
    known = stats.norm.logpdf(y, free * x, np.sqrt(np.mean((y - free * x) ** 2))).sum()
    assert rows[ANY]["log_likelihood"] == pytest.approx(known) and rows[ANY]["parameters"] == 2


def test_a_true_slope_lies_between_both_regressions() -> None:
    random = np.random.default_rng(6)
    truth = random.normal(size=300)
    x, y = truth + 0.5 * random.normal(size=300), 2 * truth + 0.8 * random.normal(size=300)
    forward, reverse = bracket(x, y)
    assert forward["slope"] == pytest.approx(stats.linregress(x, y).slope)
    assert reverse["slope"] == pytest.approx(1 / stats.linregress(y, x).slope)
    assert forward["high"] < 2 < reverse["low"] < reverse["slope"] < reverse["high"]


def exponent_rows(of: Synapses, turnover: float | None = None, sites: float = 5.0) -> dict[str, Any]:
    return {row["what"]: row for row in exponents(of, sites, turnover)}


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("turnover", [None, 1e-3, 0.3])
def test_with_n_held_the_exponent_is_4_or_more_whatever_the_synapses_are(spread: float, turnover: float | None) -> None:
    random = np.random.default_rng(7)
    of = synapses(np.exp(random.normal(size=57)), np.exp(spread * random.normal(size=57)))
    rows = exponent_rows(of, turnover)
    assert rows[EXPONENT]["slope"] > 4 and rows[EXPONENT]["note"] == LEAST and PATH not in rows
    if turnover is None:  # nor does it depend on n
        other = exponent_rows(of, turnover, sites=17.0)
        for name in (EXPONENT, CALCIUM):
            assert other[name]["slope"] == pytest.approx(rows[name]["slope"])
        if spread < 1:
            narrow = synapses(np.ones(57), np.exp(0.01 * random.normal(size=57)))
            assert exponent_rows(narrow)[EXPONENT]["slope"] == pytest.approx(5, abs=1e-3)


def optimal(s: np.ndarray, f: float, path: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """n and p at least energy at precision S, a = 1; or with n in proportion to S^path, through the same middle."""
    n = s**path * (1 / (4 * f)) ** 0.8
    odds = s / n
    return n, odds / (1 + odds)


def test_with_n_and_p_measured_the_optimum_has_exponent_5_and_path_one_fifth() -> None:
    random, f = np.random.default_rng(8), 0.03
    s = np.exp(random.normal(0, 1.5, 61))
    n, p = optimal(s, f)
    rows = exponent_rows(synapses(np.ones(61), 1 / s, n, p))
    assert rows[EXPONENT]["slope"] == pytest.approx(5, rel=1e-9) and rows[EXPONENT]["note"] == FITTED
    assert rows[PATH]["slope"] == pytest.approx(0.2, rel=1e-9) and rows[CALCIUM]["slope"] == pytest.approx(0.8)


@pytest.mark.parametrize("path", [0.0, 0.2, 0.5])
def test_the_fitted_price_makes_the_exponent_5_and_the_path_tells_the_truth(path: float) -> None:
    """To first order, by the envelope theorem; a price from elsewhere does not."""
    random, f = np.random.default_rng(9), 0.03
    s = np.exp(random.normal(0, 0.3, 61))
    s /= np.exp(np.log(s).mean())
    n, p = optimal(s, f, path)
    of = synapses(np.ones(61), 1 / s, n, p)
    rows = exponent_rows(of)
    assert rows[EXPONENT]["slope"] == pytest.approx(5, abs=0.25) and rows[PATH]["slope"] == pytest.approx(path)
    known = exponent_rows(of, 10 * f)  # far too dear: the energy is mostly that of n
    share = 0.25 * 4 / (0.25 * 4 + 10 * 0.25)
    local = share * (1 - path) / 4 + (1 - share) * path  # d ln E / d ln S
    assert known[EXPONENT]["note"] == FREE and known[EXPONENT]["slope"] == pytest.approx(1 / local, rel=0.15)


def written(folder: Path, text: str) -> Path:
    (folder / "mine.csv").write_text(text, encoding="utf-8")
    return folder / "mine.csv"


def lines(header: str, rows: int, row: str = "{0},{0}") -> str:
    return "\n".join([header, *(row.format(1 + i / 7) for i in range(rows)), ""])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines("mean,var", 12), "no column 'variance'.* did you mean 'var'"),
        (lines("mean,variance", 9), "it has 9 synapses; boundaries are fitted to 10 or more"),
        (
            lines("mean,variance", 11).replace("2.0,2.0", "2.0,-2.0"),
            "line 9, column 'variance': '-2.0' is not positive",
        ),
        (lines("mean,variance", 11, "1,{0}"), "all means are equal"),
        (lines("mean,variance,mean_after", 11, "{0},{0},{0}"), "mean_after and variance_after belong together"),
        (lines("mean,variance,p", 11, "{0},{0},{0}"), "line 2, column 'p': '1.0' is not between 0 and 1"),
        (lines("mean,variance", 11).replace("2.0,2.0", "2.0,two"), "line 9, column 'variance': 'two' is not a finite"),
    ],
)
def test_a_table_that_cannot_be_used_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=f"mine.csv: .*{said}"):
        own(written(tmp_path, text))


SPEC = """
name = "x"
dataset = {{ kind = "digits" }}
[[analysis]]
kind = "boundary"
measured = "{}"
"""


def test_a_table_is_found_beside_the_spec_and_known_by_its_content(registry: Registry, tmp_path: Path) -> None:
    written(tmp_path, lines("n,variance,mean", 13, "4,{0},-{0}"))
    (analysis,) = loads(SPEC.format("mine.csv"), registry, folder=tmp_path).analysis
    run = FakeRun(*sweep(noise="none"), power(1, 1))
    arrays = analysis.measure(run)
    assert set(arrays["fit_data"]) == {"mine.csv"} and arrays["point_mean"].min() > 0
    assert {PATH} < set(arrays["slope_what"]), "n was measured"
    revived = Boundary.model_validate_json(analysis.model_dump_json())
    assert revived == analysis and len(analysis.digest) == 64
    written(tmp_path, lines("variance,mean", 14))
    (changed,) = loads(SPEC.format("mine.csv"), registry, folder=tmp_path).analysis
    assert changed.digest != analysis.digest
    with pytest.raises(DataError, match=r"mine\.csv: its content has changed since the spec was read"):
        analysis.measure(run)
    (tmp_path / "mine.npz").touch()
    wrong = {"min.csv": r"there is no file .*min\.csv; did you mean 'mine.csv'", "mine.npz": "must be a file ending in"}
    for name, said in wrong.items():
        with pytest.raises(SpecError, match=said):
            loads(SPEC.format(name), registry, folder=tmp_path)


@pytest.mark.parametrize("field", [{"folder": "here"}, {"digest": "0" * 64}, {"unit": "pA"}])
def test_what_describes_a_file_needs_one(field: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="belong to the file `measured`"):
        Boundary(**field)
    assert Boundary(measured="mine.csv", **field)


def test_the_tables_of_the_project_do_not_depend_on_n() -> None:
    """n shifts ln mean and ln variance alike: slopes and comparisons are the same for any."""
    one, other = ([compared(t.mean, t.variance, "half_normal", 5, 0.5) for t in carried(n)] for n in (1.0, 7.0))
    for a, b in zip(one, other, strict=True):
        assert [row["family"] for row in a] == [row["family"] for row in b]
        np.testing.assert_allclose([r["behind"] for r in a], [r["behind"] for r in b], rtol=1e-4, atol=1e-4)
    plastic, rate = carried(3.0)
    np.testing.assert_allclose(plastic.precision, 3 * plastic.p / (1 - plastic.p))
    known = next(r for r in _rows(rates()[0]) if r["scale"] == "log")["n"]
    assert (plastic.source, rate.source, len(plastic.mean), len(rate.mean)) == (PLASTICITY, RATES, 44, known)


class Spread(FakeRun):
    """Networks whose sigma goes as |mu|^slope; some means are almost zero."""

    slope = 0.25

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        size = np.exp(np.random.default_rng([i, layer]).normal(0, 1, (20, 30)))
        size[0, :5] = 1e-9
        if name == "mu":
            return np.where(np.arange(30) % 2, size, -size)
        return size ** (self.slope + 0.01 * self.seeds[i]) if name == "sigma" else super().layer(i, layer, name)


def test_networks_lie_where_they_were_planted_with_an_interval_over_seeds(tmp_path: Path) -> None:
    run = Spread(*sweep(seeds=3), power(1, 1))
    arrays = Boundary(networks=2, points=60).measure(run)
    mine = ~np.isin(arrays["slope_data"], (PLASTICITY, RATES)) & (arrays["slope_what"] == FORWARD)
    assert arrays["slope_data"][mine].tolist() == [f"c = {c:.3g}: layer {i}" for c in (0.01, 0.1, 1) for i in (1, 2)]
    np.testing.assert_allclose(arrays["slope_slope"][mine], 2 * 0.26)
    half = stats.t.ppf(0.975, 2) * 0.02 / np.sqrt(3)
    np.testing.assert_allclose(arrays["slope_high"][mine] - arrays["slope_slope"][mine], half, rtol=1e-6)
    assert set(arrays["slope_over"][mine]) == {"seeds"} and arrays["slope_n"][mine].max() <= 595
    drawn = arrays["set_set"][arrays["set_layer"] > 0]
    assert drawn.tolist() == [f"c = {c}: layer {i}" for c in ("0.01", "1") for i in (1, 2)]
    notes = arrays["slope_note"][mine]
    assert [note.startswith("of least AIC: ") for note in notes] == [True, True, False, False, True, True]
    figure = figure_of(Boundary(), arrays, tmp_path)
    legible(figure)
    assert "2 of 3 networks" in words(figure)


def test_at_equal_curvature_the_slope_is_that_of_the_optimum() -> None:
    """sigma^2 ~ |mu|^(1/3) H^(-5/6) (calcium + turnover), and curvature that rises with the mean."""

    class Optimal(FakeRun):
        def layer(self, i: int, layer: int, name: str) -> np.ndarray:
            random = np.random.default_rng([i, layer])
            size, other = np.exp(random.normal(0, 1, (20, 30))), random.normal(0, 0.5, (20, 30))
            h = size**1.2 * np.exp(other)
            flat = np.where(np.arange(30) < 2, 0.0, h)
            return {"mu": size, "sigma": size ** (1 / 6) * h ** (-5 / 12)}.get(name, flat)

    arrays = Boundary(near_zero=0).measure(Optimal(*sweep(), power(1, 1)))
    found = {what: arrays["slope_slope"][arrays["slope_what"] == what][-6:] for what in (FORWARD, BESIDE)}
    np.testing.assert_allclose(found[BESIDE], 1 / 3, rtol=1e-9)
    np.testing.assert_allclose(found[FORWARD], 1 / 3 - 1.2 * 5 / 6, atol=0.1)
    assert set(arrays["slope_n"][arrays["slope_what"] == BESIDE]) == {560}


def test_where_signs_are_fixed_small_means_are_kept() -> None:
    sizes = [
        {
            len(cloud.mean)
            for group in clouds(Spread(*sweep(noise=noise), power(1, 1)), 0.1)
            for n in group
            for cloud in n
        }
        for noise in ("log_normal", "heterogeneous")
    ]
    assert sizes[0] == {600} and max(sizes[1]) <= 595


def test_without_noise_the_measured_synapses_are_there_alone(tmp_path: Path) -> None:
    arrays = Boundary().measure(FakeRun(*sweep(noise="none"), power(1, 1)))
    assert set(arrays["set_set"]) == {PLASTICITY, RATES} and arrays["networks"].tolist() == [0, 0]
    assert set(arrays["fit_data"]) == {PLASTICITY, RATES, MOVED + PLASTICITY}
    figure = figure_of(Boundary(), arrays, tmp_path)
    legible(figure)
    assert len(figure.axes) == 4
    found = dict(zip(zip(arrays["slope_data"], arrays["slope_what"], strict=True), arrays["slope_slope"], strict=True))
    plastic, rate = carried(5.0)
    for t in (plastic, rate):
        known = stats.linregress(np.log(t.mean), np.log(t.variance)).slope
        assert found[t.source, FORWARD] == pytest.approx(known)
        assert f"{t.source}: variance goes as the mean to the {known:.3g} [" in Boundary().headline(arrays)
    before, after = plastic.variance**0.5 / plastic.mean, plastic.variance_after**0.5 / plastic.mean_after
    known = 1 + stats.linregress(np.log(plastic.mean_after / plastic.mean), np.log(after / before)).slope
    assert found[PLASTICITY, MOVES] == pytest.approx(known)
