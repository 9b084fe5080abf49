"""Plugins that are correct except for one value, region or derivative that is not finite."""

from __future__ import annotations

from typing import Literal

import pluggy
import torch
from pydantic import Field

from ebayes_core.contract.slots import Cost, Inference, Network, Noise

hook = pluggy.HookimplMarker("ebayes")


class Ratio(Cost):
    """Not differentiable where a mean is 0."""

    kind: Literal["ratio"] = "ratio"

    def energy(self, sigma, mu):
        return (mu.abs() / sigma) ** 0.4


class Smooth(Cost):
    """The same, made differentiable."""

    kind: Literal["smooth"] = "smooth"

    def energy(self, sigma, mu):
        return ((mu**2 + 1e-6) ** 0.5 / sigma) ** 0.4


class Bounded(Cost):
    """NaN for large sigma."""

    kind: Literal["bounded"] = "bounded"
    most: float = Field(0.02, gt=0, le=10, description="sigma from which on it is no number")

    def energy(self, sigma, mu):
        return 1 / sigma + 1e-6 * (1 - sigma / self.most).sqrt()


class Gap(Cost):
    """NaN in a band of sigma."""

    kind: Literal["gap"] = "gap"

    def energy(self, sigma, mu):
        return torch.where((sigma > 0.1) & (sigma < 1), torch.nan, 1.0) / sigma


class Pole(Cost):
    """Infinite where a mean is 0."""

    kind: Literal["pole"] = "pole"

    def energy(self, sigma, mu):
        return 1 / (sigma * mu.abs())


class Cancelled(Cost):
    """A difference that vanishes in single precision."""

    kind: Literal["cancelled"] = "cancelled"

    def energy(self, sigma, mu):
        return 1 / sigma - (1 + sigma**2 - 1).sqrt()


class Rooted(Inference):
    """A magnitude cost that is not differentiable where a mean is 0."""

    kind: Literal["rooted"] = "rooted"

    def magnitude_cost(self, mu, sigma):
        return 1e-3 * mu.abs().sqrt()

    def reliability_cost(self, mu, sigma, cost):
        return cost(sigma, mu)


class Cut(Inference):
    """A reliability cost that is NaN for large sigma, although the cost itself is finite."""

    kind: Literal["cut"] = "cut"
    most: float = Field(0.02, gt=0, le=10, description="sigma from which on it is no number")

    def magnitude_cost(self, mu, sigma):
        return 1e-3 * mu**2

    def reliability_cost(self, mu, sigma, cost):
        return cost(sigma, mu) + 1e-6 * (1 - sigma / self.most).sqrt()


class Burst(Noise):
    """A sigma that is NaN beyond some phi."""

    kind: Literal["burst"] = "burst"
    most: float = Field(-4.0, ge=-9, le=10, description="phi from which on it is no number")

    def init(self, mu):
        return {"phi": 0 * mu - 5}

    def sigma(self, mu, free):
        phi = free["phi"]
        return phi.exp() * torch.where(phi > self.most, torch.nan, 1.0)


class Breaking(Network):
    """A readout whose outputs, or only their gradients, are NaN once a weight is large."""

    kind: Literal["breaking"] = "breaking"
    fault: Literal["outputs", "slopes"] = "outputs"
    most: float = 1.0

    def shapes(self, inputs, outputs):
        return [(*outputs, inputs[0] + 1)]

    def forward(self, weights, x):
        (w,) = weights
        out = x @ w[..., :-1].transpose(1, 2) + w[..., None, :, -1]
        return torch.where(self._broken(w), torch.nan, out) if self.fault == "outputs" else out

    def gradients(self, weights, x, residual, out):
        outputs = Network.gradients(self, weights, x, residual, out)
        if self.fault == "slopes":
            out[0].copy_(torch.where(self._broken(weights[0]), torch.nan, out[0]))
        return outputs

    def _broken(self, w):
        return w.abs().amax((1, 2), keepdim=True) > self.most


@hook
def ebayes_costs():
    return [Ratio, Smooth, Bounded, Gap, Pole, Cancelled]


@hook
def ebayes_inferences():
    return [Rooted, Cut]


@hook
def ebayes_noises():
    return [Burst]


@hook
def ebayes_networks():
    return [Breaking]
