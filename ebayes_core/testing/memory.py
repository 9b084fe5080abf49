"""The check of what an inference remembers of a stage of training, as one of several tasks in a row."""

from __future__ import annotations

import torch
from torch import Tensor

from ebayes_core.contract.slots import Inference, Stage
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Formula, attempt, keeps_arguments
from ebayes_core.testing.elementwise import DISTINCT
from ebayes_core.testing.formulas import formula_holds

Memory = dict[str, Tensor]
#: mean, sigma and Fisher information of each synapse at the end of two stages
STAGES = (0.1, 0.03, 3.0), (-0.2, 0.04, 20.0)


def after_two(inference: Inference, sigma: Tensor, mu: Tensor) -> Tensor:
    """The consolidation cost after two stages, as a formula of sigma and mu."""
    none = torch.zeros_like(mu)
    memory = inference.nothing_yet(none)
    for stage in STAGES:
        memory = inference.remember(memory, Stage(*(none + number for number in stage)))
    return inference.consolidation_cost(mu, sigma, memory)


def check_memory(pair: list[Inference], sigma: Tensor, mu: Tensor) -> None:
    """Check names and shapes of what is remembered, and that leaving it costs nothing before a stage has ended."""
    name, together = type(pair[0]).__name__, stack(pair, torch.float64)
    memory = attempt(f"{name}.nothing_yet", together.nothing_yet, mu)
    _shaped(f"{name}.nothing_yet", memory, mu)
    if not memory:
        return
    first = attempt(f"{name}.consolidation_cost", together.consolidation_cost, mu, sigma, memory)
    free = bool((first == 0).all())
    assert free, f"{name}.consolidation_cost is not 0 with what nothing_yet returns: no stage has ended yet"
    _remembers(together, memory, mu, sigma)
    formula_holds(f"{name}.consolidation_cost", after_two, pair, sigma=sigma, mu=mu)


def _shaped(name: str, memory: Memory, mu: Tensor) -> None:
    assert isinstance(memory, dict), f"{name} returned {type(memory).__name__}; it must return a dict, by name"
    for key, found in memory.items():
        fits = isinstance(found, Tensor) and found.shape == mu.shape and found.dtype == mu.dtype
        assert fits, f"{name}: '{key}' must have the shape and type of mu, as 0 * mu"
        assert bool(found.isfinite().all()), f"{name}: '{key}' is not finite"


def _remembers(together: Inference, memory: Memory, mu: Tensor, sigma: Tensor) -> None:
    """Check that what is remembered is new, keeps its names, and depends on the Fisher information if that is said."""
    name = f"{type(together).__name__}.remember"
    sigma = sigma.abs() + DISTINCT["sigma"]
    ask: Formula = lambda *a: attempt(name, together.remember, memory, Stage(*a))
    before = {key: t.clone() for key, t in memory.items()}
    with_it, without = (ask(mu, sigma, fisher + 0 * mu) for fisher in (3.0, 0.0))
    _shaped(name, with_it, mu)
    same = with_it.keys() == memory.keys()
    assert same, f"{name} returned {', '.join(with_it)}; nothing_yet has {', '.join(memory)}: the names must agree"
    kept = all(torch.equal(t, before[key]) for key, t in memory.items())
    assert kept, f"{name} changes the memory that it is given; it must return a new one"
    differs = any(not torch.equal(t, without[key]) for key, t in with_it.items())
    declared = together.needs_fisher == differs
    assert declared, f"{name} {'uses' if differs else 'does not use'} Stage.fisher: set needs_fisher = {differs}"
    keeps_arguments(name, lambda *a: torch.stack(list(ask(*a).values())), mu, sigma, 3 + 0 * mu)
