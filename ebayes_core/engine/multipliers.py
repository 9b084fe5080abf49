"""The multipliers of energy budgets: those with which the synapses that share a budget spend what they may.

With a cost that is a power law of sigma, descent is normalised: sigma moves along the gradient of the loss less what
would change the energy of its unit. The multiplier is then c = sum h / (rho E), where h = sigma g xi, and all sigmas of
a unit are scaled by the same factor so that they spend E. For any other cost, and where sigma is solved for, the
multiplier rises while a unit spends more than it may (dual ascent).
"""

from __future__ import annotations

from typing import Any

import torch

from ebayes_core.engine.budget import FARTHEST, log_excess, scale, shared
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.draws import over_draws
from ebayes_core.engine.ingredients import Ingredients
from ebayes_core.engine.minibatch import standardised

#: Steps between corrections: each takes several passes over memory. On a GPU every step is the same, and corrects.
EVERY = 10
#: By what power of its excess a multiplier changes in a correction, and the largest change of its logarithm. Several
#: times as much makes the multiplier and sigma, which follows it slowly, overshoot in turn.
GAIN, MOST = 0.25, 0.25
#: the least share of a correction in the running mean of a multiplier
SHARE = 0.05
TINY, HUGE = 1e-12, 1e12


def keep(cohort: Cohort, state: State, given: Ingredients) -> None:
    """Correct the multipliers, and the sigmas if the descent is normalised, in place; before the step with `given`."""
    p, f = state.parameters, cohort.formulas
    if not p.multipliers or (cohort.device.type == "cpu" and state.step % EVERY):
        return
    over, often = log_excess(cohort, p), 1 if cohort.device.type == "cpu" else EVERY
    if not f.normalises:
        for c, t in zip(p.multipliers, over, strict=True):
            rises = ((GAIN * t).clamp(-MOST, MOST) / often).exp()
            c.copy_(torch.where(state.alive, (c * rises).clamp(TINY, HUGE), c))
        return
    _measure(cohort, state, given)
    rho: Any = f.cost.exponent
    scale(cohort, p, [(t / rho).clamp(-FARTHEST, FARTHEST) for t in over], state.alive)


def _measure(cohort: Cohort, state: State, given: Ingredients) -> None:
    """Let the multipliers follow N sum h / (rho E), of minibatches."""
    f, p = cohort.formulas, state.parameters
    xi = standardised(cohort, state)
    moved = [over_draws(g * x) * s for g, x, s in zip(given.gradient, xi, f.sigmas(p), strict=True)]
    allowance, rho = f.inference.allowance, f.cost.exponent
    assert allowance is not None
    least = SHARE if cohort.device.type == "cpu" else SHARE / EVERY
    weight = (EVERY / (given.clock - 1 + EVERY)).clamp(least, 1).to(cohort.dtype)
    for c, h in zip(p.multipliers, shared(cohort, moved), strict=True):
        found = (f.examples * h / (rho * allowance.energy)).clamp(-HUGE, HUGE)
        c.copy_(torch.where(state.alive, (c + weight * (found - c)).clamp(TINY, HUGE), c))
