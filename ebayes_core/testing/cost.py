"""The check of costs: elementwise, differentiable, and reliability costs energy, in sigma or in vesicles."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from torch import Tensor

from ebayes_core.contract.slots import Cost, Quanta, VesicleCost
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Changed, check_table, quick, steady
from ebayes_core.testing.elementwise import DISTINCT
from ebayes_core.testing.formulas import falls, formula_holds, mu_tensors, sigma_tensors, usual
from ebayes_core.testing.gradients import finite_at, slopes
from ebayes_core.testing.strategies import corners, siblings

NEAR = 1e-2  #: for a mean below this, the energy may be zero
SMALLEST_SIZE = 1e-6  #: of a silent synapse, where a mixture has a cost that is about sigma beside one of vesicles


def check_cost(cls: type[Cost]) -> None:
    """Check that a cost is elementwise, decreases with sigma, and has the gradient of its values (Eq. 4).

    One that is about vesicles is checked as a function of n, p and q, and with its default fields it must decrease with
    sigma at a fixed mean and number of sites, that is, as the release probability falls.
    """
    check_table(cls, Cost)
    changed = Changed(cls)

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    @steady
    def holds(pair: list[Cost], sigma: Tensor, mu: Tensor) -> None:
        if pair[0].quantal:
            formula_holds(_name(pair[0], "vesicle_energy"), in_quanta, pair, **_release(sigma, mu)._asdict())
            _drives(_name(pair[0], "vesicle_energy"), stack(pair, torch.float64))
        if not pair[0].needs_quanta:
            formula_holds(_name(pair[0], "energy"), in_sigma, pair, sigma=sigma, mu=mu)
            _falls(_name(pair[0], "energy"), pair, mu)
            _keeps_its_exponent(_name(pair[0], "energy"), pair, DISTINCT["sigma"], DISTINCT["mu"])

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Cost, Cost], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: _prices(p, sigma, mu))

    holds()
    for plugin in corners(cls):
        if plugin.quantal:
            finite_at(_name(plugin, "vesicle_energy"), in_quanta, [plugin], **usual("n", "p", "q"))
        if not plugin.needs_quanta:
            finite_at(_name(plugin, "energy"), in_sigma, [plugin], **usual("sigma", "mu"))
    _falls_in_quanta(cls)
    fields_matter()
    changed.all_seen()


def in_sigma(cost: Cost, sigma: Tensor, mu: Tensor) -> Tensor:
    """The energy of a cost as a function of sigma and mu."""
    return cost.energy(sigma, mu)


def in_quanta(cost: Cost, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The energy of a cost as a function of n, p and q, from which a mixture takes sigma and mu."""
    if isinstance(cost, VesicleCost):
        return cost.vesicle_energy(n, p, q)
    sigma = (n * p * (1 - p)).sqrt() * q.abs().clamp_min(SMALLEST_SIZE)
    return cost.given(Quanta(n, p, q))(sigma, n * p * q)


def _name(cost: Cost, method: str) -> str:
    return f"{type(cost).__name__}.{method if isinstance(cost, VesicleCost) else 'energy'}"


def _prices(cost: Cost, sigma: Tensor, mu: Tensor) -> Tensor:
    """The energy in quanta, and that without, where there is one."""
    in_quanta = cost.given(_release(sigma, mu))(sigma, mu)
    return in_quanta if cost.needs_quanta else torch.cat([in_quanta, cost(sigma, mu)])


def _release(sigma: Tensor, mu: Tensor) -> Quanta:
    """Any n, p and q, from the numbers that are drawn for other costs."""
    return Quanta(1 + (7 * mu.abs()).round(), 1e-4 + 0.9998 * sigma / (1 + sigma), mu)


def _keeps_its_exponent(name: str, pair: list[Cost], sigma: Tensor, mu: Tensor) -> None:
    """Check that a cost that says that it is a power law of sigma is one."""
    together = stack(pair, torch.float64)
    if together.exponent is not None:
        once, twice = together.energy(sigma, mu), together.energy(2 * sigma, mu)
        right = torch.allclose(twice, once * 2.0 ** -torch.as_tensor(together.exponent, dtype=torch.float64), rtol=1e-9)
        assert right, f"{name} is not proportional to sigma ** -exponent, with the exponent that the cost names"


def _falls(name: str, pair: list[Cost], mu: Tensor) -> None:
    if not all(p.monotone for p in pair):
        return
    mu = torch.where(mu[:, :1].abs() < NEAR, 1.0, mu[:, :1])  # near 0 the energy may be zero
    falls(name, lambda p, sigma: p.energy(sigma, mu.expand_as(sigma)), stack(pair, torch.float64))


def _along(together: Any, silence: Tensor) -> Tensor:
    """The energy at a mean of 1 and 3 release sites, as a function of (1 - p) / p."""
    n, p = 3 + 0 * silence, 1 / (1 + silence)
    return in_quanta(together, n, p, 1 / (n * p))


def _silence(members: int) -> Tensor:
    return torch.logspace(-4, 3, 71, dtype=torch.float64).expand(members, -1)


def _drives(name: str, together: Any) -> None:
    """Check that the energy depends on the release probability everywhere: its price may rise or fall with it."""
    _, slope = slopes(name, _along, together, [_silence(2)])
    flat = (1 / (1 + _silence(2)))[slope == 0]
    where = f"from p = {flat.min():.3g} to {flat.max():.3g}" if len(flat) else ""
    assert not len(flat), f"{name} is constant at a fixed mean {where}: there nothing drives the release probability"


def _falls_in_quanta(cls: type[Cost]) -> None:
    if not issubclass(cls, VesicleCost):
        return
    name, together = f"{cls.__name__}.vesicle_energy", stack(corners(cls)[:1], torch.float64)
    value, slope = slopes(name, _along, together, [_silence(1)])
    assert bool((slope < 0).all() and (value.diff() < 0).all()), (
        f"{name} increases with sigma at a fixed mean and number of sites, that is, as p falls: reliability must cost "
        "energy"
    )
