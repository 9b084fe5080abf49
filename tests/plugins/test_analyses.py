"""The analyses recover what was planted in a run, and their figures are legible."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.storage import hdf5
from ebayes_plugins.analyses import ALL
from ebayes_plugins.analyses._common import analytic_slope, optimum, slope_of
from ebayes_plugins.analyses._curves import columns
from ebayes_plugins.analyses._importance_figure import _remark
from ebayes_plugins.analyses._regression import fit_halves, fit_line
from ebayes_plugins.analyses.change import Change
from ebayes_plugins.analyses.continual import Continual
from ebayes_plugins.analyses.estimators import Estimators
from ebayes_plugins.analyses.importance import ESTIMATORS, HALVES, Importance
from ebayes_plugins.analyses.posterior import Posterior
from ebayes_plugins.analyses.predictive import Predictive
from ebayes_plugins.analyses.recurrence import Recurrence
from ebayes_plugins.analyses.tradeoff import Tradeoff
from ebayes_plugins.analyses.training import TrainingCurves
from ebayes_plugins.analyses.two_synapses import TwoSynapses
from ebayes_plugins.analyses.uncertainty import Uncertainty
from ebayes_plugins.analyses.weight_sharing import WeightSharing
from tests.drawn import examples, words

N = 500
#: Analyses of whatever run; those that build its networks again, or need a posterior, have tests of their own.
OF_THEIR_OWN = (
    Change, Continual, Estimators, Posterior, Predictive, Recurrence, TwoSynapses, Uncertainty, WeightSharing,
)  # fmt: skip
ANY_RUN = [analysis for analysis in ALL if analysis not in OF_THEIR_OWN]
MECHANISMS = {"calcium": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}
ENERGY = {"kind": "energy_efficient"}


class FakeRun:
    """What analyses read from a results file, made of networks whose synapses have the sigma of `sigma_of`."""

    provenance: ClassVar[dict[str, Any]] = {}
    has_synapses = True

    def __init__(
        self, members: list[dict[str, Any]], swept: dict[str, list[Any]], sigma_of: Any, regression: bool = False
    ):
        self.members, self.swept, self.sigma_of = members, swept, sigma_of
        self.score = "rmse" if regression else "accuracy"
        self.n_members = len(members)
        self.seeds = np.array([m.get("seed", 0) for m in members])
        self.status = [m.get("status", "done") for m in members]
        self.metrics = [f"{self.score}_{way}" for way in ("mean", "sample", "ensemble")]
        self.curves = ["nll", "magnitude", "reliability", "accuracy_train", "accuracy_test"]
        self.curves += ["sigma_mean", "sigma_median", "sigma_rms"]

    def member_spec(self, i: int) -> dict[str, Any]:
        m = self.members[i]
        plugin = Registry.load().kinds("cost")[m["cost"]["kind"]]
        cost = m["cost"] if "costs" in m["cost"] else plugin.model_validate(m["cost"]).model_dump()
        return {
            "cost": cost,
            "noise": {"kind": m.get("noise", "heterogeneous")},
            "inference": m.get("inference", ENERGY),
            "training": {"sigma": "descent", **m.get("training", {})},
            "dataset": m.get("dataset", {"kind": "mnist5k"}),
            "network": m.get("network", {"kind": "mlp", "hidden": [100]}),
        }

    def metric(self, name: str) -> np.ndarray:
        if name == "n_examples":
            return np.full(self.n_members, float(N))
        if name.rpartition("_")[0] in ("accuracy", "rmse") and name not in self.metrics:
            raise KeyError(name)
        c = np.array([m["cost"].get("c", 1.0) for m in self.members])
        return 1 / (1 + c) + 0.01 * self.seeds + len(name) / 1e3

    def curve(self, name: str) -> np.ndarray:
        if name.startswith("accuracy") and self.score == "rmse":
            return np.full((self.n_members, 4), np.nan)
        return np.geomspace(1, 3, 4) * np.arange(1, self.n_members + 1)[:, None]

    def n_layers(self, i: int) -> int:
        return self.members[i].get("layers", 2)

    def layer_names(self, i: int) -> list[str]:
        return [*get_args(ESTIMATORS), *HALVES, "mu", "sigma"]

    def layer(self, i: int, layer: int, name: str) -> np.ndarray:
        h = np.exp(np.random.default_rng([i, layer]).normal(-3, 2, (20, 30)))
        h[:3] = 0.0 if layer < 2 or not self.members[i].get("dead") else h[:3]
        h[3, 0] = np.nan if layer == 1 else h[3, 0]
        if self.members[i].get("dead") and layer == 2:
            h[:] = 0.0
        if name == "mu":
            return np.ones_like(h)
        if name != "sigma":
            return h
        spread = self.members[i].get("noise", "heterogeneous") == "heterogeneous"
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(h > 0, self.sigma_of(i, h), 0.7) if spread else np.full_like(h, 0.3)

    layer_metrics = ("balance", "n_synapses")  #: as in a file of before networks had copies of synapses

    def layer_metric(self, name: str) -> np.ndarray:
        return np.ones((self.n_members, 3))


def power(rho: float, c: float) -> Any:
    return lambda i, h: (c * rho / (N * h)) ** (1 / (rho + 2))


def wobbling(sizes_of: Any) -> Any:
    """The same of each network but for a thousandth: seeds of one value have no spread, and no verdict."""
    return lambda i, *of: sizes_of(i, *of) * (1 + 1e-3 * np.random.default_rng(i).random(of[-1].shape))


def sweep(kind: str = "membrane", seeds: int = 1, **more: Any) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    members = [{"cost": {"kind": kind, "c": c}, "seed": s, **more} for c in (0.01, 0.1, 1.0) for s in range(seeds)]
    return members, {"cost.c": [m["cost"]["c"] for m in members]}


def figure_of(analysis: Any, arrays: dict[str, np.ndarray], tmp_path: Any) -> Any:
    """The figure of arrays that were written to and read from a file."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    hdf5.save(tmp_path / "a.h5", arrays)
    arrays, _ = hdf5.load(tmp_path / "a.h5")
    with matplotlib.style.context(str(files("ebayes_core.report") / "ebayes.mplstyle")):
        figure = Figure()
        FigureCanvasAgg(figure)
        analysis.draw(arrays, figure)
        figure.canvas.draw()
    return figure


