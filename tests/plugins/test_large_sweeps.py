"""Whatever the size of a sweep, a figure has a largest size, shows the first and the last, and says what it omits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ebayes
from ebayes_core.contract.registry import Registry
from ebayes_core.report.canvas import LARGEST, spread
from ebayes_plugins.analyses._colours import OTHERS, colour, colours
from ebayes_plugins.analyses._layout import COLUMNS, ENTRIES, LETTERS, ROWS, heading, short
from ebayes_plugins.analyses.importance import Importance
from ebayes_plugins.analyses.recurrence import _slopes as slopes_of
from tests.plugins.test_analyses import FakeRun, power, sweep
from tests.plugins.test_continual import planted as tasks_in_a_row
from tests.plugins.test_curves import planted
from tests.plugins.test_estimators import planted_run as students
from tests.plugins.test_posterior import Beside, optimal
from tests.plugins.test_posterior import population as beside
from tests.plugins.test_predictive import energy, run_of, vi
from tests.plugins.test_recurrence import planted as remembered
from tests.plugins.test_two_synapses import SMALL
from tests.plugins.test_two_synapses import run_of as pairs_of
from tests.plugins.test_weight_sharing import planted as shared

Arrays = dict[str, np.ndarray]
CHANGING = """
name = "c"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [3] }
training = { epochs = 9, batch_size = 100, sigma = "fixed_point" }
"""
KINDS = Registry.load().kinds("analysis")
LONG = "hidden = [" + ", ".join(["100"] * 40) + "], width {}"
MECHANISMS = 169  #: of 13 by 13 combinations


def grown(arrays: Arrays, networks: int, **columns: Any) -> Arrays:
    """The rows of a few networks repeated, with distinct values in some columns."""
    n = len(next(iter(columns.values())))
    return {name: np.resize(a, (n, *a.shape[1:])) if len(a) == networks else a for name, a in arrays.items()} | {
        name: np.array(values) for name, values in columns.items()
    }


def _training() -> Arrays:
    members = [{"cost": {"kind": "membrane", "c": c}, "seed": s} for c in np.geomspace(1e-4, 10, 30) for s in range(8)]
    run = FakeRun(members, {"cost.c": [m["cost"]["c"] for m in members], "network": [LONG] * 240}, power(1, 1))
    return KINDS["training"]().measure(run)


def _importance() -> Arrays:
    arrays = Importance().measure(FakeRun(*sweep(), power(1, 1)))
    at = [(member, layer) for member in range(40) for layer in range(1, 21)]
    names = [LONG.format(member) for member, _ in at]
    points = [f"{name}, layer {layer}" for name, (_, layer) in zip(names, at, strict=True)]
    members, layers = zip(*at, strict=True)
    rows = {"member": members, "layer": layers, "label": names, "point": points, "mechanism": names}
    return grown(arrays, len(arrays["member"]), **rows)


def _budget() -> Arrays:
    arrays = KINDS["budget"]().measure(FakeRun(*sweep(), power(1, 1)))
    members, layers = zip(*[(member, layer) for member in range(40) for layer in range(1, 21)], strict=True)
    names = [LONG.format(member) for member in members]
    return grown(arrays, len(arrays["member"]), member=members, layer=layers, label=names, point=names)


def _change() -> Arrays:
    """A network whose weights really go on changing, repeated."""
    with tempfile.TemporaryDirectory() as folder:
        run = ebayes.run(CHANGING, out=Path(folder) / "c.h5", progress=False)
        arrays = KINDS["change"](steps=2, repeats=2, warm_up=4).measure(run)
    rows = len(arrays["rule"])
    at = [(member, row) for member in range(40) for row in range(rows)]
    members, which = (np.array(column) for column in zip(*at, strict=True))
    names = [LONG.format(member) for member in members]
    columns = {name: np.asarray(arrays[name])[which].tolist() for name in ("layer", "rule")}
    return grown(arrays, rows, member=members.tolist(), label=names, point=names, **columns)


def _curves() -> Arrays:
    one = planted(3.0, seeds=2, points=np.array([0.1, 1.0]))
    n, rho = len(one["c"]), np.repeat(np.geomspace(0.1, 4, MECHANISMS), len(one["c"]))
    names = np.repeat([LONG.format(i) for i in range(MECHANISMS)], n)
    return grown(one, n, column=names, rho=rho)


def _noises() -> Arrays:
    one = KINDS["noises"]().measure(FakeRun(*sweep(seeds=2), power(1, 1)))
    n = len(one["energy"])
    return grown(one, n, column=np.repeat([LONG.format(i) for i in range(MECHANISMS)], n))


def _experiment() -> Arrays:
    return KINDS["experiment"]().measure(FakeRun(*sweep(), power(1, 1)))


def _two_synapses() -> Arrays:
    arrays = SMALL().measure(pairs_of({}))
    return grown(arrays, 1, label=[LONG.format(i) for i in range(40)], rho=np.geomspace(0.1, 4, 40))


def _predictive() -> Arrays:
    arrays = KINDS["predictive"](samples=5).measure(run_of(vi(), energy()))
    places = [(rho, s, seed) for rho in np.geomspace(0.1, 4, 13) for s in np.geomspace(1e-3, 1, 13) for seed in (0, 1)]
    rho, s, seed = np.array([(np.nan, np.nan, 0), *places]).T
    return grown(arrays, 2, rho=rho, price=s, s=s, seed=seed.astype(int))


def _posterior() -> Arrays:
    arrays = KINDS["posterior"]().measure(Beside(beside(("actin",)), optimal))
    places = [(i, c) for i in range(24) for c in range(13)]
    mechanism, row = np.array(places).T
    rho = np.linspace(0.1, 4, 24)[mechanism]
    names = [LONG.format(i) for i in mechanism]
    own = {"c": 0.1 * 2.0**row, "analytic_slope": 2 / (rho + 2)}
    return grown(arrays, 3, mechanism=names, rho=rho, row=row, **own)


def _contraction() -> Arrays:
    one = KINDS["contraction"]().measure(FakeRun(*sweep(seeds=2), power(1, 1)))
    rows, each = len(one["arm"]), [(LONG.format(i), s, c) for i in range(40) for s in (0, 1) for c in (0.1, 1.0, 10.0)]
    names, seeds, prices = map(np.array, zip(*each, strict=True))
    large = grown(one, rows, arm=names, seed=seeds, c=prices)
    fits = {name: a for name, a in one.items() if name.startswith("fit_")}
    return large | grown(fits, len(fits["fit_arm"]), fit_arm=names[::3], fit_seed=seeds[::3])


def _uncertainty() -> Arrays:
    random, rows = np.random.default_rng(0), 40 * 2 * 3
    names = [LONG.format(i) for i in range(40) for _ in range(6)]
    numbers = {name: random.random(rows) for name in ("rank", "nll", "nll_tempered", "ood", "error")}
    return {
        "arm": np.array(names), "seed": np.tile([0, 0, 0, 1, 1, 1], 40), "risk": random.random((rows, 20)),
        "pattern": np.tile(["own", "equal", "shuffled"], 80), "tone": np.full(rows, "(0.1, 0.2, 0.3)"), **numbers,
        "coverage": np.linspace(0.05, 1, 20), "n": np.full(rows, 300), "others": np.full(rows, 300),
    }  # fmt: skip


def _continual() -> Arrays:
    arms = [LONG.format(i) for i in range(40) for _ in range(9)]
    return grown(tasks_in_a_row(), 9, arm=arms, seed=[0, 1, 2] * 120)


def _weight_sharing() -> Arrays:
    names = [LONG.format(i) for i in range(40) for _ in range(6)]
    return grown(shared(), 6, mechanism=names, rho=np.repeat(np.geomspace(0.1, 4, 40), 6))


def _recurrence() -> Arrays:
    one, names = remembered(np.array([-0.5, -0.4])), [LONG.format(i) for i in range(40) for _ in range(6)]
    n = len(one["steps"])
    one |= {"integrator": np.zeros(n), "log_sigma_mean": one["log_sigma"], "n": np.full(n, 9)}
    one |= {"exact": np.full(n, np.nan), "profile": np.full((n, 20), np.nan)}
    arrays = grown(one, n, mechanism=names, rho=np.repeat(np.geomspace(0.1, 4, 40), 6))
    return arrays | {f"slope_{name}": values for name, values in slopes_of(arrays).items()}


LARGE: dict[str, tuple[Callable[[], Arrays], list[str]]] = {
    "training": (_training, ["100 of 240 networks"]),
    "importance": (_importance, ["4 of 40 networks", "7 of 20 layers"]),
    "budget": (_budget, ["5 of 40 settings", "6 of 20 layers"]),
    "change": (_change, []),
    "continual": (_continual, ["16 of 40 arms"]),
    "weight_sharing": (_weight_sharing, []),
    "estimators": (lambda: KINDS["estimators"]().measure(students()), []),
    "recurrence": (_recurrence, []),
    "contraction": (_contraction, ["12 of 40 kinds of network"]),
    "uncertainty": (_uncertainty, ["12 of 40 kinds of network"]),
    "tradeoff": (_curves, ["15 of 169 mechanisms"]),
    "noises": (_noises, ["3 of 169 mechanisms"]),
    "advantage": (_curves, ["10 of 169 mechanisms"]),
    "experiment": (_experiment, ["1 of 3 networks"]),
    "mechanisms": (lambda: KINDS["mechanisms"]().measure(None), []),
    "two_synapses": (_two_synapses, ["4 of 40 networks"]),
    "predictive": (_predictive, ["5 of 13 ρ", "6 of 13 s", "1 of 2 seeds"]),
    "posterior": (_posterior, [
        "5 of 24 mechanisms in (a)", "5 of 13 values of c in (a)", "8 of 24 mechanisms in (b)",
        "8 of 13 values of c in (c)",
    ]),
}  # fmt: skip
ENDS = {
    "training": ("c = 0.0001", "c = 10"), "importance": ("width 0", "width 39"),
    "budget": ("width 0", "width 39"), "tradeoff": ("width 0", "width 168"),
    "advantage": ("width 0", "width 168"), "two_synapses": ("width 0", "width 39"),
    "noises": ("width 0", "width 168"), "contraction": ("width 0", "width 39"), "uncertainty": ("width 0", "width 39"),
    "predictive": ("ρ = 0.1, s = 0.001", "ρ = 4, s = 1"), "posterior": ("width 0", "width 23"),
}  # fmt: skip


@cache
def drawn(kind: str) -> Any:
    """The figure of a large sweep; for third-party analyses, of a normal one."""
    from ebayes_core.report.figures import house_figure

    known = LARGE.get(kind, (lambda: KINDS[kind]().measure(FakeRun(*sweep(seeds=12), power(1, 1))), []))[0]
    with house_figure() as figure:
        KINDS[kind]().draw(known(), figure)
    return figure


def texts(figure: Any) -> list[str]:
    """Every text above, in and below the panels."""
    from matplotlib.text import Text

    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_sweep_has_a_figure_of_bounded_size_that_counts_the_rest(kind: str) -> None:
    figure = drawn(kind)
    assert all(side <= most + 1e-9 for side, most in zip(figure.get_size_inches(), LARGEST, strict=True))
    assert len(figure.axes) <= ROWS * COLUMNS
    assert sum(len(ax.lines) + len(ax.collections) + len(ax.patches) + len(ax.texts) for ax in figure.axes) < 1000
    caption = " ".join(texts(figure))
    for part in LARGE.get(kind, (None, []))[1]:
        assert part in " ".join(caption.split())
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    for legend in legends:
        assert len(legend.get_texts()) <= ENTRIES
        assert all(len(text.get_text()) <= 2 * LETTERS for text in legend.get_texts())


@pytest.mark.parametrize("kind", sorted(ENDS))
def test_the_first_and_the_last_are_shown(kind: str) -> None:
    written = [" ".join(text.split()) for text in texts(drawn(kind))]
    for end in ENDS[kind]:
        assert any(end in text for text in written), end


@given(st.integers(1, 5000), st.integers(1, 60))
def test_what_is_spread_begins_at_the_first_ends_at_the_last_and_leaves_even_gaps(n: int, most: int) -> None:
    found = spread(range(n), most)
    assert len(found) == min(n, most) and found[0] == 0
    if most > 1:
        assert found[-1] == n - 1
    gaps = np.diff(found)
    assert not len(gaps) or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)


@given(st.text("abc", max_size=300), st.integers(20, 80))
@example("a" * 22, 21)
def test_a_long_name_keeps_its_ends(text: str, most: int) -> None:
    head, gap, tail = short(text, most).partition(" ... ")
    assert text == head if not gap else text.startswith(head) and text.endswith(tail)
    assert len(head + gap + tail) == min(len(text), most) and abs(len(head) - len(tail)) * bool(gap) <= 1


def test_a_title_has_few_lines() -> None:
    lines = heading(LONG.format(12), 30).splitlines()
    assert len(lines) <= 3 and max(map(len, lines)) <= 30 and lines[-1].endswith("width 12")


def test_every_exponent_has_a_colour_of_its_own() -> None:
    """From 0.1 to 4, those of the paper far apart; the position on the scale depends on the exponent alone."""
    assert len({colour(rho) for rho in np.geomspace(0.1, 4, 24)}) == 24
    apart = lambda *rhos: min(np.linalg.norm(np.subtract(colour(a), colour(b))) for a, b in combinations(rhos, 2))
    assert apart(1 / 2, 2 / 3, 4 / 3, 2.0) > 0.2
    assert apart(2.0, 3.0, 4.0, 8.0) > 0.1


def test_what_is_no_power_law_has_a_colour_of_its_own() -> None:
    names = np.array(["entropic", "actin", "mixture", "entropic", "a third party's"])
    found = colours(names, np.array([np.nan, 4 / 3, np.nan, np.nan, np.nan]))
    assert [found[name] for name in ("entropic", "mixture", "a third party's")] == list(OTHERS[:3])
    assert found["actin"] == colour(4 / 3)
