"""All measurements on a trained cohort, collected into one result per network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebayes_core.contract.functions import entropy_cost
from ebayes_core.engine import budget
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.evaluation import evaluate, reliability_costs, spread, stage_accuracies
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.engine.stacking import stack
from ebayes_core.measure import bound, convergence, probes
from ebayes_core.results.record import FREE, MemberResult

Layers = dict[str, list[Tensor]]


@torch.no_grad()
def measure(cohort: Cohort, state: State) -> list[MemberResult]:
    """Test scores, sigma, costs, the bound, curvature and the convergence report of every network.

    If training has stages, on the data of the last one, and the accuracy for each.
    """
    p = state.parameters
    by_stage = stage_accuracies(cohort, p, "accuracy_mean")
    cohort = cohort.at_stage(cohort.data.stages - 1)
    noise = generator(cohort.seed, MEASURE, device=cohort.device)
    found = convergence.projections(cohort, p, noise)
    nll, nll_error = convergence.expected_loss(cohort, found)
    scores = evaluate(cohort, p, noise)  # before what draws once per chunk: scores must not depend on the chunks
    layers = _synapses(cohort, p, noise)
    curves = {name: torch.stack([point[name] for point in state.curves]) for name in state.curves[0]}
    by_layer = {
        **convergence.balance(cohort, p, found),
        **_layer_sizes(cohort, p, layers),
        **budget.numbers(cohort, p),
        **convergence.margins(cohort, p, found),
    }
    metrics = {
        **scores,
        **by_stage,
        **_sigma(cohort, p, layers),
        **free_energy(cohort, p, nll),
        "nll_train_error": nll_error,
        **{name: values[-1] for name, values in by_layer.items()},
        "sigma_motion": convergence.motion(curves["sigma_log_mean"]),
        "n_examples": torch.full((len(cohort),), cohort.data.examples),
    }
    per_layer = {name: values[:-1] for name, values in by_layer.items()}
    return [_member(i, cohort, state, metrics, curves, layers, per_layer) for i in range(len(cohort))]


def _member(
    i: int,
    cohort: Cohort,
    state: State,
    metrics: dict[str, Tensor],
    curves: dict[str, Tensor],
    layers: Layers,
    per_layer: dict[str, Tensor],
) -> MemberResult:
    """The part of the cohort's measurements that belongs to one network."""
    status = f"diverged {state.died[i]}" if i in state.died else "done"
    return MemberResult(
        status=status,
        metrics={name: float(values[i]) for name, values in metrics.items()},
        curves={name: values[:, i].double().cpu().numpy() for name, values in curves.items()},
        layers=[
            {name: parts[layer][i].cpu().numpy() for name, parts in layers.items()}
            for layer in range(len(cohort.shapes))
        ],
        layer_metrics={name: values[:, i].double().cpu().numpy() for name, values in per_layer.items()},
    )


def _synapses(cohort: Cohort, p: Parameters, noise: torch.Generator) -> Layers:
    """Everything known about each synapse, per layer (member, *shape)."""
    layers: Layers = {
        "mu": cohort.layered(p.mu),
        "sigma": cohort.layered(cohort.formulas.sigmas(p)),
        **_free(cohort, p),
        **_quanta(cohort, p),
        **_multipliers(cohort, p),
        **probes.curvature(cohort, p, noise),
        **probes.inputs(cohort, p, noise),
    }
    empirical = [g.flatten(1).sqrt() for g in layers["fisher_empirical_mean"]]
    layers["learning_rate_rms"] = _rates(cohort, p, empirical)
    layers["learning_rate_authors"] = _rates(cohort, p, convergence.absolute_gradients(cohort, p, noise))
    return {**layers, **probes.held_out(cohort, p, noise)}


def _free(cohort: Cohort, p: Parameters) -> Layers:
    """The free parameters of each synapse where mu and sigma do not tell how its weight is drawn."""
    if cohort.formulas.noise.gaussian():
        return {}
    each = p.freely()
    found = {name: [free[name].expand_as(mu) for mu, free in zip(p.mu, each, strict=True)] for name in p.free}
    return {FREE + name: cohort.layered(parts) for name, parts in found.items()}


def _quanta(cohort: Cohort, p: Parameters) -> Layers:
    """Release sites, probability and quantal size of each synapse, if the noise has them or the cost implies them."""
    f = cohort.formulas
    own = f.noise.quanta if f.noise.quantal() else lambda mu, free: f.cost.quanta(f.sigma(mu, free), mu)
    found = [own(mu, free) for mu, free in zip(p.mu, p.freely(), strict=True)] if p.noisy else []
    columns = list(zip(*(q for q in found if q), strict=True))
    if not columns:
        return {}
    names = ("release_sites", "release_probability", "quantal_size")
    return {
        name: cohort.layered([t.to(cohort.dtype).contiguous() for t in parts])
        for name, parts in zip(names, columns, strict=True)
    }


def _multipliers(cohort: Cohort, p: Parameters) -> Layers:
    """The multiplier of each synapse, where budgets decide it."""
    found = [c.expand_as(mu).contiguous() for c, mu in zip(p.multipliers, p.mu, strict=True)] if p.multipliers else []
    return {"multiplier": cohort.layered(found)} if found else {}


def _rates(cohort: Cohort, p: Parameters, gradient: list[Tensor]) -> list[Tensor]:
    """The optimizer's effective learning rate of each synapse, from the typical size of its gradient."""
    rate, n, sigmas = cohort.formulas.optimizer.rate, cohort.data.examples, cohort.formulas.sigmas(p)
    if cohort.others:  # a step is scaled by the variance of another synapse
        sigmas = [sigma[:, other] for sigma, other in zip(sigmas, cohort.others, strict=True)]
    return cohort.layered([rate(*of, n) for of in zip(gradient, p.mu, sigmas, strict=True)])


