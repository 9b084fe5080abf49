"""What `ebayes check` says a run will take, on a machine that is not ours alone: by a clock that the test drives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.sweeps import estimate
from ebayes_core.sweeps.planning import find_device
from tests.build import DIGITS, points

MS = 1e-3


class Machine:
    """Steps that take as long as `slow` says of the time, the number of the step, and the threads."""

    def __init__(self, seconds: Callable[[float, int, int], float]) -> None:
        self.now, self.seconds = 0.0, seconds

    def perf_counter(self) -> float:
        return self.now

    def train(self, cohort: object, state: object) -> Iterator[object]:
        for step in count():
            self.now += self.seconds(self.now, step, torch.get_num_threads())
            yield state


@pytest.fixture
def said(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[float, float]]]:
    """The shorter and the longer estimate, per step, on such a machine with two threads."""
    threads = torch.get_num_threads()

    def estimated(seconds: Callable[[float, int, int], float]) -> tuple[float, float]:
        machine = Machine(seconds)
        monkeypatch.setattr(estimate, "train", machine.train)
        monkeypatch.setattr(estimate, "time", machine)
        (found,) = estimate.estimates(points(registry, DIGITS), find_device("cpu"))
        assert torch.get_num_threads() == 2, "the threads are given back"
        assert found.seconds and machine.now < 30
        return found.seconds[0] / found.steps, found.seconds[1] / found.steps

    torch.set_num_threads(2)
    yield estimated
    torch.set_num_threads(threads)


def test_the_time_of_a_step_is_that_of_a_quiet_machine(said) -> None:
    assert said(lambda now, step, threads: MS) == pytest.approx((MS, MS))
    assert said(lambda now, step, threads: 2.0) == pytest.approx((2.0, 2.0)), "one step is longer than what is timed"
    assert said(lambda now, step, threads: 10.0 if step == 0 else MS) == pytest.approx((MS, MS)), "it compiles"


@pytest.mark.parametrize("first", [0.0, 0.2, 0.6, 1.0])
def test_a_hiccup_does_not_move_it(said, first: float) -> None:
    """Other programs take the machine for half a second, and now and then a moment."""
    hiccup = lambda now, step, threads: 0.1 if first <= now < first + 0.5 else 0.02 if step % 10 == 0 else MS
    assert said(hiccup) == pytest.approx((MS, MS))


def test_a_busy_machine_has_a_range_whose_shorter_end_it_does_not_move(said) -> None:
    """Threads that wait for each other: a hundred times as long, while one alone has its share."""
    low, high = said(lambda now, step, threads: 0.2 if threads > 1 else MS * (1 + step % 2))
    assert (low, high) == pytest.approx((MS, 0.2))


def test_cohorts_are_timed_once_if_their_steps_are_alike(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds are alike; another noise, cost, optimizer or number of networks is not."""
    timed: list[object] = []

    def per_step(cohort, state):
        timed.append(cohort.member)
        return float(len(timed)), float(len(timed))

    monkeypatch.setattr(estimate, "_seconds_per_step", per_step)
    costs = '{kind="calcium"}, {kind="entropic"}, {kind="trafficking"}'
    noises = '{kind="homogeneous"}, {kind="heterogeneous"}'
    rates = '{kind="adam", learning_rate=1e-3}, {kind="adam", learning_rate=1e-2}, {kind="sgd", learning_rate=1e-2}'
    swept = {"cost": costs, "noise": noises, "optimizer": rates}
    base = DIGITS.replace("optimizer = { kind", "# { kind")
    text = base + "seeds = [0, 1]\n[sweep]\n" + "".join(f"{name} = [{rows}]\n" for name, rows in swept.items())
    found = estimate.estimates(points(registry, text), find_device("cpu"))
    # calcium and trafficking stack, and so do two learning rates: 2 noises, 2 kinds of cost, 2 optimizers, 2 seeds
    assert (len(found), len(timed)) == (16, 8)
    assert all(e.seconds for e in found)


def test_it_is_said_in_few_words() -> None:
    assert estimate.in_words((0.68, 0.72)) == "about 0.7 s"
    assert estimate.in_words((0.68, 85.4)) == "0.68 to 85 s"