def legible(figure: Any) -> None:
    """Every panel has finite content and limits, labels on the outer axes, and texts inside the figure."""
    renderer = figure.canvas.get_renderer()
    assert figure.axes
    for side, same in (("x", "x0"), ("y", "y0")):
        for ax in figure.axes:
            beside = [
                o for o in figure.axes if abs(getattr(o.get_position(), same) - getattr(ax.get_position(), same)) < 0.02
            ]
            assert any(getattr(o, f"get_{side}label")() for o in beside)
    for ax in figure.axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
        assert any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines) or ax.texts
    for item in [*figure.legends, *[ax.title for ax in figure.axes], *figure.texts]:
        box = item.get_window_extent(renderer)
        assert box.x0 >= -2 and box.x1 <= figure.bbox.x1 + 2, item


@given(st.sampled_from(sorted(MECHANISMS)), st.floats(1e-3, 1e3))
@examples(20)
def test_the_optimum_and_its_slope_are_those_of_the_paper(kind: str, c: float) -> None:
    rho, h = MECHANISMS[kind], np.geomspace(1e-8, 1e8, 9)
    slope = slope_of({"cost": {"kind": kind, "c": c}, "inference": ENERGY}, 0.3)
    np.testing.assert_allclose(optimum(slope, h), (c * rho / h) ** (1 / (rho + 2)), rtol=1e-9)
    assert analytic_slope(slope, 0.1) == pytest.approx(-2 / (rho + 2), abs=1e-6)


