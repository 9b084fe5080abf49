"""Objectives: energy efficiency (Eq. 2-4) and variational Bayes (Appendix 4), on the same scale."""

from __future__ import annotations

import math
from abc import ABC
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ebayes_core.contract.inference import Per
from ebayes_core.contract.slots import Allowance, Inference, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price
    from ebayes_core.contract.inference import Memory


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


class ElasticWeightConsolidation(AbstractEnergy):
    """Elastic weight consolidation (Kirkpatrick et al. 2017): what mattered to earlier tasks is held by springs.

    Energy efficiency with a quadratic penalty on the distance of each mean from where the last task left it, in the
    online form of Schwarz et al. (2018): (strength / 2) F (mu - mu*)^2, where F is the sum over the tasks so far of the
    true Fisher information at the end of each, the older ones multiplied by the decay at each further task. With
    strength and decay 1, F is the precision of Laplace's approximation. The penalty is on mu: noise is not charged.
    """

    kind: Literal["elastic_weight_consolidation"] = "elastic_weight_consolidation"
    needs_fisher: ClassVar[bool] = True
    strength: float = Field(1.0, ge=0, le=1e9, description="factor of the penalty; 1 for Laplace's approximation")
    decay: float = Field(1.0, ge=0, le=1, description="share of the older Fisher information that each task leaves")

    def nothing_yet(self, mu: Tensor) -> dict[str, Tensor]:
        """No springs."""
        return {"anchor": 0 * mu, "importance": 0 * mu}

    def remember(self, memory: Memory, stage: Stage) -> dict[str, Tensor]:
        """The means as they are, and the Fisher information added to what is left of the older one."""
        return {"anchor": stage.mu, "importance": self.decay * memory["importance"] + stage.fisher}

    def consolidation_cost(self, mu: Tensor, sigma: Tensor, memory: Memory) -> Tensor:
        """(strength / 2) F (mu - mu*)^2."""
        return self.strength / 2 * memory["importance"] * (mu - memory["anchor"]) ** 2


class VariationalContinual(Inference):
    """Variational continual learning (Nguyen et al. 2018): the prior of each task is the posterior of the one before.

    The first prior is normal, with mean 0. Priors and posteriors have a mean and a standard deviation for each synapse.
    The cost of the spec is not part of the objective; it is only evaluated for the report.
    """

    kind: Literal["variational_continual"] = "variational_continual"
    pays: ClassVar[bool] = False
    gaussian: ClassVar[bool] = True
    needs_noise: ClassVar[bool] = True
    scale: float = Field(1.0, gt=0, le=1e6, description="standard deviation of the first prior")

    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """-E_Q log P(w) of the first prior, constants included."""
        return cross_entropy(mu, sigma, 0 * mu, self.scale + 0 * mu)

    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """-H[Q] = -log(2 pi e sigma^2) / 2 (Eq. 41)."""
        from ebayes_core.contract.functions import entropy_cost

        return entropy_cost(sigma)

    def nothing_yet(self, mu: Tensor) -> dict[str, Tensor]:
        """The first prior."""
        return {"prior_mean": 0 * mu, "prior_sd": self.scale + 0 * mu}

    def remember(self, memory: Memory, stage: Stage) -> dict[str, Tensor]:
        """The posterior."""
        return {"prior_mean": stage.mu, "prior_sd": stage.sigma}

    def consolidation_cost(self, mu: Tensor, sigma: Tensor, memory: Memory) -> Tensor:
        """What -E_Q log P(w) is more with the prior of now than with the first."""
        now = cross_entropy(mu, sigma, memory["prior_mean"], memory["prior_sd"])
        return now - self.magnitude_cost(mu, sigma)


def cross_entropy(mu: Tensor, sigma: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """-E log N(w; mean, sd^2) for a normal w, elementwise (nat)."""
    return ((mu - mean) ** 2 + sigma**2) / (2 * sd**2) + sd.log() + 0.5 * math.log(2 * math.pi)


class VariationalBayes(Inference):
    """Variational Bayes, minus the evidence lower bound: KL(Q || prior) instead of the energy (Eq. 33-41).

    The cost of the spec is not part of the objective; it is only evaluated for the report.
    """

    kind: Literal["variational_bayes"] = "variational_bayes"
    pays: ClassVar[bool] = False
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
