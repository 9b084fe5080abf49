"""The plugins of a network in a results file, and what its cost asks for a sigma, a cost of vesicles too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebayes_core.contract.registry import in_use
from ebayes_core.contract.slots import Noise
from ebayes_core.trained.plugins import plugin as known

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price

FAR = 35.0  #: free parameters are searched for between minus and plus this, where 1 - p differs from 0


def plugin(spec: dict[str, Any], slot: str) -> Any:
    """The plugin in a slot of a network's resolved spec. Raises UserError if it is not installed."""
    return known(spec, slot, in_use())


def price_in_sigma(spec: dict[str, Any]) -> Price:
    """A network's cost as a function of sigma and mu, (synapses,) each and in double precision."""
    cost = plugin(spec, "cost")
    if not cost.quantal:
        return cost
    noise = plugin(spec, "noise")
    return lambda sigma, mu: cost.given(noise.quanta(mu, free_at(noise, mu, sigma)))(sigma, mu)


def free_at(noise: Noise, mu: Tensor, sigma: Tensor) -> dict[str, Tensor]:
    """The only free parameter at which weights of these means have these standard deviations, (synapses,).

    Found by bisection; the result has the derivative in sigma that the inverse function has.
    """
    import torch

    (name,) = noise.init(mu[None])
    at = lambda value: noise.sigma(mu, {name: value})
    low, high = torch.full_like(mu, -FAR), torch.full_like(mu, FAR)
    rises = at(high) > at(low)
    for _ in range(80):
        middle = (low + high) / 2
        up = (at(middle) < sigma) == rises
        low, high = torch.where(up, middle, low), torch.where(up, high, middle)
    with torch.enable_grad():
        leaf = middle.detach().requires_grad_()
        (derivative,) = torch.autograd.grad(at(leaf).sum(), leaf)
    return {name: middle + (sigma - sigma.detach()) / derivative}