def test_entropies_have_slope_minus_one() -> None:
    entropic = slope_of({"cost": {"kind": "entropic", "c": 3.0}, "inference": ENERGY}, 0.3)
    assert analytic_slope(entropic, 0.2) == pytest.approx(-1, abs=1e-6)
    bayes = {"kind": "variational_bayes", "prior": "gaussian", "scale": 2.0}
    slope = slope_of({"cost": {"kind": "membrane"}, "inference": bayes}, 0.3)
    h = np.geomspace(1e-3, 1e3, 7)
    np.testing.assert_allclose(optimum(slope, h), (h + 1 / 4) ** -0.5, rtol=1e-9)  # the prior's precision adds
    assert analytic_slope(slope, 1.0) == pytest.approx(-(1 - 1 / 4), abs=1e-6)


def test_a_panel_without_an_analytic_slope_has_a_dash() -> None:
    names = ("slope", "slope_half_width", "point_slope", "point_slope_half_width", "rank_correlation", "balance")
    panel = {**dict.fromkeys(names, 0.5), "n": 9, "left_out": 0, "point_seeds": 1}
    assert "optimum -0.75, r" in _remark({**panel, "analytic_slope": -0.75})
    assert "optimum -, r" in _remark({**panel, "analytic_slope": np.nan})


@pytest.mark.filterwarnings("error")
def test_beyond_the_width_of_the_prior_no_sigma_is_optimal() -> None:
    bayes = {"kind": "variational_bayes", "prior": "gaussian", "scale": 2.0}
    assert np.isnan(analytic_slope(slope_of({"cost": {"kind": "membrane"}, "inference": bayes}, 0.3), 3.0))


def test_a_mixture_lies_between_its_parts() -> None:
    parts = [{"kind": "calcium", "c": 0.1}, {"kind": "trafficking", "c": 0.1}]
    slope = slope_of({"cost": {"kind": "mixture", "costs": parts}, "inference": ENERGY}, 0.3)
    assert -2 / 2.5 < analytic_slope(slope, 0.5) < -2 / 4


@given(st.floats(0.1, 8), st.floats(1e-3, 1e3))
@examples(10)
def test_importance_recovers_a_planted_optimum(rho: float, c: float) -> None:
    run = FakeRun([{"cost": {"kind": "power_law", "rho": rho, "c": c}}], {}, power(rho, c))
    found = Importance().measure(run)
    np.testing.assert_allclose(found["slope"], -2 / (rho + 2), rtol=1e-6)
    np.testing.assert_allclose(found["analytic_slope"], -2 / (rho + 2), rtol=1e-5)
    np.testing.assert_allclose(found["rank_correlation"], -1)
    fitted = found["intercept"][:, None] + found["slope"][:, None] * found["line_x"]
    np.testing.assert_allclose(found["line_y"], fitted, atol=1e-5)  # the planted synapses lie on the absolute line


def test_a_figure_in_which_all_synapses_are_flat_says_so(tmp_path: Any) -> None:
    analysis = Importance(layer=2)
    found = analysis.measure(FakeRun(*sweep(dead=True), power(2 / 3, 1.0)))
    texts = [text.get_text() for ax in figure_of(analysis, found, tmp_path).axes for text in ax.texts]
    assert "all 600 synapses are flat" in texts


@pytest.mark.parametrize("rho", MECHANISMS.values())
def test_the_slopes_against_learning_rate_and_input_follow_from_the_curvatures(rho: float) -> None:
    """Eq. 7: the learning rate is proportional to H**(-1/2); Eq. 6: H to the mean square of the input."""
    kind = next(kind for kind, value in MECHANISMS.items() if value == rho)
    for estimator, slope in (
        ("learning_rate_rms", 4 / (rho + 2)), ("learning_rate_authors", 4 / (rho + 2)),
        ("input_square", -2 / (rho + 2)), ("input_abs", -4 / (rho + 2)),
    ):  # fmt: skip
        arrays = Importance(estimator=estimator).measure(FakeRun(*sweep(kind), power(rho, 0.1)))
        np.testing.assert_allclose(arrays["analytic_slope"], slope, rtol=1e-3)
        lines = np.diff(arrays["line_y"]) / np.diff(arrays["line_x"])
        np.testing.assert_allclose(lines, slope, rtol=1e-3)


