"""Measuring curvature and test scores: speed compared with torch.func, and share of a whole run."""

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
from ebayes_core.engine.per_example import add_squares
from ebayes_core.engine.randomness import generator
from ebayes_core.measure.collect import measure

FISHER, TESTING = "Fisher diagonal, 1,000 examples", "test set, 1,000 examples"
RUN = f"a run of {EPOCHS} epochs of {EXAMPLES // BATCH:,} steps, 10,000 test examples"
SEEN, CHUNK = 1_000, 100
#: numbers of examples from which the time of a full measurement is extrapolated: enough for one pass of every kind
SMALL, LARGE = 2_000, 4_000
FEW = 8  #: networks for slow passes


def variants() -> list[Variant]:
    """Variants that are timed in turns with those that train."""
    fisher, testing = partial(Variant, section=FISHER), partial(Variant, section=TESTING)
    return [
        fisher(f"ebayes, closed form, {MEMBERS} networks", closed_form, MEMBERS, ("fisher",)),
        fisher("torch.func, per-example gradients", per_example, tags=("torch.func",)),
        testing("plain MLP, one pass", plain_test),
        testing(f"ebayes, {FEW} networks: mean weights, sampled network, ensemble of 20", our_test, FEW),
    ]


def closed_form() -> Step:
    """The engine's measurement of curvature, on a whole population."""
    cohort, data = Population(compile=False).cohort(), made_up(PAPER.inputs)
    weights, task = cohort.layered(cohort.start().parameters.mu), data.task

    def step() -> None:
        sums: dict[str, list[Tensor]] = {}
        for x, y in zip(data.x[:SEEN].split(CHUNK), data.y[:SEEN].split(CHUNK), strict=True):
            deltas: Callable[..., list[Tensor]] = lambda outputs, y=y: [task.residual(outputs, y)]
            add_squares(sums, cohort.network, weights, x, {"": deltas})

    return step


def per_example() -> Step:
    """Sum of the squared per-example gradients of one network, with torch.func."""
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
    """One pass of the plain network over the test set."""
    model, data = Plain(PAPER).model, made_up(PAPER.inputs)
    return torch.no_grad()(lambda: model(data.x_test).argmax(-1))


def our_test() -> Step:
    """All test scores of a population, with the default number of samples."""
    cohort = Population(FEW, compile=False).cohort()
    parameters = cohort.start().parameters
    return torch.no_grad()(lambda: evaluate(cohort, parameters, generator(0)))


def share(training: Row) -> Section:
    """Seconds per network for training and for measuring, extrapolated from a step and from small data sets."""
    if training.median is None:
        raise ValueError("the time of a training step is not known")
    train_seconds = training.median / 1e3 * EPOCHS * (EXAMPLES // BATCH)
    measuring = (measuring_seconds() + EPOCHS * snapshot_seconds()) / MEMBERS
    rows = (
        Row("training, extrapolated from a step", (train_seconds,)),
        Row(f"curvature and test scores, from {SMALL} and {LARGE:,} examples", (measuring,), ("measuring",)),
        Row("both", (train_seconds + measuring,), ("run",)),
    )
    return Section(RUN, "s per network", rows)


def measuring_seconds() -> float:
    """Seconds to measure on as many examples as MNIST has, extrapolated linearly from two small numbers."""
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
    """Seconds of the evaluation at the end of an epoch, on 10,000 test examples."""
    cohort = _cohort(TESTS, 10_000)
    parameters = cohort.start().parameters
    began = time.perf_counter()
    with torch.no_grad():
        snapshot(cohort, parameters)
    return time.perf_counter() - began


def _cohort(examples: int, tests: int) -> Cohort:
    return Population(compile=False).cohort(made_up(PAPER.inputs, examples, tests))
