"""Diagnosis of a diverged network: which term of the objective was not finite.

If the loss is not finite, training of the network stops before its next step. If a gradient is not finite, that step
has already replaced a parameter by NaN; the formulas are then evaluated at the remaining parameters, and at all values
that the lost ones can have had.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.fixed_point import MOST
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.terms import Formula, derivatives, doubled, responsible, terms

MUS, SIGMAS = 17, 257  #: number of values tried for a lost mean and a lost sigma
#: range of the values: this factor beyond the known means, and these bounds of sigma
BEYOND, WIDEST = 2.0, (1e-6, 1e3)

Free = dict[str, Tensor]
Place = tuple[Tensor, Tensor]  #: mu and sigma, (1, synapses)


@torch.no_grad()
def cause(cohort: Cohort, state: State, member: int, seen: str) -> str:
    """The quantity of a diverged network that was not finite: `reliability (cost 'mine')`, `the loss` and so on.

    seen: the answer if the formulas are finite and no parameter is lost.
    """
    f, point = cohort.formulas_of(cohort.points[member : member + 1]), cohort.points[member].member
    mu = torch.cat([t[member : member + 1] for t in state.parameters.mu], 1)
    free = {name: _row([p.value for p in parts], member) for name, parts in state.parameters.free.items()}
    if free and _sigma_broken(f, mu, free):
        return f"sigma (noise '{point.noise.kind}')"
    if f.quantal:  # not a function of mu and sigma, at which the terms are evaluated below
        return seen
    lost, double = not all(bool(t.isfinite().all()) for t in (mu, *free.values())), doubled(f, [point])
    here, around = _here(f, mu, free), _around(f, mu, free, state, member)
    own = {name: _row(parts, member) for name, parts in state.parameters.remembered.items()}
    questions = (
        ("{}", f, own, lambda formula: _broken(formula, here, cohort.solves(state))),
        ("{}", double, Free(), lambda formula: lost and _broken(formula, around, cohort.solves(state))),
        ("the squared gradient of {}", f, own, lambda formula: not lost and _overflows(f, formula, here, mu, free)),
    )
    for words, formulas, memory, fails in questions:
        for term in terms(formulas, bool(free), memory):
            if fails(term.formula):
                return words.format(responsible(term, formulas, fails).of(point))
    return "the gradient of the loss" if lost else seen


def _row(parts: list[Tensor], member: int) -> Tensor:
    return torch.cat([t[member : member + 1] for t in parts], 1)


def _sigma_broken(f: Formulas, mu: Tensor, free: Free) -> bool:
    """Whether sigma or a derivative is not finite at parameters that are."""
    finite = [p.isfinite() for p in (mu, *free.values())]
    sigma, slopes = f.slopes(mu, free)
    known = reduce(torch.logical_and, finite)
    return any(bool((known & ~t.isfinite()).any()) for t in (sigma, *slopes))


def _start(f: Formulas, mu: Tensor) -> Tensor:
    """The initial sigma."""
    return f.noise.sigma(mu, f.noise.init(mu))


def _ends(f: Formulas, mu: Tensor, steps: int) -> list[Tensor]:
    """The initial sigma, and the smallest and largest that this number of steps can have led to."""
    free, far = f.noise.init(mu), f.rates[1] * steps
    if not f.solves:
        moved = ({name: p + by for name, p in free.items()} for by in (0 * far, -far, far))
        return [f.noise.sigma(mu, one).flatten() for one in moved]
    return [(f.noise.sigma(mu, free).log() + by * MOST * steps).exp().flatten() for by in (0, -1, 1)]


def _here(f: Formulas, mu: Tensor, free: Free) -> Place:
    """The parameters; a lost mean counts as 0, where formulas fail most often, a lost sigma as its initial value."""
    sigma = f.sigma(mu, free)
    filled = torch.where(sigma.isfinite(), sigma, _start(f, _known(mu)).expand_as(mu)) if free else sigma
    return _known(mu), filled


def _known(mu: Tensor) -> Tensor:
    return mu.nan_to_num(0.0, 0.0, 0.0)


def _around(f: Formulas, mu: Tensor, free: Free, state: State, member: int) -> Place:
    """Every pair of a mean and a sigma that the network can have had, in double precision."""
    size = BEYOND * _known(mu).abs().max().double()
    means = size * torch.linspace(-1, 1, MUS, dtype=torch.float64, device=mu.device)  # including 0
    if not free:
        return means[None], torch.zeros_like(means)[None]
    told = [point["sigma_rms"][member].flatten() for point in state.curves]
    sigma = f.noise.sigma(mu, free).flatten()
    known = torch.cat([sigma, *_ends(f, _known(mu), state.step), *told]).double()
    known = known[~known.isnan()].clamp(*WIDEST).log()
    unit = torch.linspace(0, 1, SIGMAS, dtype=torch.float64, device=mu.device)
    between = torch.lerp(known.min(), known.max(), unit).exp()
    return means.repeat_interleave(SIGMAS)[None], between.repeat(MUS)[None]


def _broken(formula: Formula, place: Place, curved: bool) -> bool:
    """Whether the value or a derivative is not finite anywhere."""
    return not all(bool(t.isfinite().all()) for t in derivatives(formula, *place, curved).values())


def _overflows(f: Formulas, formula: Formula, place: Place, mu: Tensor, free: Free) -> bool:
    """Whether the square of a gradient that the optimizer takes from the formula is not finite."""
    found = derivatives(formula, *place)
    slopes = [found["derivative in mu"]]
    if len(free) == 1 and not f.solves:
        (value,) = free.values()
        slope, spread = found["derivative in sigma"], f.spread(mu, free)
        slopes.append((slope if value.shape == slope.shape else slope.sum(-1, keepdim=True)) * spread.derivative)
    return not all(bool((g / f.examples).square().isfinite().all()) for g in slopes)
