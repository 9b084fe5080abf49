"""The goals: each is a limit on the ratio of two rows, which are found by their tags; the worst row counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebayes_core.bench.rows import Row, Section


@dataclass(frozen=True)
class Goal:
    """The rows tagged `tag`, divided by the row tagged `to` if given, against a limit and a later, stricter one."""

    what: str
    tag: str
    to: str | None
    limit: float | None  #: None: reported without a limit
    then: float | None = None
    at_least: bool = False

    def holds(self, value: float, limit: float | None) -> bool | None:
        """Whether a value satisfies a limit; None if there is no limit."""
        if limit is None:
            return None
        return value >= limit if self.at_least else value <= limit


@dataclass(frozen=True)
class Verdict:
    """A goal with the measured value and the row it comes from."""

    goal: Goal
    measured: float | None
    row: str | None
    met: bool | None
    then_met: bool | None


GOALS = (
    Goal("heterogeneous, 32 networks, each built-in cost and inference, relative to the plain MLP",
         "heterogeneous", "plain", 0.55, 0.45),
    Goal("the same, each in two 1-thread processes side by side", "heterogeneous beside", "plain beside", 0.95, 0.75),
    Goal("homogeneous, 32 networks, relative to the plain MLP", "homogeneous", "plain", 0.30),
    Goal("every optimizer, relative to Adam", "optimizer", "engine", 1.1),
    Goal("16 convolutional networks, relative to the torch module alone", "convolution descent", "convolution alone",
         0.5),
    Goal("16 recurrent networks, relative to the torch module alone", "recurrence descent", "recurrence alone", 0.5),
    *(Goal(f"the solver for sigma, noise per {noise}, relative to descent", f"{name} {noise} fixed_point",
           f"{name} {noise} descent", 2.5)
      for name, noise in (("convolution", "kernel"), ("convolution", "position"), ("recurrence", "frozen"),
                          ("recurrence", "fresh"))),
    Goal("16 torch modules, relative to the module alone", "module", "convolution alone", 0.7),
    Goal("the naive float64 loop, relative to the engine", "naive float64", "engine", 12, at_least=True),
    Goal("a third-party elementwise cost, relative to a built-in one", "third-party", "engine", 1.05),
    Goal("without a C++ compiler, relative to the plain MLP", "eager", "plain", 2),
    Goal("the update kernel, relative to a triad of the same bytes", "update", "triad", 1.5),
    Goal("Fisher diagonal, 1,000 examples: torch.func, relative to ebayes", "torch.func", "fisher", 50, at_least=True),
    Goal("measuring curvature and test scores, share of a run", "measuring", "run", 0.05),
    Goal("ebayes --help, seconds", "help", None, 0.4),
    Goal("ebayes plugins, seconds", "plugins", None, 0.4),
    Goal("a mistake in a spec, seconds", "mistake", None, 0.4),
    Goal("memory of a network, measured relative to the estimate of `ebayes check`", "memory", "stated", 1.1),
    Goal("first step, warm compile cache, seconds", "warm", None, 10),
    Goal("first step, cold compile cache, seconds", "cold", None, None),
)  # fmt: skip


def judge(sections: Iterable[Section], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """The verdict on every goal; None if a row that it needs was not measured."""
    rows = [row for section in sections for row in section.rows]
    return [_verdict(goal, rows) for goal in goals]


def _verdict(goal: Goal, rows: list[Row]) -> Verdict:
    """The worst of the goal's rows decides; if one of them failed, the goal is undecided."""
    mine = [row for row in rows if goal.tag in row.tags]
    base = _base(goal, rows)
    failed = next((row.name for row in mine if row.median is None), None)
    if not mine or not base or failed:
        return Verdict(goal, None, failed, None, None)
    medians = [(row.median, row.name) for row in mine if row.median is not None]
    worst, name = (min if goal.at_least else max)(medians, key=lambda pair: pair[0])
    value = worst / base
    return Verdict(goal, value, name, goal.holds(value, goal.limit), goal.holds(value, goal.then))


def _base(goal: Goal, rows: list[Row]) -> float | None:
    """The number that the goal's rows are divided by."""
    if goal.to is None:
        return 1.0
    return next((row.median for row in rows if goal.to in row.tags), None)
