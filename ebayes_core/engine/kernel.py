"""The step of a cohort as it is computed: one compiled kernel, or without a compiler a few networks at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable

from torch.utils._pytree import tree_map

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.compiler import compiled
from ebayes_core.engine.ingredients import Ingredients
from ebayes_core.engine.native import NoCompiler, Unsupported, native
from ebayes_core.engine.step import make_step
from ebayes_core.results.provenance import COMPILED

log = logging.getLogger("ebayes")

# Synapses that a step takes at a time if it is not compiled: with fewer, calls dominate; more leave the cache.
IN_CACHE = 400_000

#: takes a step from what a minibatch brings; of that, only the Fisher may lie elsewhere in memory than before
Kernel = Callable[[Ingredients], None]


def kernel(cohort: Cohort, state: State, given: Ingredients) -> Kernel:
    """The step of this cohort and state, compiled if that pays and a compiler works; notes on the cohort which it is.

    given: ingredients of the right shapes, in the memory in which those of every step lie.
    """
    fused = None
    if cohort.compile:
        fused = _native(cohort, state, given) or _inductor(cohort, state, given)
        cohort.compiled = COMPILED if fused else "no: no working compiler"
    return fused or _in_parts(cohort, state)


def _native(cohort: Cohort, state: State, given: Ingredients) -> Kernel | None:
    """The step in C, if the cohort is on the CPU, its formulas can be written in C, and a C compiler works."""
    if cohort.device.type != "cpu":
        return None
    try:
        return native(make_step(cohort.formulas), state.parameters, state.weights, state.alive, given)
    except (NoCompiler, Unsupported) as error:
        log.debug("no step in C: %s", error)
        return None


def _inductor(cohort: Cohort, state: State, given: Ingredients) -> Kernel | None:
    """The step as torch's own compiler writes it: on a GPU, and for formulas with operations that have no C."""
    fused = compiled(make_step(cohort.formulas), state.parameters, state.weights, given, state.alive)
    if fused is None:
        return None
    return lambda given: fused(state.parameters, state.weights, given, state.alive)


def _in_parts(cohort: Cohort, state: State) -> Kernel:
    """The step as it is written, on a few networks at a time: intermediate results stay in the cache."""
    size = max(1, IN_CACHE // sum(cohort.sizes))
    parts = [slice(i, i + size) for i in range(0, len(cohort), size)]
    steps = [make_step(cohort.formulas_of(cohort.points[part])) for part in parts]

    def in_parts(given: Ingredients) -> None:
        for part, step in zip(parts, steps, strict=True):
            rows = lambda tree, part=part: tree_map(lambda t: t[part], tree)
            own = given._replace(
                gradient=rows(given.gradient), fisher=rows(given.fisher), variances=rows(given.variances)
            )
            step(rows(state.parameters), rows(state.weights), own, state.alive[part])

    return in_parts
