"""Checks of formulas: costs, noise modes and inferences must be elementwise, differentiable and without state."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.contract.slots import Cost, Inference, Noise
from ebayes_core.engine.fixed_point import LARGEST
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Changed, Formula, attempt, check_table, keeps_arguments, quick, repeats, steady
from ebayes_core.testing.elementwise import DISTINCT, SHAPE, elementwise, keeps_device, keeps_the_form
from ebayes_core.testing.gradients import finite_at, slope_of, slopes, slopes_hold
from ebayes_core.testing.strategies import corners, mus, siblings, sigmas, tensor

#: round numbers, which are often the thresholds of formulas
_ROUND = [m * 10.0**k for k in range(-6, 3) for m in (1, 2, 5)]
USUAL = {
    "sigma": torch.tensor([*_ROUND, 1e3], dtype=torch.float64),
    "mu": torch.tensor([0.0, 1e-3, -0.05, 0.1, -1.0, 3.0], dtype=torch.float64),
    "phi": torch.linspace(-20, 20, 81, dtype=torch.float64),
}
NEAR = 1e-2  #: for a mean below this, the energy may be zero

sigma_tensors = tensor(sigmas(), *SHAPE)
mu_tensors = tensor(mus(), *SHAPE)


def check_cost(cls: type[Cost]) -> None:
    """Check that a cost is elementwise, decreases with sigma, and has the gradient of its values (Eq. 4)."""
    check_table(cls, Cost)
    energy: Formula = lambda p, sigma, mu: p.energy(sigma, mu)
    changed = Changed(cls)

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    @steady
    def holds(pair: list[Cost], sigma: Tensor, mu: Tensor) -> None:
        formula_holds(f"{cls.__name__}.energy", energy, pair, sigma=sigma, mu=mu)
        _falls(f"{cls.__name__}.energy", pair, mu)

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Cost, Cost], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: p(sigma, mu))

    holds()
    for plugin in corners(cls):
        finite_at(f"{cls.__name__}.energy", energy, [plugin], sigma=USUAL["sigma"], mu=USUAL["mu"])
    fields_matter()
    changed.all_seen()


def check_noise(cls: type[Noise]) -> None:
    """Check that a noise mode has finite initial values, and a sigma that is positive, increasing, elementwise and
    smooth.
    """
    check_table(cls, Noise)
    name, changed = cls.__name__, Changed(cls)

    @quick
    @given(siblings(cls), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    @steady
    def holds(pair: list[Noise], phi: Tensor, mu: Tensor) -> None:
        together = stack(pair, torch.float64)
        start = _start(f"{name}.init", together, mu)
        if start is None:
            return
        keeps_device(f"{name}.init", lambda p, m: p.init(m), pair, mu)
        first = attempt(f"{name}.sigma", together.sigma, start)
        assert bool((first > 0).all() and first.isfinite().all()), f"{name}: sigma(init(mu)) is not positive and finite"
        for i, alone in enumerate(pair):
            mine = attempt(f"{name}.init", stack([alone], torch.float64).init, mu[i : i + 1])
            assert mine is not None, f"{name}.init is None for a network alone, but not in a population"
            _close(f"{name}.init of a network differs if other networks are beside it", start[i : i + 1], mine)
        formula_holds(f"{name}.sigma", lambda p, x: p.sigma(x), pair, phi=phi)
        _rises(name, together, stack(pair, torch.float32))

    @changed.settings
    @given(changed.pairs(), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    def fields_matter(pair: tuple[str, Noise, Noise], phi: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.cat([_or_empty(p.init(mu)).flatten(), p.sigma(phi).flatten()]))

    holds()
    for plugin in corners(cls):
        finite_at(f"{name}.sigma", lambda p, x: p.sigma(x), [plugin], phi=USUAL["phi"])
    fields_matter()
    changed.all_seen()


def check_inference(cls: type[Inference]) -> None:
    """Check that an objective's terms are elementwise and differentiable, and the magnitude cost also without noise."""
    check_table(cls, Inference)
    from ebayes_core.contract.registry import Registry

    power_law: Any = Registry.load().kinds("cost")["power_law"]
    cost: Cost = power_law(c=0.3, rho=1.0)
    name, changed = cls.__name__, Changed(cls)
    terms: dict[str, Formula] = {
        "magnitude_cost": lambda p, sigma, mu: p.magnitude_cost(mu, sigma),
        "reliability_cost": lambda p, sigma, mu: p.reliability_cost(mu, sigma, cost),
    }

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    @steady
    def holds(pair: list[Inference], sigma: Tensor, mu: Tensor) -> None:
        for term, formula in terms.items():
            formula_holds(f"{name}.{term}", formula, pair, sigma=sigma, mu=mu)
        _silent_holds(f"{name}.magnitude_cost", stack(pair, torch.float64), mu)
        _prior_holds(f"{name}.log_prior", pair, mu, sigma)

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Inference, Inference], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.stack([f(p, sigma, mu) for f in terms.values()]))

    holds()
    for plugin in corners(cls):
        for term, formula in terms.items():
            finite_at(f"{name}.{term}", formula, [plugin], sigma=USUAL["sigma"], mu=USUAL["mu"])
    fields_matter()
    changed.all_seen()