@pytest.mark.parametrize(("layers", "held"), [(1, {20}), (3, {9, 12})])
def test_the_claims_about_importance_hold_where_sigma_is_the_optimum(layers: int, held: set[int]) -> None:
    run = FakeRun(*sweep(seeds=3, layers=layers), wobbling(power(2 / 3, 0.1)))
    arrays = Importance().measure(run)
    verdicts = {
        claim.number: {claim.verdict(part) for part in claim.measure(Importance(), arrays)}
        for claim in Importance.claims
    }
    assert {number for number, found in verdicts.items() if found == {"held"}} == held
    assert verdicts[21] == ({"not held"} if layers == 3 else set())  # planted on the analytic slope
    assert verdicts[10] == verdicts[11] == set()  # speaks of curvature alone


def test_synapses_whose_unit_hardly_ever_fires_count_as_flat() -> None:
    class Rare(FakeRun):
        def layer(self, i: int, layer: int, name: str) -> np.ndarray:
            values = super().layer(i, layer, name).copy()
            if name not in ("mu", "sigma"):
                values[4] = 1e-25
            return values

    class Quick(FakeRun):
        def layer(self, i: int, layer: int, name: str) -> np.ndarray:
            values = super().layer(i, layer, name).copy()
            if name == "learning_rate_rms":
                values[4] = 1e12
            return values

    found = Importance(layer=2).measure(Rare(*sweep(), power(2 / 3, 0.1)))
    np.testing.assert_array_equal(found["left_out"], 90 + 30)
    np.testing.assert_allclose(found["slope"], -2 / (2 / 3 + 2), rtol=1e-6)
    fast = Importance(layer=2, estimator="learning_rate_rms").measure(Quick(*sweep(), power(2 / 3, 0.1)))
    np.testing.assert_array_equal(fast["left_out"], 90 + 30)  # a rate of 1e12 means a curvature of 1e-24
    assert (Importance(layer=2, flat_below=0).measure(Rare(*sweep(), power(2 / 3, 0.1)))["left_out"] == 90).all()


def test_one_layer_of_many_networks_is_drawn_in_rows(tmp_path: Any) -> None:
    members = [{"cost": {"kind": "membrane", "c": 10.0**i}} for i in range(-4, 2)]
    run = FakeRun(members, {"cost.c": [m["cost"]["c"] for m in members]}, power(2 / 3, 0.1))
    analysis = Importance(layer=2, columns=6)
    figure = figure_of(analysis, analysis.measure(run), tmp_path)
    titles = [ax.get_title() for ax in figure.axes]
    assert [t for t in titles if t] == [f"c = {m['cost']['c']:.3g}" for m in members]
    legible(figure)


def test_flat_synapses_are_counted_and_left_out() -> None:
    found = Importance().measure(FakeRun(*sweep(), power(2 / 3, 0.1)))
    np.testing.assert_array_equal(found["left_out"], [91, 90] * 3)
    np.testing.assert_array_equal(found["n"], [509, 510] * 3)


def test_the_interval_covers_the_planted_slope_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(400, 40))
    fits = [fit_line(row, -0.75 * row + random.normal(size=40)) for row in x]
    covered = np.mean([abs(fit["slope"] + 0.75) < fit["slope_half_width"] for fit in fits])
    assert 0.91 < covered < 0.985  # 95% of 400, four standard errors


def test_the_interval_over_seeds_is_that_of_the_seeds_slopes() -> None:
    run = FakeRun(*sweep(seeds=4), lambda i, h: h ** -(0.3 + 0.01 * (i % 4)))
    found = Importance(layer=1).measure(run)
    slopes = -2 * (0.3 + 0.01 * np.arange(4))
    half = 3.182446 * slopes.std(ddof=1) / 2  # Student's t, 3 degrees of freedom
    np.testing.assert_allclose(found["point_slope"], slopes.mean(), rtol=1e-6)
    np.testing.assert_allclose(found["point_slope_half_width"], half, rtol=1e-5)
    np.testing.assert_array_equal(found["point_seeds"], 4)
    assert set(found["layer"]) == {1}


