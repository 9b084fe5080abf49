"""The published curves: the packaged table, planted differences from it, and figures and tables that show them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebayes_core.errors import UserError
from ebayes_plugins.analyses import _published
from ebayes_plugins.analyses._curve_sentences import gained, gains, trends
from ebayes_plugins.analyses._measured import deposited
from ebayes_plugins.analyses.advantage import Advantage
from ebayes_plugins.analyses.tradeoff import Tradeoff
from tests.plugins.test_analyses import FakeRun, figure_of, legible, power, sweep
from tests.plugins.test_curves import planted

Arrays = dict[str, np.ndarray]
DEPOSITED = Path(__file__).parents[3] / "shared" / "data" / "authors" / "fig2and3.csv"
POINTS = 10.0 ** np.array([-1.5, -0.97, -0.25, 0.0, 1.004, 3.6])  #: two of them are not among the published c


def network(line: str, c: float, seed: int, points: float, percent: float, rho: float = 4 / 3) -> dict[str, Any]:
    """A network that differs by this much from the published one of the nearest c."""
    t = _published.table()
    mine = np.flatnonzero(np.isclose(t["rho"], rho) & (t["line"] == line))
    at = mine[np.abs(np.log10(t["c"][mine] / c)).argmin()]
    sigma = t["sigma_rms_weights"][at] * (1 + percent / 100)
    score = t["score_sample"][at] + points / 100
    return {"c": c, "line": line, "seed": seed, "rho": rho, "sigma_rms_weights": sigma, "score_sample": score}


def run(rows: list[dict[str, Any]]) -> Arrays:
    """The arrays of such networks, with the published rows beside them."""
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    sigma, n = arrays["sigma_rms_weights"], len(rows)
    arrays |= {f"{name}_{size}": sigma for name in ("sigma", "relative") for size in ("rms", "median", "rms_curved")}
    arrays |= {name: sigma ** -arrays["rho"] / arrays["rho"] for name in ("price", "price_at_rms")}
    arrays |= {f"score_{way}": arrays["score_sample"] for way in ("ensemble", "mean")}
    arrays |= {"column": np.full(n, "actin"), "balance": np.ones(n), "left_out": np.array([0])}
    arrays["score"] = np.array(["accuracy"])
    return arrays | _published.beside(arrays)


def rows_of(seeds: int = 1, spread: float = 0.0) -> list[dict[str, Any]]:
    """Heterogeneous networks 0.7 points and 3% above the published ones, homogeneous ones 1.3 and 5% below."""
    shifts = {"heterogeneous": (0.7, 3.0), "homogeneous": (-1.3, -5.0)}
    offsets = spread * (np.arange(seeds) - (seeds - 1) / 2)
    return [
        network(line, c, seed, points + offset, percent + offset)
        for line, (points, percent) in shifts.items() for c in POINTS for seed, offset in enumerate(offsets)
    ]  # fmt: skip


def test_the_table_is_that_of_the_authors() -> None:
    if not DEPOSITED.exists():
        pytest.skip("the deposited values are not here (../shared/data/authors)")
    with DEPOSITED.open(encoding="utf-8") as file:
        theirs = list(csv.reader(file))
    ours = deposited("published.csv")
    assert len(ours) == len(theirs) - 1 == 240
    for row, expected in zip(ours, theirs[1:], strict=True):
        assert list(row)[:3] == expected[:3]
        assert [float(value) for value in list(row)[3:]] == [float(text) for text in expected[3:]]


def test_the_table_in_the_units_of_a_run() -> None:
    t = _published.table()
    assert set(t["line"]) == {"heterogeneous", "homogeneous"} and len(set(t["rho"])) == 4
    assert 0.09 < t["score_sample"].min() < t["score_sample"].max() < 1
    same = t["line"] == "homogeneous"  # one sigma for all: the cost per synapse is that at the RMS sigma
    np.testing.assert_allclose(t["price"][same], t["price_at_rms"][same], rtol=1e-3)
    assert (t["price"][~same] > 1.02 * t["price_at_rms"][~same]).all()  # convex


def test_planted_differences_are_found_where_both_have_the_c() -> None:
    found = _published.differences(run(rows_of()))
    matched = [0.0316, 0.562, 1.0, 10.1]
    assert [d.part for d in found] == [
        f"actin, {line}, c = {c}" for line in ("heterogeneous", "homogeneous") for c in ("0.0316", "0.562", "1", "10.1")
    ]
    assert len(found) == 2 * len(matched)
    for d in found:
        points, percent = (0.7, 3.0) if d.line == "heterogeneous" else (-1.3, -5.0)
        assert d.seeds == 1 and d.points[0] == pytest.approx(points) and d.percent[0] == pytest.approx(percent)
        assert np.isnan([*d.points[1:], *d.percent[1:]]).all()  # one seed tells nothing of the spread


def test_over_three_seeds_the_interval_is_that_of_student() -> None:
    half = 4.302652729911275 * 0.4 / np.sqrt(3)  # t of two degrees of freedom, s.d. 0.4
    found = _published.differences(run(rows_of(seeds=3, spread=0.4)))
    assert {d.seeds for d in found} == {3}
    for d in found:
        points, percent = (0.7, 3.0) if d.line == "heterogeneous" else (-1.3, -5.0)
        np.testing.assert_allclose(d.points, [points, points - half, points + half], rtol=1e-6)
        np.testing.assert_allclose(d.percent, [percent, percent - half, percent + half], rtol=1e-6)


def test_seeds_may_be_missing_and_so_may_their_numbers() -> None:
    rows = [network("homogeneous", 0.1, seed, points, 0.0) for seed, points in enumerate((1.0, 2.0, 6.0))]
    rows += [network("homogeneous", 1.0, 0, 1.0, 0.0), network("homogeneous", 10.0, 0, 1.0, 0.0)]
    rows[2]["sigma_rms_weights"] = rows[4]["sigma_rms_weights"] = np.nan
    found = _published.differences(run(rows))
    assert [(d.c, d.seeds, round(d.points[0], 6)) for d in found] == [(0.1, 2, 1.5), (1.0, 1, 1.0)]


def test_published_rows_are_those_in_the_range_of_the_run() -> None:
    arrays = run([network("heterogeneous", c, 0, 0, 0) for c in (0.0316, 0.1, 3.16)])
    theirs = _published.published(arrays)
    np.testing.assert_allclose(np.log10(theirs["c"]), np.arange(-1.5, 0.51, 0.25), atol=1e-9)
    assert set(theirs["line"]) == {"heterogeneous"} and set(theirs["column"]) == {"actin"}


@pytest.mark.parametrize("changed", [{"rho": 1.0}, {"line": "none"}, {"c": 1e5}, {"score": "rmse"}])
def test_what_was_not_published_is_said(changed: dict[str, Any]) -> None:
    arrays = run([network("heterogeneous", c, 0, 0, 0) for c in (0.1, 1.0)])
    arrays |= {name: np.full(len(arrays[name]), value) for name, value in changed.items()}
    with pytest.raises(UserError, match="published = true  needs accuracies"):
        _published.beside(arrays)


def test_the_option_adds_the_published_rows_to_a_run() -> None:
    run_ = FakeRun(*sweep(), power(1, 1))
    assert not _published.published(Tradeoff().measure(run_))
    for analysis in (Tradeoff(published=True), Advantage(published=True)):
        found = _published.published(analysis.measure(run_))
        np.testing.assert_allclose(np.log10(found["c"]), np.arange(-2, 0.01, 0.25), atol=1e-9)
        np.testing.assert_allclose(found["rho"], 2 / 3)


def test_statistics_and_headline_tell_the_differences() -> None:
    arrays = run(rows_of(seeds=3, spread=0.4))
    table = Tradeoff(published=True).statistics(arrays)
    texts = table["accuracy minus published (points)"].tolist()
    assert texts[:2] == ["+0.70 (-0.29 to +1.69)", ""] and texts[-1] == ""
    assert table["RMS sigma of weights minus published (%)"][6] == "-5.00 (-5.99 to -4.01)"
    assert "From 8 published points, accuracy differs by -1.3 to +0.7 percentage points and RMS sigma by -5.0 to " \
        "+3.0%." in Tradeoff().headline(arrays)  # fmt: skip
    plain = Tradeoff().statistics({k: v for k, v in arrays.items() if not k.startswith("published")})
    assert set(table) - set(plain) == {"accuracy minus published (points)", "RMS sigma of weights minus published (%)"}


def verdicts(analysis: Any, arrays: Arrays) -> list[list[str]]:
    claims = [claim for claim in Tradeoff.claims if claim.number == 24]
    return [[claim.verdict(part) for part in claim.measure(analysis, arrays)] for claim in claims]


def test_the_claim_holds_within_its_range_and_needs_seeds() -> None:
    arrays = run(rows_of(seeds=3, spread=0.2))
    assert verdicts(Tradeoff(published=True), arrays) == [["held"] * 8, ["held"] * 8]
    assert verdicts(Tradeoff(published=True), run(rows_of())) == [["open"] * 8, ["open"] * 8]
    assert verdicts(Tradeoff(), planted(3.0)) == verdicts(Tradeoff(details=True), arrays) == [[], []]
    rows = [network("homogeneous", c, s, 2.5 + s / 50, 8.0 + s / 50) for c in (0.1, 1.0) for s in range(3)]
    rows.append(network("homogeneous", 10.0, 0, 0.0, 0.0))  # a single seed has no verdict beside others with several
    assert verdicts(Tradeoff(published=True), run(rows)) == [["not held"] * 2, ["not held"] * 2]


def test_published_ratios_stand_beside_ours_at_the_same_accuracy() -> None:
    arrays = run([network(line, c, 0, 0, 0) for line in ("heterogeneous", "homogeneous")
                  for c in 10.0 ** np.arange(-2, 2.01, 0.5)])  # fmt: skip
    table = Advantage(published=True).statistics(arrays)
    assert len(table["c x"]) > 2
    assert table["c x"].tolist() == table["c x, published"].tolist()
    assert table["RMS sigma x"].tolist() == table["RMS sigma x, published"].tolist()
    assert not [head for head in Advantage().statistics(planted(3.0)) if "published" in head]


@pytest.mark.parametrize("analysis", [Tradeoff, Advantage])
@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_are_legible_with_and_without_published_values(
    analysis: Any, details: bool, seeds: int, tmp_path: Path
) -> None:
    arrays = run(rows_of(seeds, 0.4))
    for shown in (arrays, {k: v for k, v in arrays.items() if not k.startswith("published")}):
        legible(figure_of(analysis(details=details), shown, tmp_path))


def test_open_markers_are_the_published_values(tmp_path: Path) -> None:
    arrays = run(rows_of())
    figure = figure_of(Tradeoff(published=True), arrays, tmp_path)
    drawn = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    theirs = _published.published(arrays)
    assert len(drawn) == 2
    for line, name in zip(drawn, ("heterogeneous", "homogeneous"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), theirs["score_sample"][theirs["line"] == name])
    assert any("published" in text.get_text() for text in figure.legends[0].get_texts())


def test_titles_state_trend_and_gain() -> None:
    better, same = planted(3.0), planted(1.0)
    assert trends(better) == "With c, accuracy falls and sigma rises"
    text = gained(better, {"c": "c", "price": "cost"})
    assert text.startswith("heterogeneous noise gains ") and text.endswith(" points at equal cost")
    assert gains(same, {"c": "c"}) == "+0 points at equal c"
    assert gains({}, {"c": "c"}) == ""
    assert gained(same | {"score": np.array(["rmse"])}, {"c": "c"}) == ""
