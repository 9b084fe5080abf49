"""Diagnosis of a diverged network: which term of the objective was not finite.

If the loss is not finite, training of the network stops before its next step. If a gradient is not finite, that step
has already replaced a parameter by NaN; the formulas are then evaluated at the remaining parameters, and at all values
that the lost ones can have had.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.fixed_point import MOST
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.terms import Formula, derivatives, doubled, responsible, terms

MUS, SIGMAS = 17, 257  #: number of values tried for a lost mean and a lost sigma
#: range of the values: this factor beyond the known means, and these bounds of sigma
BEYOND, WIDEST = 2.0, (1e-6, 1e3)

Place = tuple[Tensor, Tensor]  #: mu and sigma, (1, synapses)


@torch.no_grad()
def cause(cohort: Cohort, state: State, member: int, seen: str) -> str:
    """The quantity of a diverged network that was not finite: `reliability (cost 'mine')`, `the loss` and so on.

    seen: the answer if the formulas are finite and no parameter is lost.
    """
    f, point = cohort.formulas_of(cohort.points[member : member + 1]), cohort.points[member].member
    mu = _row(state.parameters.mu, member)
    phi = _row(state.parameters.phi, member) if state.parameters.phi else None
    if phi is not None and any(bool((phi.isfinite() & ~t.isfinite()).any()) for t in f.spread(phi)):
        return f"sigma (noise '{point.noise.kind}')"
    lost, double = not all(bool(t.isfinite().all()) for t in (mu, phi) if t is not None), doubled(f, [point])
    here, around = _here(f, mu, phi), _around(f, mu, phi, state, member)
    questions = (
        ("{}", f, lambda formula: _broken(formula, here, cohort.solves(state))),
        ("{}", double, lambda formula: lost and _broken(formula, around, cohort.solves(state))),
        ("the squared gradient of {}", f, lambda formula: not lost and _overflows(f, formula, here, phi)),
    )
    for words, formulas, fails in questions:
        for term in terms(formulas, phi is not None):
            if fails(term.formula):
                return words.format(responsible(term, formulas, fails).of(point))
    return "the gradient of the loss" if lost else seen


def _row(parts: list[Tensor], member: int) -> Tensor:
    return torch.cat([t[member : member + 1] for t in parts], 1)


def _start(f: Formulas, mu: Tensor) -> Tensor:
    phi = f.noise.init(torch.zeros_like(mu))
    assert phi is not None  # there is noise
    return phi


def _ends(f: Formulas, mu: Tensor, steps: int) -> list[Tensor]:
    """The initial sigma, and the smallest and largest that this number of steps can have led to."""
    phi, far = _start(f, mu), f.learning_rate_phi * steps
    if not f.solves:
        return [f.noise.sigma(phi + by).flatten() for by in (0 * far, -far, far)]
    return [(f.noise.sigma(phi).log() + by * MOST * steps).exp().flatten() for by in (0, -1, 1)]


def _here(f: Formulas, mu: Tensor, phi: Tensor | None) -> Place:
    """The parameters; a lost mean counts as 0, where formulas fail most often, a lost sigma as its initial value."""
    sigma = torch.zeros_like(mu) if phi is None else f.noise.sigma(phi)
    filled = sigma if phi is None else torch.where(sigma.isfinite(), sigma, f.noise.sigma(_start(f, mu)))
    return mu.nan_to_num(0.0, 0.0, 0.0), filled.expand_as(mu)


def _around(f: Formulas, mu: Tensor, phi: Tensor | None, state: State, member: int) -> Place:
    """Every pair of a mean and a sigma that the network can have had, in double precision."""
    size = BEYOND * mu.nan_to_num(0.0, 0.0, 0.0).abs().max().double()
    means = size * torch.linspace(-1, 1, MUS, dtype=torch.float64, device=mu.device)  # including 0
    if phi is None:
        return means[None], torch.zeros_like(means)[None]
    told = [point["sigma_rms"][member].flatten() for point in state.curves]
    known = torch.cat([f.noise.sigma(phi).flatten(), *_ends(f, mu, state.step), *told]).double()
    known = known[~known.isnan()].clamp(*WIDEST).log()
    unit = torch.linspace(0, 1, SIGMAS, dtype=torch.float64, device=mu.device)
    between = torch.lerp(known.min(), known.max(), unit).exp()
    return means.repeat_interleave(SIGMAS)[None], between.repeat(MUS)[None]


def _broken(formula: Formula, place: Place, curved: bool) -> bool:
    """Whether the value or a derivative is not finite anywhere."""
    return not all(bool(t.isfinite().all()) for t in derivatives(formula, *place, curved).values())


def _overflows(f: Formulas, formula: Formula, place: Place, phi: Tensor | None) -> bool:
    """Whether the square of a gradient that Adam takes from the formula is not finite."""
    found = derivatives(formula, *place)
    slopes = [found["derivative in mu"]]
    if phi is not None and not f.solves:
        slope = found["derivative in sigma"]
        slopes.append((slope if phi.shape == slope.shape else slope.sum(-1, keepdim=True)) * f.spread(phi)[1])
    return not all(bool((g / f.examples).square().isfinite().all()) for g in slopes)
