"""Measuring curvature and test scores: speed compared with torch.func, and share of a whole run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ebayes_core.bench.baselines import perceptron
from ebayes_core.bench.bursts import here, milliseconds, settled
from ebayes_core.bench.engines import MEMBERS, Population
from ebayes_core.bench.floor import Products
from ebayes_core.bench.planned import in_one_process
from ebayes_core.bench.rows import Row, Section, Step, Variant
from ebayes_core.bench.setting import BATCH, EPOCHS, EXAMPLES, PAPER, TESTS, On, made_up
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.evaluation import evaluate, snapshot
from ebayes_core.engine.loop import train
from ebayes_core.engine.per_example import add_squares
from ebayes_core.engine.randomness import generator
from ebayes_core.measure.collect import measure
from ebayes_core.wording import networks

FISHER, TESTING = "Fisher diagonal, 1,000 examples", "test set, 1,000 examples"
RUN = f"a run of {EPOCHS} epochs of {EXAMPLES // BATCH:,} steps, 10,000 test examples"
SEEN, CHUNK = 1_000, 100
#: numbers of examples from which the time of a full measurement is extrapolated: enough for one pass of every kind
SMALL, LARGE = 2_000, 4_000
FEW = 8  #: networks for slow passes
BURSTS, BURST = 5, 0.2  #: of training, and the seconds of each
REPEATS = 2
PASSES = 22  #: over the test set: with the mean weights, with sampled ones, and with each network of an ensemble


def variants(device: str = "cpu") -> list[Variant]:
    """Variants that are timed in turns with those that train."""
    fisher, testing = (partial(Variant, section=title, device=device) for title in (FISHER, TESTING))
    return [
        fisher(f"ebayes, closed form, {MEMBERS} networks", On(closed_form, device), MEMBERS, ("fisher",)),
        fisher(f"its matrix products alone, {MEMBERS} networks", On(fisher_products, device), MEMBERS,
               ("fisher floor",)),
        fisher("torch.func, per-example gradients", On(per_example, device), tags=("torch.func",)),
        testing(f"plain MLP, {PASSES} passes", On(plain_test, device), tags=(f"{PASSES} passes",)),
        testing(f"ebayes, {FEW} networks: mean weights, sampled network, ensemble of {PASSES - 2}",
                On(our_test, device), FEW, ("scores",)),
    ]  # fmt: skip


def closed_form(device: str) -> Step:
    """The engine's measurement of curvature, on a whole population."""
    cohort, data = Population(compile=False, device=device).cohort(), made_up(PAPER.inputs, device=device)
    weights, task = cohort.layered(cohort.start().parameters.mu), data.task

    def step() -> None:
        sums: dict[str, list[Tensor]] = {}
        for x, y in zip(data.x[:SEEN].split(CHUNK), data.y[:SEEN].split(CHUNK), strict=True):
            deltas: Callable[..., list[Tensor]] = lambda outputs, y=y: [task.residual(outputs, y)]
            add_squares(sums, cohort.network, weights, x, {"": deltas})

    return step


def fisher_products(device: str) -> Step:
    """As many matrix products of the same sizes: drives, back-projections, and squared slopes with squared inputs."""
    once = Products(MEMBERS, device, batch=CHUNK)

    def step() -> None:
        for _ in range(SEEN // CHUNK):
            once()

    return step


def per_example(device: str) -> Step:
    """Sum of the squared per-example gradients of one network, with torch.func."""
    model, data = perceptron(PAPER).to(device), made_up(PAPER.inputs, device=device)
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


def plain_test(device: str) -> Step:
    """As many passes of the plain network over the test set as the scores of a noisy network need."""
    model, data = perceptron(PAPER).to(device), made_up(PAPER.inputs, device=device)

    @torch.no_grad()
    def step() -> None:
        for _ in range(PASSES):
            model(data.x_test).argmax(-1)

    return step


def our_test(device: str) -> Step:
    """All test scores of a population, with the default number of samples."""
    cohort = Population(FEW, compile=False, device=device).cohort()
    parameters = cohort.start().parameters
    return torch.no_grad()(lambda: evaluate(cohort, parameters, generator(0, device=device)))


def share(device: str = "cpu") -> Section:
    """Seconds per network for training and for measuring, extrapolated from a step and from small data sets."""
    population = in_one_process(Population(device=device))
    training = training_seconds(population)
    measuring = (measuring_seconds(population) + EPOCHS * snapshot_seconds(population)) / population.members
    named = f"{networks(population.members)} together"
    rows = (
        Row(f"training {named}, extrapolated from a step", (training,)),
        Row(f"curvature and test scores, from {SMALL} and {LARGE:,} examples", (measuring,), ("measuring",)),
        Row("both", (training + measuring,), ("run",)),
    )
    return Section(RUN, "s per network", rows)


def training_seconds(population: Population) -> float:
    """Seconds per network of all steps of training, extrapolated from a few."""
    burst = here(Variant("", population, device=population.device))
    step = statistics.median(burst(BURST) for _ in range(BURSTS))
    return step / 1e3 * EPOCHS * (EXAMPLES // BATCH) / population.members


def measuring_seconds(population: Population) -> float:
    """Seconds to measure on as many examples as MNIST has, extrapolated linearly from two small numbers."""
    small, large = (_measuring(population, examples) for examples in (SMALL, LARGE))
    if large <= small:
        raise ValueError(f"measuring on {LARGE:,} examples took no longer than on {SMALL}: the machine is too busy")
    return small + (EXAMPLES - SMALL) * (large - small) / (LARGE - SMALL)


def _measuring(population: Population, examples: int) -> float:
    cohort = _cohort(population, examples, examples // 6)
    state = cohort.start()
    next(train(cohort, state))
    return _seconds(lambda: measure(cohort, state), population.device)


def snapshot_seconds(population: Population) -> float:
    """Seconds of the evaluation at the end of an epoch, on 10,000 test examples."""
    cohort = _cohort(population, TESTS, 10_000)
    parameters = cohort.start().parameters
    return _seconds(torch.no_grad()(lambda: snapshot(cohort, parameters)), population.device)


def _seconds(work: Step, device: str) -> float:
    """Least seconds of some work: it is done so rarely that a disturbance would count a thousandfold."""
    return min(milliseconds(work, 0, settled(device)) for _ in range(REPEATS)) / 1e3


def _cohort(population: Population, examples: int, tests: int) -> Cohort:
    data = made_up(PAPER.inputs, examples, tests, population.device)
    return replace(population, compile=False).cohort(data)
