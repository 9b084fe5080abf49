"""The bench: ratios and verdicts follow from the times, the loops compared with really train, and JSON is strict."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest
import torch

from ebayes_core.bench import (
    engines,
    floor,
    growth,
    lineup,
    probing,
    startup,
    sweeping,
    third_party,
)
from ebayes_core.bench.baselines import Naive, Plain
from ebayes_core.bench.engines import Population
from ebayes_core.bench.goals import GOALS, TAGS, Goal, judge
from ebayes_core.bench.processes import fresh, side_by_side
from ebayes_core.bench.rows import Row, Section, Variant, guarded, sections
from ebayes_core.bench.session import Bench
from ebayes_core.bench.setting import Shape, made_up
from ebayes_core.bench.timing import Effort, interleaved
from ebayes_core.engine.loop import train
from ebayes_core.errors import EbayesError
from ebayes_core.testing import check_cost

TINY = Shape(6, (5, 4))
SHORT = Effort(rounds=3, seconds=0.0, processes=2)


def nothing() -> None:
    """A step that costs nothing."""


def idle():  # type: ignore[no-untyped-def]
    return nothing


def broken():  # type: ignore[no-untyped-def]
    raise EbayesError("there is no such thing")


def breaks_later():  # type: ignore[no-untyped-def]
    calls = itertools.count()

    def step() -> None:
        assert next(calls) < 4, "worn out"

    return step


def silent(text: str) -> None:
    """Nobody is watching."""


def section(**medians: float | None) -> Section:
    """Rows tagged by their names."""
    rows = (Row(name, () if m is None else (m,), (name,)) for name, m in medians.items())
    return Section("made up", "ms", tuple(rows))


def test_ratios_follow_from_the_times() -> None:
    first, second = Row("first", (4.0, 1.0, 2.0)), Row("second", (1.0, 1.0, 9.0))
    made_up_section = Section("made up", "ms", (first, second, Row("third", problem="why")))
    assert (first.median, first.quartiles) == (2.0, (1.5, 3.0))
    assert [made_up_section.ratio(row) for row in made_up_section.rows] == [1.0, 0.5, None]


@pytest.mark.parametrize(
    ("at_least", "measured", "met", "then_met"),
    [(False, 0.4, True, True), (False, 0.5, True, False), (False, 0.6, False, False),
     (True, 0.4, False, False), (True, 0.5, True, True)],
)  # fmt: skip
def test_goals_are_judged_on_both_sides(at_least: bool, measured: float, met: bool, then_met: bool) -> None:
    goal = Goal("what", "mine", "base", 0.5, 0.45, at_least)
    (verdict,) = judge([section(base=2.0), section(mine=2 * measured)], goals=[goal])
    assert verdict.measured == pytest.approx(measured)
    assert (verdict.met, verdict.then_met) == (met, then_met)


def test_the_worst_row_decides() -> None:
    rows = tuple(Row(name, (m,), ("mine",)) for name, m in (("a", 0.3), ("b", 0.7)))
    (below,) = judge([Section("", "s", rows)], goals=[Goal("what", "mine", None, 0.5)])
    (above,) = judge([Section("", "s", rows)], goals=[Goal("what", "mine", None, 0.2, at_least=True)])
    assert (below.row, below.met) == ("b", False)
    assert (above.row, above.met) == ("a", True)


def test_a_goal_whose_row_failed_is_undecided() -> None:
    rows = (Row("good", (0.1,), ("mine",)), Row("bad", (), ("mine",), "why"))
    (verdict,) = judge([Section("", "s", rows)], goals=[Goal("what", "mine", None, 0.5)])
    assert (verdict.measured, verdict.met, verdict.row) == (None, None, "bad")
    (verdict,) = judge([section(mine=1.0)], goals=[Goal("what", "mine", "absent", 0.5)])
    assert (verdict.measured, verdict.met) == (None, None)


def test_a_variant_that_fails_is_a_row_that_says_why() -> None:
    variants = [
        Variant("idle", idle, 2, section="a"), Variant("broken", broken, section="a"),
        Variant("worn", breaks_later, section="b"),
    ]  # fmt: skip
    rows = interleaved(variants, SHORT, silent)
    assert [len(row.samples) for row in rows] == [3, 0, 0]
    assert [row.problem for row in rows] == [
        None, "EbayesError: there is no such thing", "AssertionError: worn out",
    ]  # fmt: skip
    assert [[row.name for row in s.rows] for s in sections(variants, rows, "ms")] == [["idle", "broken"], ["worn"]]


def test_a_section_that_fails_says_why() -> None:
    (row,) = guarded("title", "s", broken).rows
    assert row.problem == "EbayesError: there is no such thing"


def test_a_goal_says_why_it_was_not_measured() -> None:
    there = [section(mine=1.0)]
    for goal, why in (
        (Goal("what", "mine", None, 0.5, on="cuda"), "needs a GPU"),
        (Goal("what", "absent", None, 0.5), "was not measured"),
    ):
        (verdict,) = judge(there, "cpu", True, [goal])
        assert (verdict.measured, verdict.met, verdict.why) == (None, None, why)


def test_of_several_processes_the_quickest_counts() -> None:
    row = Row.quickest("a", [[3.0, 4.0, 5.0], [2.0, 1.0, 9.0], [7.0, 7.0, 7.0]], ("tag",))
    assert (row.samples, row.median, row.processes) == ((2.0, 1.0, 9.0), 2.0, (2.0, 4.0, 7.0))
    assert Row.quickest("a", [[3.0]], ()).processes == ()


def test_the_bench_is_strict_json() -> None:
    found = [section(eager=1.0, plain=2.0, homogeneous=None)]
    text = json.dumps(Bench({"load_before": None}, found, judge(found), 1.0).record(), allow_nan=False)
    back = json.loads(text)
    assert [row["ratio"] for row in back["sections"][0]["rows"]] == [1.0, 2.0, None]
    assert len(back["goals"]) == len(GOALS)
    assert [goal["measured"] for goal in back["goals"] if goal["goal"]["tag"] == "eager"] == [0.5]


@pytest.mark.parametrize("make", [Plain, Naive])
def test_the_baselines_train(make: type[Plain] | type[Naive]) -> None:
    torch.manual_seed(0)
    data, loop = made_up(TINY.inputs, 20, 20), make(TINY)
    losses = [float(loop.step(data.x, data.y)) for _ in range(200)]
    assert losses[-1] < losses[0] - 0.01


def test_the_naive_loop_takes_the_engines_step() -> None:
    data = made_up(TINY.inputs, 20, 20)
    cohort = Population(1, TINY, compile=False).cohort(double(data))
    c = cohort.formulas.cost.multiplier.item()
    state = cohort.start()
    naive = like(cohort, state, c)
    xi = [t[0] for t in cohort.layered(state.xi.split(cohort.sizes, 1))]
    order = cohort.order(0)[0]
    x, y = cohort.data.x[order], cohort.data.y[order]
    naive.optimiser.zero_grad()
    naive.objective(x, y, xi, examples=20).backward()
    naive.optimiser.step()
    next(train(cohort, state))
    for mine, theirs in zip([p.value for p in state.parameters.all()], [*naive.mu, *naive.phi], strict=True):
        torch.testing.assert_close(mine[0], theirs.detach().flatten(), rtol=1e-9, atol=1e-11)


def double(data):  # type: ignore[no-untyped-def]
    """The same data in float64."""
    return type(data)(data.x.double(), data.y, data.x_test.double(), data.y_test, data.task)


def like(cohort, state, c: float) -> Naive:  # type: ignore[no-untyped-def]
    """A naive loop that starts where a cohort of one starts."""
    naive = Naive(TINY, torch.float64, c)
    with torch.no_grad():
        for mine, theirs in (
            (naive.mu, state.parameters.mu),
            (naive.phi, [p.value for p in state.parameters.free["phi"]]),
        ):
            for target, source in zip(mine, cohort.layered(theirs), strict=True):
                target.copy_(source[0])
    return naive


def test_the_third_party_cost_is_a_cost() -> None:
    check_cost(third_party.ThirdParty)
    assert third_party.KIND in engines.registry().kinds("cost")


def test_every_registered_kind_has_its_row() -> None:
    told = {name for v in lineup.training(False) for name in re.findall(r"\w+", f"{v.name} {v.note}")}
    registry = engines.registry()
    slots = ("cost", "noise", "inference", "optimizer")
    assert {kind for slot in slots for kind in registry.kinds(slot)} <= told


def test_quick_rows_serve_every_goal_on_training() -> None:
    rows = [*lineup.training(quick=True), *lineup.sweeps()]
    timed = {tag for v in (*rows, *floor.variants(), *probing.variants()) for tag in v.tags}
    swept = {*sweeping.CALLED.values(), "sweep floor", "plain beside", "heterogeneous beside"}
    assert {tag for goal in GOALS if goal.on != "cuda" for tag in (goal.tag, goal.to) if tag} - timed - swept == {
        "measuring", "run", "cold", "quiet run", "busy run",  # measured by themselves
    }  # fmt: skip


def test_the_rows_of_a_gpu_serve_its_goals_and_are_all_on_it() -> None:
    rows = lineup.training(quick=True, device="cuda")
    tags = {tag for v in rows for tag in v.tags}
    assert {tag for goal in GOALS if goal.on == "cuda" for tag in (goal.tag, goal.to)} <= tags
    everything = [*lineup.training(False, "cuda"), *floor_parts("cuda"), *probing.variants("cuda")]
    assert {(v.device, v.start.device) for v in everything} == {("cuda", "cuda")}


def floor_parts(device: str) -> list[Variant]:
    """The parts of the floor, of a cache of a known size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floor, "cache_bytes", lambda device: 1 << 25)
        return floor.variants(device)


