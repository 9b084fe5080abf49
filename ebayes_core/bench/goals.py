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
    limit: float
    then: float | None = None
    at_least: bool = False
    on: str | None = None  #: the device on which alone it can be measured

    def holds(self, value: float, limit: float | None) -> bool | None:
        """Whether a value satisfies a limit; None if there is no limit."""
        if limit is None:
            return None
        return value >= limit if self.at_least else value <= limit


@dataclass(frozen=True)
class Verdict:
    """A goal with the measured value and the row it comes from."""

    goal: Goal
    measured: float | None = None
    row: str | None = None
    met: bool | None = None
    then_met: bool | None = None
    why: str | None = None  #: it was not measured


GOALS = (
    Goal("a sweep of 32 networks, heterogeneous noise, relative to the floor in the cache", "sweep", "sweep floor",
         1.4, on="cpu"),
    Goal("the same, every cost and inference, relative to the plain MLP on all threads", "sweeps", "plain sweep",
         0.5, 0.4, on="cpu"),
    Goal("the same, each side in two 1-thread processes", "heterogeneous beside", "plain beside", 0.75, on="cpu"),
    Goal("population in JAX, relative to the sweep", "jax 32", "sweep", 6, at_least=True, on="cpu"),
    *(Goal(f"one cohort of {k} networks on a GPU, relative to the population in JAX", f"cohort {k}", f"jax {k}", 0.8,
           on="cuda") for k in (32, 128, 512)),
    Goal("one network on a GPU, relative to the plain MLP captured as a graph", "alone", "captured", 0.6, on="cuda"),
    Goal("a sweep with homogeneous noise, relative to the plain MLP", "sweep homogeneous", "plain sweep", 0.3,
         on="cpu"),
    Goal("without a C++ compiler, relative to the plain MLP", "eager", "plain", 2, on="cpu"),
    Goal("Fisher diagonal, relative to its floor, the matrix products", "fisher", "fisher floor", 1.5),
    Goal("probes and evaluation, share of a run", "measuring", "run", 0.04),
    Goal("test set: mean, sampled and 20 averaged networks, relative to 22 plain passes", "scores", "22 passes", 1),
    Goal("first step of a new process, cold compile cache, seconds", "cold", None, 10),
    Goal("16 convolutional networks of 25,000 synapses, relative to the module alone", "convolution descent",
         "convolution alone", 0.4),
    Goal("16 recurrent networks of 25,000 synapses, relative to the module alone", "recurrence descent",
         "recurrence alone", 0.4),
    Goal("one network alone, relative to the plain MLP", "alone", "plain", 1, on="cpu"),
    Goal("a run beside two busy programs, relative to the same alone", "busy run", "quiet run", 1.9, on="cpu"),
)  # fmt: skip
TAGS = {tag for goal in GOALS for tag in (goal.tag, goal.to) if tag}  #: of the rows that the goals need


def judge(
    sections: Iterable[Section], device: str = "cpu", quick: bool = False, goals: Iterable[Goal] = GOALS
) -> list[Verdict]:
    """The verdict on every goal; None, with the reason, if a row that it needs was not measured."""
    rows = [row for section in sections for row in section.rows]
    return [_verdict(goal, rows, device, quick) for goal in goals]


def _verdict(goal: Goal, rows: list[Row], device: str, quick: bool) -> Verdict:
    """The worst of the goal's rows decides; if one of them failed, the goal is undecided."""
    if goal.on not in (None, device):
        return Verdict(goal, why="needs a GPU" if goal.on == "cuda" else "is set for the processor")
    mine, base = [row for row in rows if goal.tag in row.tags], [row for row in rows if goal.to in row.tags]
    failed = next((row for row in (*mine, *base[:1]) if row.median is None), None)
    if failed is not None:
        return Verdict(goal, row=failed.name, why=failed.problem)
    if not mine or not (base or goal.to is None):
        return Verdict(goal, why="was not measured" if quick else "has no row")
    return _decided(goal, mine, (base[0].median or 0.0) if base else 1.0)


def _decided(goal: Goal, rows: list[Row], base: float) -> Verdict:
    """The verdict on measured rows."""
    medians = [(row.median, row.name) for row in rows if row.median is not None]
    worst, name = (min if goal.at_least else max)(medians, key=lambda pair: pair[0])
    value = worst / base
    return Verdict(goal, value, name, goal.holds(value, goal.limit), goal.holds(value, goal.then))
