"""Objectives: energy efficiency (Eq. 2-4) and variational Bayes (Appendix 4), on the same scale."""

from __future__ import annotations

import math
from abc import ABC
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ebayes_core.contract.inference import Per
from ebayes_core.contract.slots import Allowance, Inference

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price


class AbstractEnergy(Inference, ABC):
    """Loss, magnitude cost and reliability cost (Eq. 2-4)."""

    magnitude: float = Field(1e-4, ge=0, le=1e6, description="lambda, magnitude cost per unit of |mu| (Eq. 3)")

    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """lambda |mu| (Eq. 3)."""
        return self.magnitude * mu.abs()

    def log_prior(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """log(lambda / 2) - lambda E|w|, of the Laplace prior (Eq. 39); -inf at lambda = 0, where it is improper.

        With E|w| instead of |mu| the bound of Eq. 49 is strict (Jensen's inequality).
        """
        from ebayes_core.contract.functions import expected_abs  # imported here because torch takes two seconds

        rate = self.magnitude + 0 * mu
        return (rate / 2).log() - rate * expected_abs(mu, sigma)

    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """c energy(sigma) (Eq. 4)."""
        return cost(sigma, mu)


class EnergyEfficient(AbstractEnergy):
    """Energy-efficient objective: loss, magnitude cost and reliability cost (Eq. 2-4)."""

    kind: Literal["energy_efficient"] = "energy_efficient"


class Budget(AbstractEnergy):
    """Energy budget: the least loss with which the synapses that share a budget spend a given energy.

    In place of the multiplier of the cost, which then follows from the budget.
    """

    kind: Literal["budget"] = "budget"
    energy: float = Field(1.0, gt=0, le=1e9, description="mean energy of a synapse, in the units of the cost")
    per: Per = Field(
        "network",
        description="which synapses share a budget: all, those of a layer, those onto a neuron (a row of the weights), "
        "or each for itself",
    )

    @property
    def allowance(self) -> Allowance:
        """The budget."""
        return Allowance(self.energy, self.per)


class VariationalBayes(Inference):
    """Variational Bayes, minus the evidence lower bound: KL(Q || prior) instead of the energy (Eq. 33-41).

    The cost of the spec is not part of the objective; it is only evaluated for the report.
    """

    kind: Literal["variational_bayes"] = "variational_bayes"
    gaussian: ClassVar[bool] = True
    prior: Literal["laplace", "gaussian"] = Field("laplace", description="family of the prior on each weight")
    scale: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="scale of the prior: 1/lambda for laplace (Eq. 38), standard deviation for gaussian",
    )

    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """-E_Q log P(w), constants included, so that the sum of both terms is the KL divergence."""
        from ebayes_core.contract.functions import expected_abs

        if self.prior == "laplace":
            return expected_abs(mu, sigma) / self.scale + (2 * self.scale + 0 * mu).log()
        variance = self.scale**2 + 0 * mu
        return 0.5 * ((mu**2 + sigma**2) / variance + (2 * math.pi * variance).log())

    def log_prior(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """E_Q log P(w), minus the magnitude cost."""
        return -self.magnitude_cost(mu, sigma)

    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """-H[Q] = -log(2 pi e sigma^2) / 2 (Eq. 41)."""
        from ebayes_core.contract.functions import entropy_cost

        return entropy_cost(sigma)
