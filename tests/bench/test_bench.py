"""The bench: ratios and verdicts follow from the times, the loops compared with really train, and JSON is strict."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import torch

from ebayes_core.bench import engines, growth, lineup, memory, peers, probing, startup, third_party
from ebayes_core.bench.baselines import Naive, Plain
from ebayes_core.bench.engines import Population
from ebayes_core.bench.goals import GOALS, Goal, judge
from ebayes_core.bench.processes import fresh, side_by_side
from ebayes_core.bench.rows import Row, Section, Variant, guarded, sections
from ebayes_core.bench.session import Bench
from ebayes_core.bench.setting import Shape, made_up
from ebayes_core.bench.timing import Effort, interleaved
from ebayes_core.engine.loop import train
from ebayes_core.errors import EbayesError
from ebayes_core.testing import check_cost

TINY = Shape(6, (5, 4))
SHORT = Effort(rounds=3, seconds=0.0)


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
    (verdict,) = judge([section(base=2.0), section(mine=2 * measured)], [goal])
    assert verdict.measured == pytest.approx(measured)
    assert (verdict.met, verdict.then_met) == (met, then_met)


def test_the_worst_row_decides() -> None:
    rows = tuple(Row(name, (m,), ("mine",)) for name, m in (("a", 0.3), ("b", 0.7)))
    (below,) = judge([Section("", "s", rows)], [Goal("what", "mine", None, 0.5)])
    (above,) = judge([Section("", "s", rows)], [Goal("what", "mine", None, 0.2, at_least=True)])
    assert (below.row, below.met) == ("b", False)
    assert (above.row, above.met) == ("a", True)


def test_a_goal_whose_row_failed_is_undecided() -> None:
    rows = (Row("good", (0.1,), ("mine",)), Row("bad", (), ("mine",), "why"))
    (verdict,) = judge([Section("", "s", rows)], [Goal("what", "mine", None, 0.5)])
    assert (verdict.measured, verdict.met, verdict.row) == (None, None, "bad")
    (verdict,) = judge([section(mine=1.0)], [Goal("what", "mine", "absent", 0.5)])
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


def test_the_bench_is_strict_json() -> None:
    found = [section(plain=2.0, heterogeneous=1.0, homogeneous=None)]
    text = json.dumps(Bench({"load_before": None}, found, judge(found), 1.0).record(), allow_nan=False)
    back = json.loads(text)
    assert [row["ratio"] for row in back["sections"][0]["rows"]] == [1.0, 0.5, None]
    assert len(back["goals"]) == len(GOALS)
    assert back["goals"][0]["measured"] == 0.5


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


@pytest.mark.parametrize("quick", [True, False])
def test_every_registered_kind_has_its_row(quick: bool) -> None:
    told = {name for v in lineup.training(quick) for name in re.findall(r"\w+", v.name)}
    registry = engines.registry()
    assert {kind for slot in ("cost", "noise", "inference") for kind in registry.kinds(slot)} <= told


def test_quick_rows_serve_every_goal_on_training() -> None:
    rows = lineup.training(quick=True)
    timed = [*rows, *lineup.beside(rows), *memory.update_variants(), *probing.variants()]
    tags = {tag for v in timed for tag in v.tags}
    assert {goal.tag for goal in GOALS} - tags == {  # measured in processes of their own, not in turns
        "measuring", "help", "plugins", "mistake", "memory", "warm", "cold",
    }  # fmt: skip
    assert {goal.to for goal in GOALS if goal.to} - tags == {"run", "stated"}


@pytest.mark.parametrize("slot", ["cost", "noise", "inference", "optimizer"])
def test_every_kind_takes_a_step(slot: str) -> None:
    for entry in engines.entries(slot):
        cohort = Population(2, TINY, compile=False, **engines.fitting(slot, engines.table_of(entry))).cohort(
            made_up(6, 20, 20)
        )
        state = next(train(cohort, cohort.start()))
        assert bool(state.alive.all())


def test_an_absent_peer_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    rows = interleaved(peers.variants(), SHORT, silent)
    assert {row.problem.split("; ")[1] for row in rows} == {'pip install "ebayes[bench]"'}


@pytest.mark.parametrize("name", list(peers.PEERS))
def test_the_peers_that_are_installed_train(name: str) -> None:
    torch.manual_seed(0)
    data = made_up(TINY.inputs, 20, 20)
    try:
        loop = peers.PEERS[name](TINY)
    except EbayesError as error:
        pytest.skip(str(error))
    losses = [float(loop.step(data.x, data.y)) for _ in range(400)]
    assert sum(losses[-50:]) < sum(losses[:50])


@pytest.mark.slow
def test_two_processes_keep_in_step_and_a_failure_stops_neither() -> None:
    variants = [Variant("whole", idle, tags=("tag",)), Variant("broken", broken)]
    whole, failed = side_by_side(variants, SHORT)
    assert len(whole.samples) == 3
    assert whole.tags == ("tag",)
    assert "no such thing" in failed.problem


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
    points = [{"x": k, "ms": 2.0 * k, "megabytes": 3.0 * k} for k in (1, 2, 4)]
    part = {"points": [*points, {"problem": "why"}], "exponents": {"ms": 1.0, "megabytes": None}}
    growth.draw({"members": part, "synapses": part}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000
