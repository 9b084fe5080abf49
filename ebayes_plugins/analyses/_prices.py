"""What a network's cost asks for a sigma, also where it is a cost of vesicles and the noise tells their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebayes_core.contract.slots import Noise

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price

FAR = 80.0  #: free parameters are searched for between minus and plus this


def price_in_sigma(noise: Noise, cost: Any) -> Price:
    """The cost as a function of sigma and mu, (synapses,) each and in double precision."""
    if not cost.quantal:
        return cost
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
    return {name: middle + (sigma - at(middle).detach()) / derivative}
