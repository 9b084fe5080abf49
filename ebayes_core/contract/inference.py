"""The slot `inference`: what the objective adds to the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor

    from ebayes_core.contract.cost import Price

    Memory = Mapping[str, Tensor]  #: what is remembered of each synapse, by name


Per = Literal["network", "layer", "neuron", "synapse"]


class Allowance(NamedTuple):
    """An energy budget in place of a multiplier."""

    energy: Any  #: mean energy of a synapse, before the multiplier
    per: Per  #: which synapses share a budget; those onto a neuron are a row of the weights


class Stage(NamedTuple):
    """What is known of each synapse when a stage of training ends, such as one of several tasks in a row."""

    mu: Tensor
    sigma: Tensor  #: 0 without noise
    #: true Fisher information of the mean, summed over the stage's examples (1 / weight^2); where several synapses
    #: share the mean, it is divided by their number, by which the costs are multiplied
    fisher: Tensor


class Inference(Plugin):
    """The terms that the objective adds to the expected loss on the data set.

    Both terms are elementwise and are summed over synapses; they are on the scale of the negative log-likelihood summed
    over the whole training set.
    """

    slot: ClassVar[str] = "inference"
    gaussian: ClassVar[bool] = False
    """Whether its terms hold for normal weights only."""
    pays: ClassVar[bool] = True
    """Whether `reliability_cost` charges the cost of the spec; otherwise that is only evaluated for the report."""
    needs_noise: ClassVar[bool] = False
    """Whether it means nothing for a network without noise."""
    needs_fisher: ClassVar[bool] = False
    """Whether `remember` uses `Stage.fisher`, which takes a pass over the data of each stage; otherwise that is 0."""

    @abstractmethod
    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """Magnitude cost (Eq. 3), or minus the expected log prior (Eq. 38), elementwise (nat). sigma may be 0."""

    @abstractmethod
    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Price) -> Tensor:
        """Reliability cost (Eq. 4), or minus the entropy of the weights (Eq. 41), elementwise (nat). sigma > 0."""

    def nothing_yet(self, mu: Tensor) -> dict[str, Tensor]:
        """What is remembered of each synapse before the first stage has ended, by name, shaped as mu.

        Empty for an inference without memory.
        """
        return {}

    def remember(self, memory: Memory, stage: Stage) -> dict[str, Tensor]:
        """What is remembered after a stage, elementwise, under the same names."""
        return dict(memory)

    def consolidation_cost(self, mu: Tensor, sigma: Tensor, memory: Memory) -> Tensor:
        """What it costs to leave what earlier stages have taught, elementwise (nat): a third term of the objective.

        It is 0 with what `nothing_yet` returns, and not asked for where training has one stage. sigma may be 0.
        """
        return 0 * mu

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
