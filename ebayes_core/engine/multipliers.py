"""The multipliers of energy budgets: those with which the synapses that share a budget spend what they may.

With a cost that is a power law of sigma, descent is normalised: sigma moves along the gradient of the loss less what
would change the energy of its unit. The multiplier is then c = sum h / (rho E), where h = sigma g xi, and all sigmas of
a unit are scaled by the same factor so that they spend E. For any other cost, and where sigma is solved for, the
multiplier rises while a unit spends more than it may (dual ascent).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebayes_core.engine.budget import FARTHEST, log_excess, scale, shared
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over_draws
from ebayes_core.engine.fixed_point import newest
from ebayes_core.engine.ingredients import Ingredients
from ebayes_core.engine.minibatch import standardised

#: Steps between corrections: each takes several passes over memory. On a GPU every step is the same, and corrects.
EVERY = 10
#: By what power of its excess a multiplier changes in a correction, and the largest change of its logarithm. Several
#: times as much makes the multiplier and sigma, which follows it slowly, overshoot in turn.
GAIN, MOST = 0.25, 0.25
TINY, HUGE = 1e-12, 1e12


def keep(cohort: Cohort, state: State, given: Ingredients) -> None:
    """Correct the multipliers, and the sigmas if the descent is normalised, in place; before the step with `given`."""
    p = state.parameters
    if not p.multipliers or (_on_cpu(cohort) and state.step % EVERY):
        return
    over = log_excess(cohort, p)
    if not cohort.formulas.normalises:
        _ascend(cohort, state, given, over)
        return
    _follow(cohort, state, given)
    rho: Any = cohort.formulas.cost.exponent
    scale(cohort, p, [(t / rho).clamp(-FARTHEST, FARTHEST) for t in over], state.alive)


def _on_cpu(cohort: Cohort) -> bool:
    return cohort.device.type == "cpu"


def _ascend(cohort: Cohort, state: State, given: Ingredients, over: list[Tensor]) -> None:
    """Let the multipliers rise while too much is spent, from what the first minibatch says of their size.

    The size is that of a layer, since a single draw says little of a synapse.
    """
    often, multipliers = 1 if _on_cpu(cohort) else EVERY, state.parameters.multipliers
    first = _saved(cohort, state, given) if not _on_cpu(cohort) or state.step == 0 else multipliers
    for c, t, h in zip(multipliers, over, first, strict=True):
        rises = ((GAIN * t).clamp(-MOST, MOST) / often).exp()
        size = torch.where(given.clock == 1, h.mean(-1, keepdim=True).abs(), c)
        c.copy_(torch.where(state.alive, (size * rises).clamp(TINY, HUGE), c))


def _follow(cohort: Cohort, state: State, given: Ingredients) -> None:
    """Let the multipliers follow sum h / (rho E), a mean over the last fifth of a stage's corrections."""
    rho, corrections = cohort.formulas.cost.exponent, (given.in_stage - 1) / (EVERY if _on_cpu(cohort) else 1) + 1
    assert rho is not None
    weight = newest(corrections).to(cohort.dtype)
    for c, saved in zip(state.parameters.multipliers, _saved(cohort, state, given), strict=True):
        found = (saved / rho).clamp(-HUGE, HUGE)
        c.copy_(torch.where(state.alive, (c + weight * (found - c)).clamp(TINY, HUGE), c))


def _saved(cohort: Cohort, state: State, given: Ingredients) -> list[Tensor]:
    """sum h / E of each unit, on the scale of the loss summed over the data set: an estimate from a minibatch."""
    f, p = cohort.formulas, state.parameters
    xi = standardised(cohort, state)
    moved = [over_draws(g * x) * s for g, x, s in zip(given.gradient, xi, f.sigmas(p), strict=True)]
    allowance: Any = f.inference.allowance
    return [f.examples * h / allowance.energy for h in shared(cohort, moved)]