def test_importance_says_whom_it_skips_and_stops_where_none_is_left(tmp_path: Any) -> None:
    members, _ = sweep()
    members[0]["noise"], members[1]["status"] = "homogeneous", "diverged at step 9"
    run = FakeRun(members, {"cost.c": [0.01, 0.1, 1.0]}, power(2 / 3, 1.0))
    found = Importance().measure(run)
    assert set(found["member"]) == {2} and found["skipped"] == [2]
    assert "left out" in words(figure_of(Importance(), found, tmp_path))
    with pytest.raises(UserError, match="heterogeneous"):
        Importance().measure(FakeRun(*sweep(noise="homogeneous"), power(1, 1)))
    with pytest.raises(UserError, match="at most 2 layers"):
        Importance(layer=3).measure(run)


def test_tradeoff_groups_by_all_but_c_and_seed() -> None:
    costs = [{"kind": "power_law", "rho": rho, "c": c} for rho in (1.0, 3.0) for c in (0.1, 1.0) for _ in range(2)]
    members = [{"cost": cost, "seed": i % 2} for i, cost in enumerate(costs)]
    swept = {"cost": [{"kind": "power_law", "rho": m["rho"]} for m in costs], "cost.c": [m["c"] for m in costs]}
    found = Tradeoff().measure(FakeRun(members, swept, power(1, 1)))
    assert [found["rho"][found["column"] == c].tolist() for c in columns(found)] == [[1.0] * 4, [3.0] * 4]


def test_tradeoff_shows_the_mean_over_seeds_and_leaves_out_the_diverged(tmp_path: Any) -> None:
    members, swept = sweep(seeds=3)
    members[8]["status"] = "diverged at step 3"
    run = FakeRun(members, swept, power(1, 1))
    found = Tradeoff().measure(run)
    assert found["left_out"] == [1] and len(found["c"]) == 8
    figure = figure_of(Tradeoff(), found, tmp_path)
    drawn = figure.axes[0].lines[0]
    values = run.metric("accuracy_sample")
    np.testing.assert_allclose(drawn.get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(drawn.get_ydata(), [values[:3].mean(), values[3:6].mean(), values[6:8].mean()])
    assert "1 diverged" in figure._suptitle.get_text()


def test_tradeoff_takes_the_multiplier_from_the_scale() -> None:
    members = [{"cost": {"kind": "trafficking", "s": s}} for s in (0.1, 1.0)]
    found = Tradeoff().measure(FakeRun(members, {"cost.s": [0.1, 1.0]}, power(2, 1)))
    np.testing.assert_allclose(found["c"], [0.1**2 / 2, 1 / 2])
    assert columns(found) == ["trafficking"]


def test_tradeoff_says_what_the_spec_lacks() -> None:
    members = [{"cost": {"kind": "membrane", "c": 1.0}, "seed": s} for s in range(3)]
    with pytest.raises(UserError, match=r"cost\.c.*logspace"):
        Tradeoff().measure(FakeRun(members, {}, power(1, 1)))
    with pytest.raises(UserError, match="diverged"):
        Tradeoff().measure(FakeRun(*sweep(status="diverged at step 1"), power(1, 1)))


def test_training_sums_the_loss_over_the_data_set(tmp_path: Any) -> None:
    run = FakeRun(*sweep(), power(1, 1))
    found = TrainingCurves().measure(run)
    np.testing.assert_allclose(found["nll_sum"], N * run.curve("nll"))
    figure = figure_of(TrainingCurves(), found, tmp_path)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["c = 0.01", "c = 0.1", "c = 1"]


RUNS = {
    "one c sweep": sweep(),
    "seeds": sweep(seeds=3),
    "many members": sweep(seeds=12),
    "entropic": sweep("entropic"),
    "a dead layer": sweep(dead=True),
    "bayes": sweep(inference={"kind": "variational_bayes"}),
    "no noise beside noise": (
        [{"cost": {"kind": "actin", "c": c}, "noise": n} for c in (0.1, 1.0) for n in ("none", "heterogeneous")],
        {"cost.c": [0.1, 0.1, 1.0, 1.0], "noise.kind": ["none", "heterogeneous"] * 2},
    ),
    "depths": (
        [{"cost": {"kind": "actin", "c": c}, "layers": d} for c in (0.1, 1.0) for d in (1, 2)],
        {"cost.c": [0.1, 0.1, 1.0, 1.0], "network.hidden": [[], [100]] * 2},
    ),
    "long names": (
        [{"cost": {"kind": "trafficking", "c": c}} for c in (0.1, 1.0, 10.0)],
        {
            "cost.c": [0.1, 1.0, 10.0],
            "inference": [{"kind": "energy_efficient", "magnitude": 1e-4}] * 3,
            "network": [{"kind": "mlp", "hidden": [100, 100, 100]}] * 3,
        },
    ),
}  # fmt: skip


#: every figure is drawn for these, and the slow run draws the others
DRAWN = {"seeds", "no noise beside noise"}


@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in DRAWN else pytest.mark.slow) for c in RUNS])
@pytest.mark.parametrize("analysis", ANY_RUN)
def test_figures_are_legible(analysis: Any, case: str, tmp_path: Any) -> None:
    run = FakeRun(*RUNS[case], power(2 / 3, 0.1))
    legible(figure_of(analysis(), analysis().measure(run), tmp_path))


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.parametrize("analysis", ANY_RUN)
def test_statistics_are_columns_of_one_length(analysis: Any, case: str, tmp_path: Any) -> None:
    arrays = analysis().measure(FakeRun(*RUNS[case], power(2 / 3, 0.1)))
    hdf5.save(tmp_path / "a.h5", arrays)
    columns = analysis().statistics(hdf5.load(tmp_path / "a.h5")[0])
    assert len({len(values) for values in columns.values()}) <= 1


