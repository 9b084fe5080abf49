"""Checks of formulas: costs, noise modes and objectives are elementwise, differentiable, and hold nothing back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.population import stack
from ebayes_core.slots import Cost, Inference, Noise
from ebayes_core.testing.common import Changed, attempt, check_table, quick
from ebayes_core.testing.strategies import mus, siblings, sigmas, tensor

Formula = Callable[..., Tensor]
SHAPE = (2, 4)  #: members, synapses

sigma_tensors = tensor(sigmas(), *SHAPE)
mu_tensors = tensor(mus(), *SHAPE)


def check_cost(cls: type[Cost]) -> None:
    """A cost is elementwise, falls with sigma, and its gradient is that of its values (Eq. 4)."""
    check_table(cls, Cost)
    energy: Formula = lambda p, sigma, mu: p.energy(sigma, mu)
    changed = Changed(cls)

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    def holds(pair: list[Cost], sigma: Tensor, mu: Tensor) -> None:
        formula_holds(f"{cls.__name__}.energy", energy, pair, sigma, mu)
        _falls(f"{cls.__name__}.energy", pair, mu)

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Cost, Cost], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: p(sigma, mu))

    holds()
    fields_matter()
    changed.all_seen()


def check_noise(cls: type[Noise]) -> None:
    """A noise mode starts finite, and sigma is positive, increasing in phi, elementwise and smooth."""
    check_table(cls, Noise)
    name, changed = cls.__name__, Changed(cls)

    @quick
    @given(siblings(cls), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    def holds(pair: list[Noise], phi: Tensor, mu: Tensor) -> None:
        together, copy = stack(pair, torch.float64), mu.clone()
        start = attempt(f"{name}.init", together.init, mu)
        assert torch.equal(mu, copy), f"{name}.init changed its argument in place"
        if start is None:
            return
        ok = start.shape in (mu.shape, (len(mu), 1)) and start.dtype == mu.dtype
        found = f"{tuple(start.shape)} {start.dtype}"
        assert ok, f"{name}.init gave {found}: (member, synapses) or (member, 1) of mu's type is asked"
        _keeps_device(f"{name}.init", lambda p, m: p.init(m), pair, (mu,))
        first = attempt(f"{name}.sigma", together.sigma, start)
        assert bool((first > 0).all() and first.isfinite().all()), f"{name}: sigma(init(mu)) is not positive and finite"
        for i, alone in enumerate(pair):
            mine = stack([alone], torch.float64).init(mu[i : i + 1])
            _close(f"{name}.init of a member in a population is not that of the member alone", start[i : i + 1], mine)
        formula_holds(f"{name}.sigma", lambda p, x: p.sigma(x), pair, phi)
        _rises(name, together)

    @changed.settings
    @given(changed.pairs(), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    def fields_matter(pair: tuple[str, Noise, Noise], phi: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.cat([_or_empty(p.init(mu)).flatten(), p.sigma(phi).flatten()]))

    holds()
    fields_matter()
    changed.all_seen()


def check_inference(cls: type[Inference]) -> None:
    """An objective's terms are elementwise and differentiable, and the magnitude's holds without noise too."""
    check_table(cls, Inference)
    from ebayes_core.registry import Registry

    cost = Registry.load().kinds("cost")["power_law"](c=0.3, rho=1.0)
    name, changed = cls.__name__, Changed(cls)
    terms: dict[str, Formula] = {
        "magnitude_cost": lambda p, sigma, mu: p.magnitude_cost(mu, sigma),
        "reliability_cost": lambda p, sigma, mu: p.reliability_cost(mu, sigma, cost),
    }

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    def holds(pair: list[Inference], sigma: Tensor, mu: Tensor) -> None:
        for term, formula in terms.items():
            formula_holds(f"{name}.{term}", formula, pair, sigma, mu)
        _silent_holds(f"{name}.magnitude_cost", stack(pair, torch.float64), mu)
        prior = stack(pair, torch.float64).log_prior(mu, sigma)
        if prior is not None:
            assert prior.shape == mu.shape, f"{name}.log_prior must be elementwise, or None"
            _elementwise(f"{name}.log_prior", lambda p, m, s: p.log_prior(m, s), pair, prior, (mu, sigma))

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Inference, Inference], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.stack([f(p, sigma, mu) for f in terms.values()]))

    holds()
    fields_matter()
    changed.all_seen()


def _silent_holds(name: str, together: Inference, mu: Tensor) -> None:
    """Without noise sigma is 0, and the means still descend: a value and a slope are needed there."""
    leaf = mu.clone().requires_grad_()
    value = together.magnitude_cost(leaf, torch.zeros_like(mu))
    assert bool(value.isfinite().all()), f"{name} is not finite at sigma = 0, where noise is none"
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True, materialize_grads=True)
        assert bool(slope.isfinite().all()), f"{name} has no finite gradient in mu at sigma = 0, where noise is none"


def formula_holds(name: str, formula: Formula, pair: list[Any], *arguments: Tensor) -> None:
    """What the engine needs of any elementwise formula: see the messages."""
    together = stack(pair, torch.float64)
    copies = [a.clone() for a in arguments]
    value = attempt(name, formula, together, *arguments)
    assert isinstance(value, Tensor), f"{name} returned {type(value).__name__}, not a tensor"
    assert value.shape == SHAPE, f"{name} returned shape {tuple(value.shape)} for {SHAPE}: it must be elementwise"
    changed = any(not torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
    assert not changed, f"{name} changed its argument in place; use operators that make a new tensor"
    again = attempt(name, formula, together, *arguments)
    same = torch.equal(value.nan_to_num(), again.nan_to_num())
    assert same, f"{name} gave another value the second time: it keeps state"
    finite = f"{name} is not finite within the bounds of its fields: {pair[0]!r}, at {[a.tolist() for a in arguments]}"
    assert bool(value.isfinite().all()), finite
    _elementwise(name, formula, pair, value, arguments)
    _keeps_type(name, formula, pair, arguments)
    _keeps_device(name, formula, pair, arguments)
    _gradient(name, formula, together, arguments)


def _elementwise(name: str, formula: Formula, pair: list[Any], value: Tensor, arguments: tuple[Tensor, ...]) -> None:
    """Each synapse alone has the value that it has in the crowd."""
    message = f"{name} is not elementwise: a synapse alone has another value than among others"
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            one = attempt(name, formula, stack([pair[i]], torch.float64), *(a[i : i + 1, j : j + 1] for a in arguments))
            _close(message, value[i, j], one.sum())


def _keeps_type(name: str, formula: Formula, pair: list[Any], arguments: tuple[Tensor, ...]) -> None:
    for kind in (torch.float32, torch.float64):
        found = attempt(name, formula, stack(pair, kind), *(a.to(kind) for a in arguments)).dtype
        assert found == kind, f"{name} turns {kind} into {found}: a constant of a fixed type is in it"


def _keeps_device(name: str, formula: Formula, pair: list[Any], arguments: tuple[Tensor, ...]) -> None:
    """On the `meta` device nothing is computed, but a constant bound to the CPU is found."""
    try:
        found = formula(stack(pair, torch.float64, "meta"), *(a.to("meta") for a in arguments)).device.type
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(
            f"{name} fails on another device ({error}): make constants with mu.new_tensor or operators, and no number "
            "or decision from a tensor's values"
        ) from error
    assert found == "meta", f"{name} leaves its device: its result is on {found}"


def _gradient(name: str, formula: Formula, together: Any, arguments: tuple[Tensor, ...]) -> None:
    """autograd against central differences in float64, with a step relative to each argument."""
    leaves = [a.clone().requires_grad_() for a in arguments]
    total = formula(together, *leaves).sum()
    if not total.requires_grad:
        found = [torch.zeros_like(a) for a in arguments]
    else:
        found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    for which, slope in enumerate(found):
        assert bool(slope.isfinite().all()), f"{name}: its gradient in argument {which + 1} is not finite everywhere"
        step = 1e-6 * (1e-3 + arguments[which].abs())
        up, down = list(arguments), list(arguments)
        up[which], down[which] = arguments[which] + step, arguments[which] - step
        high, low = formula(together, *up), formula(together, *down)
        difference = (high - low) / (2 * step)
        rounding = 1e-14 * (high.abs() + low.abs()) / step
        kink = (high + low - 2 * formula(together, *arguments)).abs() / step  # at |mu| = 0 two slopes meet
        wrong = (slope - difference).abs() > 1e-3 * difference.abs() + 10 * rounding + kink + 1e-9
        assert not bool(wrong.any()), (
            f"{name}: autograd's gradient in argument {which + 1} is {slope[wrong][0]:.6g} where the values change by "
            f"{difference[wrong][0]:.6g}: a hand-written backward, detach() or no_grad() is wrong"
        )


def _falls(name: str, pair: list[Cost], mu: Tensor) -> None:
    """A reliable synapse costs more: energy does not rise with sigma, and falls over the whole range."""
    sigma = torch.logspace(-6, 3, 40, dtype=torch.float64).expand(len(pair), -1)
    value = stack(pair, torch.float64).energy(sigma, mu[:, :1].expand_as(sigma))
    rises = value.diff() > 1e-12 * value[:, 1:].abs()
    assert not bool(rises.any()), f"{name} rises with sigma somewhere: reliability must cost energy everywhere"
    assert bool((value[:, 0] > value[:, -1]).all()), f"{name} does not depend on sigma: it must fall as sigma grows"


def _rises(name: str, together: Any) -> None:
    phi = torch.linspace(-20, 40, 61, dtype=torch.float64).expand(2, -1)
    sigma = together.sigma(phi)
    assert bool((sigma > 0).all()), f"{name}.sigma is not positive everywhere"
    assert bool(sigma.isfinite().all()), f"{name}.sigma is not finite everywhere"
    assert bool((sigma.diff() > 0).all()), f"{name}.sigma does not increase with phi everywhere"


def _close(message: str, a: Tensor, b: Tensor) -> None:
    assert torch.allclose(a, b, rtol=1e-9, atol=1e-12), f"{message}: {a.flatten()[0]:.8g} and {b.flatten()[0]:.8g}"


def _or_empty(value: Tensor | None) -> Tensor:
    return torch.empty(0, dtype=torch.float64) if value is None else value