def _curved(layers: Layers) -> list[Tensor]:
    """Which synapses are not flat; a flat synapse has no finite optimal sigma. (member, synapses) per layer.

    Gauss-Newton is exactly zero for a flat synapse: a silent input or a dead unit is one of its factors.
    """
    known = (f"{name}_noise" for name in ("gauss_newton", "fisher_true", "fisher_empirical"))
    best = next(name for name in known if name in layers)
    return [h.flatten(1) > 0 for h in layers[best]]


def _layer_sizes(cohort: Cohort, p: Parameters, layers: Layers) -> dict[str, Tensor]:
    """Numbers of synapses, copies, flat synapses, median sigma and RMS mean; (layer + 1, member), the network last."""
    sigmas = [s.flatten(1) for s in layers["sigma"]]
    curved, every = _curved(layers), torch.cat(sigmas, 1)
    count = torch.tensor([*cohort.sizes, sum(cohort.sizes)])[:, None].expand(-1, len(cohort)).double()
    paid = torch.tensor([n * size for n, size in zip(cohort.copies, cohort.sizes, strict=True)])
    flat = [(~c).sum(-1) for c in curved]
    return {
        "n_copies": torch.cat([paid, paid.sum(0, keepdim=True)])[:, None] / count,
        "n_synapses": count,
        "flat_synapses": torch.stack([*flat, torch.stack(flat).sum(0)]).double(),
        # contiguous: the median of an expanded tensor (homogeneous noise) reads uninitialised memory in torch 2.14
        "sigma_median": torch.stack([s.contiguous().median(-1).values for s in (*sigmas, every)]).double(),
        "mu_rms": torch.stack([m.square().mean(-1).sqrt() for m in (*p.mu, torch.cat(p.mu, 1))]).double(),
    }


def _sigma(cohort: Cohort, p: Parameters, layers: Layers) -> dict[str, Tensor]:
    """Statistics of sigma, and the reliability cost."""
    sigma = torch.cat([s.flatten(1) for s in layers["sigma"]], 1)
    curved = torch.cat(_curved(layers), 1)
    sizes = {
        **spread(sigma),
        "sigma_rms_curved": ((sigma**2 * curved).sum(-1) / curved.sum(-1)).sqrt(),
        "sigma_rms_weights": _rms_without_biases(cohort, sigma),
        "stuck_fraction": _stuck(cohort, p, sigma),
    }
    nothing = torch.full((len(cohort),), math.nan, device=sigma.device)
    none = dict.fromkeys(("reliability_cost", "reliability_cost_at_rms"), nothing)
    return sizes | (reliability_costs(cohort, p) if p.noisy else none)


def _rms_without_biases(cohort: Cohort, sigma: Tensor) -> Tensor:
    """RMS over the weights that are not biases; NaN if the architecture does not tell, or has no others."""
    biases = cohort.network.biases(cohort.inputs, cohort.outputs)
    if biases is None:
        return torch.full((len(cohort),), math.nan, device=sigma.device)
    kept = ~torch.cat([b.flatten() for b in biases]).to(sigma.device)
    return sigma[:, kept].square().mean(-1).sqrt()


def _stuck(cohort: Cohort, p: Parameters, sigma: Tensor) -> Tensor:
    """Share of synapses whose sigma is still within a factor of 2 of its initial value; NaN if budgets decide that."""
    if not p.noisy or p.multipliers:
        return torch.full((len(cohort),), math.nan, device=sigma.device)
    noise, mu = cohort.formulas.noise, torch.cat(p.mu, 1)
    start = noise.sigma(mu, noise.init(mu))
    return ((sigma / start).log().abs() < math.log(2)).to(sigma.dtype).mean(-1)


def free_energy(cohort: Cohort, p: Parameters, nll: Tensor) -> dict[str, Tensor]:
    """The ELBO, the bound -(objective) - const below it, and the slack between them (Eq. 33-49), in float64 (nat).

    nll: expected loss over the training set under the noise, (member,). NaN if the magnitude cost corresponds to
    no proper prior or is joined by a memory of earlier stages, if weights are not normal, whose entropy this is, or if
    no constant makes the energy a bound.
    """
    cost, inference = (
        stack([getattr(point.member, name) for point in cohort.points], torch.float64, cohort.device)
        for name in ("cost", "inference")
    )
    mu, sigma = (torch.cat(t, 1).double() for t in (p.mu, cohort.formulas.sigmas(p)))
    n = torch.cat([mu.new_full((k,), c) for k, c in zip(cohort.sizes, cohort.copies, strict=True)])
    magnitude = (n * inference.magnitude_cost(mu, sigma)).sum(-1)
    log_prior = inference.log_prior(mu, sigma)
    known = {"nll_train": nll, "magnitude_cost": magnitude}
    if (
        not p.noisy
        or log_prior is None
        or p.remembered
        or not cohort.formulas.noise.gaussian()
        or cohort.formulas.quantal
    ):
        return known | dict.fromkeys(("elbo", "bound", "slack"), torch.full_like(nll, math.nan))
    c = torch.cat([t.expand_as(m) for t, m in zip(p.multipliers, p.mu, strict=True)], 1) if p.multipliers else 1.0
    energy = lambda s: inference.reliability_cost(mu, s, lambda sigma, mu: c * cost(sigma, mu))
    slack = (n * (energy(sigma) + bound.constant(energy, sigma) - entropy_cost(sigma))).sum(-1)
    elbo = -nll + (n * (log_prior - entropy_cost(sigma))).sum(-1)
    elbo = torch.where(elbo.isfinite(), elbo, torch.nan)
    return known | {"elbo": elbo, "bound": elbo - slack, "slack": slack}