@pytest.mark.parametrize("analysis", ANY_RUN)
def test_a_regression_has_figures_too(analysis: Any, tmp_path: Any) -> None:
    run = FakeRun(*sweep(), power(2 / 3, 0.1), regression=True)
    figure = figure_of(analysis(), analysis().measure(run), tmp_path)
    legible(figure)
    assert "accuracy" not in " ".join(ax.get_title() for ax in figure.axes)


def test_curvature_that_set_sigma_proves_nothing() -> None:
    members, swept = sweep(seeds=3, layers=3)
    for member in members:
        member["training"] = {"sigma": "fixed_point"}
    for estimator, expected in (("gauss_newton_noise", {"by construction"}), ("gauss_newton_test", {"held"})):
        analysis = Importance(estimator=estimator)
        arrays, claim = analysis.measure(FakeRun(members, swept, wobbling(power(2 / 3, 0.1)))), Importance.claims[0]
        assert {claim.verdict(part) for part in claim.measure(analysis, arrays)} == expected
    (rate,) = (claim for claim in Importance.claims if claim.number == 10)
    assert {rate.verdict(part) for part in rate.measure(Importance(estimator="learning_rate_rms"), arrays)}


@pytest.mark.parametrize(("balance", "expected"), [(1.09, "held"), (0.3, "open"), (np.nan, "open")])
def test_poor_convergence_does_not_win_the_claim_about_deep_slopes(balance: float, expected: str) -> None:
    arrays = Importance().measure(FakeRun(*sweep(seeds=3, layers=3), wobbling(power(2 / 3, 0.1))))
    off = {**arrays, "slope": arrays["slope"] + 0.3, "balance": np.full(len(arrays["layer"]), balance)}
    (deep,) = (claim for claim in Importance.claims if claim.number == 21)
    assert {deep.verdict(part) for part in deep.measure(Importance(), off)} == {expected}


def test_errors_of_the_curvature_do_not_flatten_the_slope() -> None:
    """Two estimates of the same curvature, each with errors as large as half of its spread."""
    random = np.random.default_rng(0)
    h = random.normal(0, 1, 20_000)
    halves = [h + random.normal(0, 0.5, len(h)) for _ in range(2)]
    found = fit_halves(halves, -0.6 * h + random.normal(0, 0.2, len(h)))
    assert found["slope"] == pytest.approx(-0.6, abs=0.01)
    assert fit_line((halves[0] + halves[1]) / 2, -0.6 * h)["slope"] == pytest.approx(-0.6 / 1.125, abs=0.01)
    assert 0 < found["slope_half_width"] < 0.02
    assert np.isnan(fit_halves([h[:2], h[:2]], h[:2])["slope"])