def _start(name: str, together: Noise, mu: Tensor) -> Tensor | None:
    """The initial phi, checked for shape and type, and to be reproducible."""
    start = keeps_arguments(name, lambda m: attempt(name, together.init, m), mu)
    if start is None:
        return None
    assert isinstance(start, Tensor), f"{name} returned {type(start).__name__}, not a tensor or None (without noise)"
    ok = start.shape in (mu.shape, (len(mu), 1)) and start.dtype == mu.dtype
    found = f"{tuple(start.shape)} {start.dtype}"
    assert ok, f"{name} returned {found}: it must be (member, synapses) or (member, 1), of mu's type"
    repeats(name, lambda m: attempt(name, together.init, m), [mu], [[2 * mu], [mu / 2]])
    return start


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


def _silent_holds(name: str, together: Inference, mu: Tensor) -> None:
    """Check value and gradient at sigma = 0: without noise, the means are still trained."""
    silent: Formula = lambda p, mu: p.magnitude_cost(mu, torch.zeros_like(mu))
    for means in (mu, USUAL["mu"].expand(len(mu), -1)):
        value, slope = slopes(name, silent, together, [means])
        assert bool(value.isfinite().all()), f"{name} is not finite at sigma = 0, that is, without noise"
        assert bool(slope.isfinite().all()), f"{name} has no finite gradient in mu at sigma = 0, that is, without noise"


def formula_holds(name: str, formula: Formula, pair: list[Any], **arguments: Tensor) -> None:
    """Check everything that the engine requires of an elementwise formula; the messages say what."""
    keeps_the_form(name, formula, pair, *arguments)
    finite_at(name, formula, pair, **{n: USUAL[n] for n in arguments})
    together, values = stack(pair, torch.float64), list(arguments.values())
    value = keeps_arguments(name, lambda *a: attempt(name, formula, together, *a), *values)
    finite = f"{name} is not finite within the bounds of its fields: {pair[0]!r}, at {[a.tolist() for a in values]}"
    assert bool(value.isfinite().all()), finite
    elementwise(name, formula, pair, value, *values)
    for places in ({n: DISTINCT[n] for n in arguments}, arguments):
        slopes_hold(name, formula, together, **places)
    if "sigma" in arguments:
        slopes_hold(f"{name} differentiated", slope_of(formula), together, **{n: DISTINCT[n] for n in arguments})


def _falls(name: str, pair: list[Cost], mu: Tensor) -> None:
    """Check that reliability costs energy: it never increases with sigma and decreases wherever training may lead."""
    sigma = torch.logspace(-6, 3, 91, dtype=torch.float64).expand(len(pair), -1)
    mu = torch.where(mu[:, :1].abs() < NEAR, 1.0, mu[:, :1]).expand_as(sigma)  # near 0 the energy may be zero
    energy: Formula = lambda p, sigma: p.energy(sigma, mu)
    value, slope = slopes(name, energy, stack(pair, torch.float64), [sigma])
    rises = value.diff() > 1e-12 * value[:, 1:].abs()
    assert not bool(rises.any()), f"{name} increases with sigma somewhere: reliability must cost energy everywhere"
    assert bool((value[:, 0] > value[:, -1]).all()), f"{name} does not depend on sigma: it must decrease as sigma grows"
    flat = sigma[(slope >= 0) & (sigma <= LARGEST)]
    where = f"from sigma = {flat.min():.3g} to {flat.max():.3g}" if len(flat) else ""
    assert not len(flat), (
        f"{name} is constant {where}: there nothing drives sigma, which starts near 1e-4 and may reach {LARGEST:g}; "
        "it must decrease as sigma grows"
    )


def _rises(name: str, together: Any, single: Any) -> None:
    phi = torch.linspace(-20, 40, 601, dtype=torch.float64).expand(2, -1)
    sigma = together.sigma(phi)
    assert bool((sigma > 0).all()), f"{name}.sigma is not positive everywhere"
    assert bool(sigma.isfinite().all()), f"{name}.sigma is not finite everywhere"
    assert bool((sigma.diff() > 0).all()), f"{name}.sigma does not increase with phi everywhere"
    seen, met = single.sigma(phi.float()).double(), (sigma > USUAL["sigma"].min()) & (sigma < USUAL["sigma"].max())
    off = met & ((seen / sigma - 1).abs() > 1e-2)
    where = f"at phi = {phi[off][0]:.4g} it is {seen[off][0]:.3g} instead of {sigma[off][0]:.3g}" if off.any() else ""
    assert not where, f"{name}.sigma is inaccurate in single precision: {where}; use softplus, log1p or expm1 of torch"


def _close(message: str, a: Tensor, b: Tensor) -> None:
    found = f"{message}: {a.flatten()[0]:.8g} and {b.flatten()[0]:.8g}"
    assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-12), found


def _or_empty(value: Tensor | None) -> Tensor:
    return torch.empty(0, dtype=torch.float64) if value is None else value
