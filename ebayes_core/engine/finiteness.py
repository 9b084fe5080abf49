"""Check, before the first step, that every formula and its derivatives are finite wherever training may lead.

It is done in double precision, which does not overflow within the bounds of a spec if single precision does not at the
start; so what fails is the formula itself. Training can move as far as the sum of its steps, but it is followed at most
as far as `ebayes_core.testing` checks. In a few of a thousand networks an initial mean is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.fixed_point import LARGEST, MOST
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.terms import Formula, derivatives, doubled, responsible, terms
from ebayes_core.errors import PluginError

FEW = 3  #: number of synapses of each network and layer that are checked
#: range in which mean, sigma and free parameters are followed; beyond it, formulas are left to the plugin's own tests
FAR_MU, SMALLEST, FAR_FREE = 3.0, 1e-6, 10.0
#: values above this are about to overflow single precision because of the spec, which is not the plugin's mistake
LARGE = 1e30
AT_ZERO = (
    "a mean may be 0, where |mu| ** a with a < 1, a root and a logarithm are not differentiable: "
    "replace |mu| by (mu ** 2 + delta ** 2) ** 0.5 with a small delta"
)
ELSEWHERE = "it must be finite for every mu and every sigma > 0: keep divisors and arguments of roots away from 0"
ANYWHERE = "it must be positive, and its derivative finite, for all free parameters"


class Place(NamedTuple):
    """What is not finite, in which network, and at which values."""

    what: str
    member: int
    mu: float
    sigma: float


@torch.no_grad()
def check(cohort: Cohort, state: State) -> None:
    """Raise PluginError naming the plugin, the method, what is not finite, at which values, and what to do."""
    if cohort.formulas.quantal:  # not a function of mu and sigma, so followed only by the plugin's own tests
        return
    mu, free = _few(state)
    double = doubled(cohort.formulas, [p.member for p in cohort.points])
    _check(cohort, cohort.formulas, mu, _sigmas(cohort, cohort.formulas, free, mu)[:1], False)
    wide = {name: p.double() for name, p in free.items()}
    _check(cohort, double, mu.double(), _sigmas(cohort, double, wide, mu.double()), cohort.solves(state))


def _few(state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """A few means of every layer, and the free parameters of the noise of the same synapses."""
    mu = torch.cat([t[:, :FEW] for t in state.parameters.mu], 1)
    free = {name: [p.value[:, :FEW] for p in parts] for name, parts in state.parameters.free.items()}
    return mu, {name: torch.cat(parts, 1) for name, parts in free.items()}


def _check(cohort: Cohort, f: Formulas, mu: Tensor, sigmas: list[Tensor], curved: bool) -> None:
    mus = _mus(cohort, mu)
    for term in terms(f, bool((sigmas[0] > 0).any())):
        for sigma in sigmas:
            failing: Callable[..., Place | None] = lambda g, s=sigma: next(_failing(g, mus, s, curved), None)
            if failing(term.formula):
                source = responsible(term, f, failing)
                _refuse(cohort, source.slot, source.method, failing(source.formula))


def _steps(cohort: Cohort) -> int:
    return int(cohort.batches * cohort.training.epochs)


def _mus(cohort: Cohort, mu: Tensor) -> list[Tensor]:
    """The initial means, 0, and the means as far as the sum of the optimizer's steps can lead if a step is a rate.

    Held means stay, and any of them may be 0, as in a network that has been pruned.
    """
    if cohort.formulas.held:
        return [mu, torch.zeros_like(mu)]
    far = mu.abs() + cohort.formulas.rates[0].to(mu.dtype) * _steps(cohort)
    far = far.clamp(max=FAR_MU).maximum(mu.abs())
    return [mu, torch.zeros_like(mu), far, -far]


def _sigmas(cohort: Cohort, f: Formulas, free: dict[str, Tensor], mu: Tensor) -> list[Tensor]:
    """Initial sigma, and the smallest and largest that training may lead to; shaped as mu, 0 without noise."""
    if not free:
        return [torch.zeros_like(mu)]
    far = (f.rates[1].to(mu.dtype) * _steps(cohort)).clamp(max=FAR_FREE)
    start, *ends = [_spread(cohort, f, free, mu, by) for by in (0 * far, -far, far)]
    if f.solves:  # with the fixed point, log sigma moves and not the parameter
        ends = [start * torch.full_like(start, by * MOST * _steps(cohort)).exp() for by in (-1, 1)]
    return [s.expand_as(mu) for s in (start, *(e.clamp(SMALLEST, LARGEST) for e in ends))]


def _spread(cohort: Cohort, f: Formulas, free: dict[str, Tensor], mu: Tensor, by: Tensor) -> Tensor:
    """sigma after every free parameter has changed by `by`."""
    moved = {name: p + by for name, p in free.items()}
    sigma, slopes = f.slopes(mu, moved)
    usable = f.noise.sigma(mu, free) >= SMALLEST
    for (name, p), slope in zip(moved.items(), slopes, strict=True):
        wrong = {"its value": ~(sigma > 0), "its derivative": ~slope.isfinite() & ~(sigma > LARGE)}
        for what, bad in wrong.items():
            for i, j in (usable & bad).nonzero().tolist():
                found = sigma.expand(bad.shape)[i, j] if what == "its value" else slope.expand(bad.shape)[i, j]
                at = f"{what} is {found:.3g} at {name} = {p.expand(bad.shape)[i, j]:.6g}; {ANYWHERE}"
                _raise(cohort, "noise", "sigma", i, at)
    return sigma


def _failing(formula: Formula, mus: list[Tensor], sigma: Tensor, curved: bool) -> Iterator[Place]:
    """Where the formula is not finite, unless it is about to overflow at the initial means already."""
    usable = (sigma >= SMALLEST) | (sigma == 0)
    for number, mu in enumerate(mus):
        found = derivatives(formula, mu, sigma, curved)
        large = found["value"].abs() > LARGE
        usable = usable & ~large if number == 0 else usable
        for what, t in found.items():
            for i, j in (usable & ~t.isfinite() & (~large | (mu == 0))).nonzero().tolist():
                yield Place(what, i, float(mu[i, j]), float(sigma[i, j]))


def _refuse(cohort: Cohort, slot: str, method: str, place: Place | None) -> None:
    assert place
    where = f"at mu = {place.mu:.3g}, sigma = {place.sigma:.3g}, which training may reach"
    advice = ELSEWHERE if place.mu else AT_ZERO
    _raise(cohort, slot, method, place.member, f"its {place.what} is not finite {where}; {advice}")


def _raise(cohort: Cohort, slot: str, method: str, member: int, what: str) -> None:
    plugin = getattr(cohort.points[member].member, slot)
    where = f"the {slot} '{plugin.kind}' ({type(plugin).__module__}): {method}()"
    raise PluginError(f"{where}: {what}; this is a mistake in the plugin")
