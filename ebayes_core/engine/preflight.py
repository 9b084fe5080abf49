"""Check what a cohort's plugins return, once before training: the error from a wrong shape would arise elsewhere.

Each formula is evaluated for a few synapses and a few examples; the checks of `ebayes_core.testing`, for authors of
plugins, are more thorough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.slots import Plugin
from ebayes_core.engine import finiteness
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.objective import Formulas
from ebayes_core.errors import PluginError, UserError

FEW = 3  #: number of synapses of each network, and of examples


@torch.no_grad()
def check(cohort: Cohort, state: State) -> None:
    """Evaluate every formula once at the initial values. Raises PluginError naming plugin, method and result."""
    _check_solver(cohort, state)
    _check_network(cohort, state)
    formulas, member = cohort.formulas, cohort.member
    mu = [m[:, :FEW] for m in state.parameters.mu]
    phi = [p[:, :FEW] for p in state.parameters.phi]
    sigma = _check_noise(member.noise, formulas, phi, mu)
    for m, s in zip(mu, sigma, strict=True):
        _check_costs(member, formulas, m, s, bool(phi))
    finiteness.check(cohort, state)


def _check_solver(cohort: Cohort, state: State) -> None:
    """Raise UserError if sigma is to be solved for and the Fisher information that this needs cannot be sampled."""
    if cohort.solves(state) and not cohort.data.task.can_sample:
        raise UserError(
            f'training.sigma = "fixed_point" samples targets from the model, and the likelihood '
            f"{type(cohort.data.task).__name__} of the data set '{cohort.member.dataset.kind}' defines no sample(); "
            'set  training.sigma = "descent"'
        )


def _check_network(cohort: Cohort, state: State) -> None:
    x = cohort.data.x[:FEW]
    outputs = cohort.network.forward(cohort.layered(state.weights), x)
    wanted = x.new_zeros(len(cohort), len(x), *cohort.data.task.shape)
    _compare(cohort.network, "forward", outputs, wanted)
    _check_speedups(cohort, cohort.layered(state.weights), x, wanted)
    _check_biases(cohort)


def _check_biases(cohort: Cohort) -> None:
    """Checked now because biases are used only after training."""
    marked = cohort.network.biases(cohort.data.x.shape[1], cohort.data.task.outputs)
    if marked is not None and len(marked) != len(cohort.shapes):
        raise PluginError(_says(cohort.network, "biases", f"{len(marked)} layers instead of {len(cohort.shapes)}"))
    for found, shape in zip(marked or [], cohort.shapes, strict=False):
        _compare(cohort.network, "biases", found, torch.zeros(shape, dtype=torch.bool))


def _check_speedups(cohort: Cohort, weights: list[Tensor], x: Tensor, wanted: Tensor) -> None:
    """Methods that a network may override for speed, used by the training loop and by the measurements after it."""
    network, data = cohort.network, cohort.data
    slopes = [torch.zeros_like(w) for w in weights]
    outputs = network.gradients(weights, x, lambda o: data.task.residual(o, data.y[:FEW]), slopes)
    _compare(network, "gradients", outputs, wanted)
    trace = network.trace(weights, x)
    if trace is None:
        return
    with asking(network, "what trace returned"):
        _compare(network, "trace", trace.outputs, wanted)
        found = len(trace.inputs), len(trace.drives)
    if found != (len(weights), len(weights)):
        inputs, drives = found
        raise PluginError(_says(network, "trace", f"{inputs} inputs and {drives} drives for {len(weights)} layers"))


def _check_noise(noise: Plugin, formulas: Formulas, phi: list[Tensor], mu: list[Tensor]) -> list[Tensor]:
    for p in phi:
        sigma = formulas.noise.sigma(p)
        _compare(noise, "sigma", sigma, p)
        if not (sigma > 0).all():
            raise PluginError(_says(noise, "sigma", "standard deviations that are not positive"))
    return formulas.sigmas(mu, phi)


def _check_costs(member: Any, formulas: Formulas, mu: Tensor, sigma: Tensor, noisy: bool) -> None:
    inference = formulas.inference
    asked: list[tuple[Plugin, str, Callable[[], Any]]] = [
        (member.inference, "magnitude_cost", lambda: inference.magnitude_cost(mu, sigma))
    ]
    if noisy:
        asked = [
            (member.cost, "energy", lambda: formulas.cost.energy(sigma, mu)),
            *asked,
            (member.inference, "reliability_cost", lambda: inference.reliability_cost(mu, sigma, formulas.cost)),
        ]
    for plugin, method, ask in asked:
        _compare(plugin, method, ask(), mu)


def _compare(plugin: Plugin, method: str, found: Any, wanted: Tensor) -> None:
    """Check that shape, type and device are as wanted, and that there is no NaN."""
    if not isinstance(found, Tensor):
        raise PluginError(_says(plugin, method, f"{type(found).__name__}, not a tensor"))
    for name in ("shape", "dtype", "device"):
        mine, theirs = (getattr(t, name) for t in (found, wanted))
        if mine != theirs:
            shown = (tuple(mine), tuple(theirs)) if name == "shape" else (mine, theirs)
            raise PluginError(_says(plugin, method, f"a tensor of {name} {shown[0]} instead of {shown[1]}"))
    if found.isnan().any() and wanted.isfinite().all():  # an overflow at the bounds of a spec is allowed
        raise PluginError(_says(plugin, method, "NaN for the initial parameters, which are finite"))


def _says(plugin: Plugin, method: str, what: str) -> str:
    module = type(plugin).__module__
    return f"the {plugin.slot} '{plugin.kind}' ({module}): {method}() returned {what}; this is a mistake in the plugin"
