"""Check what a cohort's plugins return, once before training: the error from a wrong shape would arise elsewhere.

Each formula is evaluated for a few synapses and a few examples; the checks of `ebayes_core.testing`, for authors of
plugins, are more thorough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.slots import Noise, Plugin
from ebayes_core.engine import budget, finiteness
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.stages import has_fisher
from ebayes_core.errors import PluginError, UserError

log = logging.getLogger("ebayes")
UNMET = 0.02  #: by how much a budget may be missed at the start
FEW = 3  #: number of synapses of each network, and of examples


@torch.no_grad()
def check(cohort: Cohort, state: State) -> None:
    """Evaluate every formula once at the initial values. Raises PluginError naming plugin, method and result."""
    _check_trained(cohort, state)
    _check_memory(cohort, state)
    _check_release(cohort, state)
    _check_solver(cohort, state)
    _check_budget(cohort, state)
    _check_network(cohort, state)
    formulas, member = cohort.formulas, cohort.member
    _check_solvable(cohort, state)
    for mu, free in zip(state.parameters.mu, state.parameters.freely(), strict=True):
        few = {name: p[:, :FEW] for name, p in free.items()}
        sigma = _check_noise(member.noise, formulas, mu[:, :FEW], few)
        _check_costs(member, formulas, mu[:, :FEW], few, sigma)
    _check_optimizer(cohort, state)
    finiteness.check(cohort, state)


def _check_trained(cohort: Cohort, state: State) -> None:
    """Raise UserError if nothing would be trained."""
    if cohort.formulas.held and not state.parameters.noisy:
        raise UserError(
            f"training.means = held: the noise '{cohort.member.noise.kind}' has no free parameters, so nothing "
            "would be trained; choose a noise that has, or train the means"
        )


def _check_memory(cohort: Cohort, state: State) -> None:
    """Raise UserError if an inference lacks noise or a Fisher information that it needs; check what it remembers."""
    member, f, p = cohort.member, cohort.formulas, state.parameters
    if member.inference.needs_noise and not p.noisy:
        raise UserError(
            f"the inference '{member.inference.kind}' means nothing for a network without noise, and the noise "
            f"'{member.noise.kind}' has none; choose another of the two"
        )
    if p.remembered and member.inference.needs_fisher and not has_fisher(cohort.data.task):
        raise UserError(
            f"the inference '{member.inference.kind}' takes the Fisher information of each stage, and the likelihood "
            f"{type(cohort.data.task).__name__} of the data set '{member.dataset.kind}' defines no sample(); choose "
            "another of the two"
        )
    for mu, sigma, memory in zip(p.mu, f.sigmas(p), p.memories(), strict=True):
        for found in memory.values():
            _compare(member.inference, "nothing_yet", found, mu)
        if memory:
            _compare(member.inference, "consolidation_cost", f.inference.consolidation_cost(mu, sigma, memory), mu)


def _check_solver(cohort: Cohort, state: State) -> None:
    """Raise UserError if sigma is to be solved for and the Fisher information that this needs cannot be sampled."""
    if cohort.solves(state) and not cohort.data.task.can_sample:
        raise UserError(
            f'training.sigma = "fixed_point" samples targets from the model, and the likelihood '
            f"{type(cohort.data.task).__name__} of the data set '{cohort.member.dataset.kind}' defines no sample(); "
            'set  training.sigma = "descent"'
        )


def _check_budget(cohort: Cohort, state: State) -> None:
    """Warn if synapses cannot spend as little as they may, and if weights that grow make energy cheap."""
    if cohort.formulas.inference.allowance is None or not state.parameters.noisy:
        return
    _check_met(cohort, state)
    if len(cohort.shapes) > 1 and not cohort.formulas.held and _falls_with_scale(cohort, state):
        log.warning(
            "the energy of the cost '%s' falls as means and sigmas grow together, which hardly changes what a network "
            "with hidden layers computes: it can keep any budget by growing its weights. Hold the means "
            "(training.means), or choose a cost that depends on their ratio",
            cohort.member.cost.kind,
        )


def _check_met(cohort: Cohort, state: State) -> None:
    allowance, p = cohort.formulas.inference.allowance, state.parameters
    over = budget.numbers(cohort, p)["budget_excess"][-1]
    worst = int(over.abs().argmax())
    if allowance is None or len(p.free) > 1 or not over[worst].abs() > UNMET:
        return
    energy = float(allowance.energy[worst])
    log.warning(
        "where training starts, an energy budget of %.3g per %s cannot be met: with the cost '%s' and the noise '%s', "
        "synapses spend %.3g at %s, whatever sigma is; choose another inference.energy, or other prices",
        energy, allowance.per, cohort.member.cost.kind, cohort.member.noise.kind, energy * (1 + float(over[worst])),
        "least" if over[worst] > 0 else "most",
    )  # fmt: skip


def _falls_with_scale(cohort: Cohort, state: State) -> bool:
    """Whether the energy at twice the means and twice the sigmas is lower."""
    f, p = cohort.formulas, state.parameters
    mu, sigma = p.mu[0], f.sigmas(p)[0]
    return not f.quantal and bool((f.cost(2 * sigma, 2 * mu).sum(-1) < 0.99 * f.cost(sigma, mu).sum(-1)).any())


def _check_network(cohort: Cohort, state: State) -> None:
    x = cohort.data.x[:FEW]
    outputs = cohort.network.forward(cohort.layered(state.weights), x)
    wanted = x.new_zeros(len(cohort), len(x), *cohort.outputs)
    _compare(cohort.network, "forward", outputs, wanted)
    _check_speedups(cohort, cohort.layered(state.weights), x, wanted)
    _check_biases(cohort)


def _check_biases(cohort: Cohort) -> None:
    """Checked now because biases are used only after training."""
    marked = cohort.network.biases(cohort.inputs, cohort.outputs)
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
    for layer, (w, a, d) in enumerate(zip(weights, trace.inputs, trace.drives, strict=True), 1):
        _check_layer(network, w, a, d, len(x), f"for layer {layer}")


def _check_layer(network: Plugin, w: Tensor, inputs: Tensor, drives: Tensor, examples: int, which: str) -> None:
    """Check that the shapes of a trace fit the weights (member, [draws,] post, pre) of a layer."""
    positions, count = drives.shape[2:-1], w.shape[1:-2]
    fits = drives.ndim in (3, 4) and drives.shape == (len(w), examples, *positions, w.shape[-2])
    shared = (examples, *positions, w.shape[-1])
    if not fits or inputs.shape not in (shared, (len(w), *shared)):
        raise PluginError(
            _says(
                network,
                "trace",
                f"inputs {tuple(inputs.shape)} and drives {tuple(drives.shape)} {which}, whose "
                f"weights are {tuple(w.shape)}",
            )
        )
    if count and positions != count:
        raise PluginError(_says(network, "trace", f"{drives.shape[2]} positions {which}, which has {count[0]} draws"))


def _check_solvable(cohort: Cohort, state: State) -> None:
    """Raise UserError if sigma is to be solved for where more than one parameter, or a shared one, determines it."""
    free, solves = state.parameters.free, cohort.formulas.solves
    of_each = all(len(parts) == len(cohort.shapes) for parts in free.values())
    if solves and free and not (cohort.formulas.carries or (len(free) == 1 and of_each)):
        raise UserError(
            f"training.sigma = fixed_point: the noise '{cohort.member.noise.kind}' has the free parameters "
            f"{', '.join(free)}, but the solver needs one, of each synapse or one that alone determines sigma; use "
            "training.sigma = descent"
        )


def _check_noise(noise: Noise, formulas: Formulas, mu: Tensor, free: dict[str, Tensor]) -> Tensor:
    """sigma of a few synapses; checks what the noise computes for them."""
    for value in free.values():
        if value.shape not in (mu.shape, (len(mu), 1)):
            shape = tuple(value.shape)
            raise PluginError(_says(noise, "init", f"shape {shape} instead of (member, synapses) or (member, 1)"))
    if not free:
        return torch.zeros_like(mu)
    sigma = formulas.noise.sigma(mu, free)
    _compare(noise, "sigma", sigma, mu if sigma.shape == mu.shape else mu[:, :1])
    if not (sigma > 0).all():
        raise PluginError(_says(noise, "sigma", "standard deviations that are not positive"))
    _compare(noise, "draw", formulas.noise.draw(mu, free, torch.full_like(mu[:1], 0.3)), mu)
    return sigma.expand_as(mu)


def _check_costs(member: Any, formulas: Formulas, mu: Tensor, free: dict[str, Tensor], sigma: Tensor) -> None:
    inference, quanta = formulas.inference, formulas.quanta(mu, free)
    price = formulas.cost.given(quanta) if free else formulas.cost
    asked: list[tuple[Plugin, str, Callable[[], Any]]] = [
        (member.inference, "magnitude_cost", lambda: inference.magnitude_cost(mu, sigma))
    ]
    if free:
        method = "vesicle_energy" if formulas.quantal else "energy"
        asked = [
            (member.cost, method, lambda: price(sigma, mu) if quanta else formulas.cost.energy(sigma, mu)),
            *asked,
            (member.inference, "reliability_cost", lambda: inference.reliability_cost(mu, sigma, price)),
        ]
    for plugin, method, ask in asked:
        _compare(plugin, method, ask(), mu)


def _check_release(cohort: Cohort, state: State) -> None:
    """Raise UserError if synapses have several release sites where the optimizer knows one."""
    f, p, member = cohort.formulas, state.parameters, cohort.member
    found = [f.noise.quanta(mu, free) for mu, free in zip(p.mu, p.freely(), strict=True)] if f.optimizer.quantal else []
    if any(quanta is not None and bool((quanta.n != 1).any()) for quanta in found):
        raise UserError(
            f"the optimizer '{member.optimizer.kind}' moves synapses with a single release site, and those of the "
            f"noise '{member.noise.kind}' have several; choose a noise with one, as 'bernoulli'"
        )


def _check_optimizer(cohort: Cohort, state: State) -> None:
    """Checks what is remembered of each parameter; a step is checked where it is compiled, by being taken."""
    for parameter in state.parameters.means:
        for memory in parameter.memory:
            _compare(cohort.member.optimizer, "init", memory, parameter.value)


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