def test_quick_leaves_out_only_what_no_goal_needs() -> None:
    quick, full = ({v.name for v in lineup.training(q)} for q in (True, False))
    assert quick < full
    assert not {v.name for v in lineup.training(False) if TAGS & set(v.tags)} - quick


@pytest.mark.parametrize("slot", ["cost", "noise", "inference", "optimizer"])
def test_every_kind_takes_a_step(slot: str) -> None:
    for entry in engines.entries(slot):
        cohort = Population(2, TINY, compile=False, **engines.fitting(slot, engines.table_of(entry))).cohort(
            made_up(6, 20, 20)
        )
        state = next(train(cohort, cohort.start()))
        assert bool(state.alive.all())


@pytest.mark.slow
def test_processes_keep_in_step_and_a_failure_stops_none() -> None:
    variants = [
        Variant("whole", idle, tags=("tag",)), Variant("broken", broken),
        Variant("baseline", idle, baseline=True, alone=True, threads=1),
    ]  # fmt: skip
    whole, failed, baseline = side_by_side([variants, [*variants[:2], replace(variants[2], waits=True)]], SHORT)
    assert (len(whole.samples), whole.tags) == (3, ("tag",))
    assert "no such thing" in failed.problem
    assert (len(baseline.processes), len(baseline.samples)) == (2, 3)
    assert min(baseline.processes) > 0


