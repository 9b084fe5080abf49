"""The terms of the objective one at a time: whose formula each is, with its value and its slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.slots import Plugin
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.stacking import stack

Formula = Callable[[Tensor, Tensor], Tensor]  #: of mu and sigma, elementwise


class Term(NamedTuple):
    """A formula of a population, and where it comes from."""

    name: str  #: as the curves and the report call it
    slot: str
    method: str
    formula: Formula

    def of(self, member: object) -> str:
        """`reliability (cost 'glial')`."""
        plugin: Plugin = getattr(member, self.slot)
        return f"{self.name} ({self.slot} '{plugin.kind}')"


def terms(f: Formulas, noisy: bool) -> list[Term]:
    """What the objective charges besides the loss; without noise there is no reliability to pay for."""
    magnitude = Term("magnitude", "inference", "magnitude_cost", f.inference.magnitude_cost)
    charged: Formula = lambda mu, sigma: f.inference.reliability_cost(mu, sigma, f.cost)
    return [magnitude] + [Term("reliability", "inference", "reliability_cost", charged)] * noisy


def blamed(term: Term, f: Formulas, fails: Callable[[Formula], object]) -> Term:
    """The term, or the cost's energy where that fails too: the inference only passes it on."""
    charged: Formula = lambda mu, sigma: f.cost(sigma, mu)
    if term.method == "reliability_cost" and fails(charged):
        return Term("reliability", "cost", "energy", charged)
    return term


def doubled(f: Formulas, members: Sequence[Any]) -> Formulas:
    """The same formulas in double precision, which does not overflow where single precision starts."""
    device = f.learning_rate.device
    stacked = lambda name: stack([getattr(m, name) for m in members], torch.float64, device)
    return replace(f, **{name: stacked(name) for name in ("cost", "noise", "inference")})


def derivatives(formula: Formula, mu: Tensor, sigma: Tensor, curved: bool = False) -> dict[str, Tensor]:
    """Value and slopes of a formula, by what each is called; with its second derivative, which the solver divides by.

    mu, sigma: of one shape, (member, synapses), as are the results.
    """
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in (mu, sigma)]
        value = formula(*leaves)
        slopes = _slopes(value, leaves, curved)
        second = {"second derivative in sigma": _slopes(slopes[1], leaves)[1].detach()} if curved else {}
    return {"value": value.detach(), "slope in mu": slopes[0].detach(), "slope in sigma": slopes[1].detach(), **second}


def _slopes(value: Tensor, leaves: list[Tensor], again: bool = False) -> list[Tensor]:
    """Zeros of what does not depend on the leaves."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(value.sum(), leaves, create_graph=again, allow_unused=True, materialize_grads=True)
    return list(found)
