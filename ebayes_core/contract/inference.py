"""The slot `inference`: what the objective adds to the loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor

    from ebayes_core.contract.cost import Price


Per = Literal["network", "layer", "neuron", "synapse"]


class Allowance(NamedTuple):
    """An energy budget in place of a multiplier."""

    energy: Any  #: mean energy of a synapse, before the multiplier
    per: Per  #: which synapses share a budget; those onto a neuron are a row of the weights


class Inference(Plugin):
    """The terms that the objective adds to the expected loss on the data set.

    Both terms are elementwise and are summed over synapses; they are on the scale of the negative log-likelihood summed
    over the whole training set.
    """

    slot: ClassVar[str] = "inference"
    gaussian: ClassVar[bool] = False
    """Whether its terms hold for normal weights only."""

    @abstractmethod
    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """Magnitude cost (Eq. 3), or minus the expected log prior (Eq. 38), elementwise (nat). sigma may be 0."""

    @abstractmethod
    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """Reliability cost (Eq. 4), or minus the entropy of the weights (Eq. 41), elementwise (nat). sigma > 0."""

    @property
    def allowance(self) -> Allowance | None:
        """The energy that synapses may spend, from which the multiplier follows; None if the cost has its own."""
        return None

    def log_prior(self, mu: Tensor, sigma: Tensor) -> Tensor | None:
        """E_Q log P(w) under the prior that the magnitude cost represents (Eq. 38-40), elementwise (nat); None without
        one.

        With it the report states the ELBO and the bound that follows from the objective (Eq. 49).
        """
        return None

    def penalty(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """The sum of both terms, elementwise (nat)."""
        return self.magnitude_cost(mu, sigma) + self.reliability_cost(mu, sigma, cost)
