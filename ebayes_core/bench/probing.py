"""Probes and evaluation: their speed beside torch.func, and their share of a whole run."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ebayes_core.bench.baselines import Plain, perceptron
from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.rows import Row, Section, Step, Variant
from ebayes_core.bench.setting import BATCH, EPOCHS, EXAMPLES, PAPER, TESTS, made_up
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.evaluation import evaluate, snapshot
from ebayes_core.engine.loop import train
from ebayes_core.engine.per_example import squared_gradients
from ebayes_core.engine.randomness import generator
from ebayes_core.measure.collect import measure

FISHER, TESTING = "Fisher diagonal, 1,000 examples", "test set, 1,000 examples"
RUN = f"a run of {EPOCHS} epochs of {EXAMPLES // BATCH:,} steps, 10,000 test examples"
SEEN, CHUNK = 1_000, 100
SMALL, LARGE = 300, 1_200  #: examples of a measurement, small parts of a run's
FEW = 8  #: members where a pass takes long


def variants() -> list[Variant]:
    """Rows that take turns with those that train."""
    fisher, testing = partial(Variant, section=FISHER), partial(Variant, section=TESTING)
    return [
        fisher(f"ours, closed form, {MEMBERS} members", closed_form, MEMBERS, ("fisher",)),
        fisher("torch.func, per-example gradients", per_example, tags=("torch.func",)),
        testing("plain MLP, one pass", plain_test),
        testing(f"ours, {FEW} members: mean, sampled, and 20 averaged networks", our_test, FEW),
    ]


def closed_form() -> Step:
    """The engine's probe, on a whole population."""
    cohort, data = Population(compile=False).cohort(), made_up(PAPER.inputs)
    weights, task = cohort.layered(cohort.start().parameters.mu), data.task

    def step() -> None:
        for x, y in zip(data.x[:SEEN].split(CHUNK), data.y[:SEEN].split(CHUNK), strict=True):
            deltas: Callable[..., list[Tensor]] = lambda outputs, y=y: [task.residual(outputs, y)]
            squared_gradients(cohort.network, weights, x, deltas)

    return step


def per_example() -> Step:
    """Every example's own gradient by torch.func, squared and summed, on one network."""
    model, data = perceptron(PAPER), made_up(PAPER.inputs)
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = torch.func.functional_call(model, weights, (x[None],))
        return torch.nn.functional.cross_entropy(outputs, y[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def step() -> None:
        for x, y in zip(data.x[:SEEN].split(CHUNK), data.y[:SEEN].split(CHUNK), strict=True):
            for g in each(weights, x, y).values():
                g.square().sum(0)

    return step


def plain_test() -> Step:
    """The plain network on the test set."""
    model, data = Plain(PAPER).model, made_up(PAPER.inputs)
    return torch.no_grad()(lambda: model(data.x_test).argmax(-1))


def our_test() -> Step:
    """All scores of a population, with as many samples as a spec asks for by default."""
    cohort = Population(FEW, compile=False).cohort()
    parameters = cohort.start().parameters
    return torch.no_grad()(lambda: evaluate(cohort, parameters, generator(0)))


def share(training: Row) -> Section:
    """Seconds per network that a run trains and measures, from the time of a step and from parts of MNIST."""
    if training.median is None:
        raise ValueError("the time of a training step is not known")
    train_seconds = training.median / 1e3 * EPOCHS * (EXAMPLES // BATCH)
    measuring = (measuring_seconds() + EPOCHS * snapshot_seconds()) / MEMBERS
    rows = (
        Row("training, from the time of a step", (train_seconds,)),
        Row(f"probes and evaluation, from {SMALL} and {LARGE:,} examples", (measuring,), ("measuring",)),
        Row("both", (train_seconds + measuring,), ("run",)),
    )
    return Section(RUN, "s per network", rows)


def measuring_seconds() -> float:
    """`measure` on as many examples as MNIST has: it is linear in them, so two small parts tell."""
    small, large = (_measuring(examples) for examples in (SMALL, LARGE))
    return small + (EXAMPLES - SMALL) * (large - small) / (LARGE - SMALL)


def _measuring(examples: int) -> float:
    cohort = _cohort(examples, examples // 6)
    state = cohort.start()
    next(train(cohort, state))
    began = time.perf_counter()
    measure(cohort, state)
    return time.perf_counter() - began


def snapshot_seconds() -> float:
    """What each epoch ends with, on 10,000 test examples."""
    cohort = _cohort(TESTS, 10_000)
    parameters = cohort.start().parameters
    began = time.perf_counter()
    with torch.no_grad():
        snapshot(cohort, parameters)
    return time.perf_counter() - began


def _cohort(examples: int, tests: int) -> Cohort:
    return Population(compile=False).cohort(made_up(PAPER.inputs, examples, tests))
