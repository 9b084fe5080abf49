"""The step of a cohort as it is computed: one compiled kernel, or without a compiler a few networks at a time."""

from __future__ import annotations

from torch import Tensor
from torch.utils._pytree import tree_map

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.compiler import compiled
from ebayes_core.engine.ingredients import Fisher, Ingredients
from ebayes_core.engine.minibatch import limits, time_of
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.step import Step, make_step
from ebayes_core.results.provenance import COMPILED

# Synapses that a step takes at a time if it is not compiled: with fewer, calls dominate; more leave the cache.
IN_CACHE = 400_000


def kernel(cohort: Cohort, state: State, gradient: list[Tensor]) -> Step:
    """The step of this cohort, compiled if that pays and a compiler works; notes on the cohort which it is."""
    fused = None
    if cohort.compile:
        fused = compiled(
            make_step(cohort.formulas), state.parameters, state.weights, _example(cohort, state, gradient), state.alive
        )
        cohort.compiled = COMPILED if fused else "no: no working compiler"
    return fused or _in_parts(cohort)


def _example(cohort: Cohort, state: State, gradient: list[Tensor]) -> Ingredients:
    """Ingredients of the right shapes."""
    noise = cohort.by_layer(state.xi)
    fisher = (
        Fisher(state.parameters.mu, *limits(state, cohort.formulas.spreads(state.parameters)))
        if cohort.solves(state)
        else Fisher([], [], [])
    )
    return Ingredients(gradient, noise, noise, time_of(cohort, 1), fisher)


def _in_parts(cohort: Cohort) -> Step:
    """The step as it is written, on a few networks at a time: intermediate results stay in the cache."""
    size = max(1, IN_CACHE // sum(cohort.sizes))
    parts = [slice(i, i + size) for i in range(0, len(cohort), size)]
    steps = [make_step(cohort.formulas_of(cohort.points[part])) for part in parts]

    def in_parts(parameters: Parameters, weights: list[Tensor], given: Ingredients, alive: Tensor) -> None:
        for part, step in zip(parts, steps, strict=True):
            rows = lambda tree, part=part: tree_map(lambda t: t[part], tree)
            own = given._replace(gradient=rows(given.gradient), time=rows(given.time), fisher=rows(given.fisher))
            step(rows(parameters), rows(weights), own, alive[part])

    return steps[0] if len(steps) == 1 else in_parts
