"""The terms of the objective one by one: the plugin that each comes from, its value and its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ebayes_core.contract.slots import Plugin
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.stacking import stack

if TYPE_CHECKING:
    from ebayes_core.contract.inference import Memory

Formula = Callable[[Tensor, Tensor], Tensor]  #: of mu and sigma, elementwise


class Term(NamedTuple):
    """A term of the objective, and where it comes from."""

    name: str  #: its name in curves and reports
    slot: str
    method: str
    formula: Formula

    def of(self, member: object) -> str:
        """`reliability (cost 'glial')`."""
        plugin: Plugin = getattr(member, self.slot)
        return f"{self.name} ({self.slot} '{plugin.kind}')"


def terms(f: Formulas, noisy: bool, memory: Memory | None = None) -> list[Term]:
    """The terms that the objective adds to the loss; without noise there is no reliability cost.

    memory: what is remembered of earlier stages, shaped as mu; without it there is no consolidation cost.
    Held means are constants: a derivative in them is needed nowhere, and need not be finite.
    """
    own: Callable[[Tensor], Tensor] = lambda mu: mu.detach() if f.held else mu
    price: Formula = lambda mu, sigma: f.inference.magnitude_cost(own(mu), sigma)
    magnitude = Term("magnitude", "inference", "magnitude_cost", price)
    reliability: Formula = lambda mu, sigma: f.inference.reliability_cost(own(mu), sigma, f.cost)
    consolidation: Formula = lambda mu, sigma: f.inference.consolidation_cost(own(mu), sigma, memory or {})
    return [
        magnitude,
        *[Term("reliability", "inference", "reliability_cost", reliability)] * noisy,
        *[Term("consolidation", "inference", "consolidation_cost", consolidation)] * bool(memory),
    ]


def responsible(term: Term, f: Formulas, fails: Callable[[Formula], object]) -> Term:
    """The term, or the cost's energy if that fails too, because the inference only passes it on."""
    reliability: Formula = lambda mu, sigma: f.cost(sigma, mu.detach() if f.held else mu)
    if term.method == "reliability_cost" and fails(reliability):
        return Term("reliability", "cost", "energy", reliability)
    return term


def doubled(f: Formulas, members: Sequence[Any]) -> Formulas:
    """The same formulas in double precision, which does not overflow if single precision does not at the start."""
    device = f.optimizer.learning_rate.device  # type: ignore[attr-defined]  # stacked, so a tensor
    stacked = lambda name: stack([getattr(m, name) for m in members], torch.float64, device)
    return replace(f, **{name: stacked(name) for name in ("cost", "noise", "inference", "optimizer")})


def derivatives(formula: Formula, mu: Tensor, sigma: Tensor, curved: bool = False) -> dict[str, Tensor]:
    """Value and first derivatives of a formula, by name; with `curved` also the second derivative that the solver
    divides by.

    mu, sigma: of one shape, (member, synapses), as are the results.
    """
    with torch.enable_grad():
        leaves = [t.detach().clone().requires_grad_() for t in (mu, sigma)]
        value = formula(*leaves)
        slopes = _slopes(value, leaves, curved)
        second = {"second derivative in sigma": _slopes(slopes[1], leaves)[1].detach()} if curved else {}
    first = {"derivative in mu": slopes[0].detach(), "derivative in sigma": slopes[1].detach()}
    return {"value": value.detach(), **first, **second}


def _slopes(value: Tensor, leaves: list[Tensor], again: bool = False) -> list[Tensor]:
    """Gradients in the leaves; zeros for leaves that the value does not depend on."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(value.sum(), leaves, create_graph=again, allow_unused=True, materialize_grads=True)
    return list(found)
