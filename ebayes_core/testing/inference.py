"""The check of inferences: the terms that the objective adds to the loss."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from hypothesis import given
from torch import Tensor

from ebayes_core.contract.inference import Per
from ebayes_core.contract.slots import Cost, Inference
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Changed, Formula, attempt, check_table, keeps_arguments, quick, repeats, steady
from ebayes_core.testing.elementwise import DISTINCT, elementwise, keeps_device
from ebayes_core.testing.formulas import USUAL, falls, formula_holds, mu_tensors, sigma_tensors
from ebayes_core.testing.gradients import finite_at, slopes
from ebayes_core.testing.memory import after_two, check_memory
from ebayes_core.testing.strategies import corners, siblings


class Inverse(Cost):
    """A cost for the check: 0.3 / sigma."""

    kind: Literal["inverse"] = "inverse"

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """0.3 / sigma, elementwise."""
        return 0.3 / sigma


COST = Inverse()


def magnitude(inference: Inference, sigma: Tensor, mu: Tensor) -> Tensor:
    """The magnitude cost as a formula of sigma and mu."""
    return inference.magnitude_cost(mu, sigma)


def reliability(inference: Inference, sigma: Tensor, mu: Tensor) -> Tensor:
    """The reliability cost as a formula of sigma and mu."""
    return inference.reliability_cost(mu, sigma, COST)


TERMS: dict[str, Formula] = {"magnitude_cost": magnitude, "reliability_cost": reliability}


def check_inference(cls: type[Inference]) -> None:
    """Check that an objective's terms are elementwise and differentiable, and the magnitude cost also without noise.

    The reliability cost decreases with sigma wherever training may lead, unless it is zero, and depends on the cost of
    the spec if the objective says that it pays it. What is remembered of stages keeps its names and shapes, and the
    cost of leaving it is elementwise, and 0 before a stage has ended.
    """
    check_table(cls, Inference)
    name, changed = cls.__name__, Changed(cls)

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    @steady
    def holds(pair: list[Inference], sigma: Tensor, mu: Tensor) -> None:
        for term, formula in TERMS.items():
            formula_holds(f"{name}.{term}", formula, pair, sigma=sigma, mu=mu)
        _silent_holds(f"{name}.magnitude_cost", stack(pair, torch.float64), mu)
        _prior_holds(f"{name}.log_prior", pair, mu, sigma)
        _falls(f"{name}.reliability_cost", pair, mu)
        _charges(name, pair, mu)
        check_memory(pair, sigma, mu)

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Inference, Inference], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.stack([f(p, sigma, mu) for f in (*TERMS.values(), after_two, _allowed)]))

    holds()
    for plugin in corners(cls):
        for term, formula in TERMS.items():
            finite_at(f"{name}.{term}", formula, [plugin], sigma=USUAL["sigma"], mu=USUAL["mu"])
    fields_matter()
    changed.all_seen()


def _allowed(inference: Inference, sigma: Tensor, mu: Tensor) -> Tensor:
    """The budget as a tensor: its energy, plus a number for each set of synapses that may share one."""
    allowance = inference.allowance
    if allowance is None:
        return torch.zeros_like(mu)
    assert allowance.per in get_args(Per), f"allowance.per is {allowance.per!r}; it must be one of {get_args(Per)}"
    found: Tensor = torch.zeros_like(mu) + allowance.energy + get_args(Per).index(allowance.per)
    return found


def _falls(name: str, pair: list[Inference], mu: Tensor) -> None:
    together = stack(pair, torch.float64)
    if bool(reliability(together, DISTINCT["sigma"], mu).any()):
        falls(name, lambda p, sigma: reliability(p, sigma, mu[:, :1].expand_as(sigma)), together)


def _charges(name: str, pair: list[Inference], mu: Tensor) -> None:
    """Check that the reliability cost depends on the cost of the spec if, and only if, `pays` says so."""
    together = stack(pair, torch.float64)
    sigma, dear = DISTINCT["sigma"], lambda sigma, mu: 2 * COST(sigma, mu)
    once, twice = (together.reliability_cost(mu, sigma, cost) for cost in (COST, dear))
    differs = not torch.equal(once, twice)
    verb = "depends" if differs else "does not depend"
    assert together.pays == differs, f"{name}.reliability_cost {verb} on the cost of the spec: set pays = {differs}"


def _prior_holds(name: str, pair: list[Inference], *arguments: Tensor) -> None:
    """Check that the log prior, if there is one, is elementwise and reproducible."""
    formula: Formula = lambda p, mu, sigma: p.log_prior(mu, sigma)
    for values in ([DISTINCT["mu"], DISTINCT["sigma"]], arguments):
        ask = lambda *a: attempt(name, formula, stack(pair, torch.float64), *a)
        prior = keeps_arguments(name, ask, *values)
        if prior is None:
            return
        assert prior.shape == values[0].shape, f"{name} must be elementwise, or None"
        repeats(name, ask, values, [[a * factor for a in values] for factor in (2.0, 0.5)])
        elementwise(name, formula, pair, prior, *values)
        keeps_device(name, formula, pair, *values)


def _silent_holds(name: str, together: Inference, mu: Tensor) -> None:
    """Check value and gradient at sigma = 0: without noise, the means are still trained."""
    silent: Formula = lambda p, mu: p.magnitude_cost(mu, torch.zeros_like(mu))
    for means in (mu, USUAL["mu"].expand(len(mu), -1)):
        value, slope = slopes(name, silent, together, [means])
        assert bool(value.isfinite().all()), f"{name} is not finite at sigma = 0, that is, without noise"
        assert bool(slope.isfinite().all()), f"{name} has no finite gradient in mu at sigma = 0, that is, without noise"