def test_fresh_processes_answer_or_say_why() -> None:
    good, bad = Variant("good", idle, 2, baseline=True), Variant("bad", broken, baseline=True)
    rows = interleaved([good, bad], SHORT, silent)
    assert [len(part) for part in rows[0].tries] == [3, 3]
    assert rows[1].problem == "EbayesError: EbayesError: there is no such thing"


def test_a_fresh_process_answers_or_says_why() -> None:
    assert fresh(growth.exponent, [1, 10], [1, 100]) == pytest.approx(2)
    with pytest.raises(EbayesError, match="TypeError"):
        fresh(growth.exponent, None, None)


def test_a_command_that_ends_otherwise_is_no_time() -> None:
    row = startup.command("no such command", "tag", ["nonsense"], 0)
    assert row.samples == ()
    assert row.problem == "EbayesError: ebayes nonsense ended with 2, not with 0"


def test_exponents_are_of_the_large_end() -> None:
    x = [1.0, 10.0, 100.0, 1000.0]
    assert growth.exponent(x, [9.0, 9.0, 90.0, 900.0]) == pytest.approx(1)
    assert growth.exponent(x[:1], [1.0]) is None


def test_growth_is_drawn(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = lambda kind, k: {"kind": kind, "x": k, "ms": 2.0 * k, "megabytes": 3.0 * k}
    points = [made(kind, k) for kind in growth.LOOKS for k in (1, 2, 4)]
    exponents = {kind: {"ms": 1.0, "megabytes": None} for kind in growth.LOOKS}
    part = {"points": [*points, {"kind": "mlp", "problem": "why"}], "exponents": exponents}
    growth.draw({"members": part, "synapses": part}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000
