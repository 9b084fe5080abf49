"""The contract: one abstract base per plugin slot, and the hook that registers its kinds.

A plugin is a frozen, closed Pydantic class with a `kind`. Its fields are its table in the spec, its
methods are its formula. Formulas are written for one network: the engine stacks K members into tensors
with a leading `member` axis, turns every float field into a tensor that broadcasts over it, and
differentiates. Write them with tensor methods and operators, never with `math` or `float()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import pluggy
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:  # torch takes two seconds to import: a misspelt spec should not wait for it
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from ebayes_core.contract.claim import Claim
    from ebayes_core.contract.likelihoods import Task
    from ebayes_core.results.reader import Run

hookspec = pluggy.HookspecMarker("ebayes")
hookimpl = pluggy.HookimplMarker("ebayes")


class Plugin(BaseModel, ABC):
    """What every slot shares: a frozen, closed table of bounded fields, chosen by its `kind`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    slot: ClassVar[str]
    kind: str


class Cost(Plugin):
    """The energy that a synapse pays to be reliable, per synapse (Eq. 4)."""

    slot: ClassVar[str] = "cost"
    c: float | None = Field(None, gt=0, le=1e12, description="multiplier of the cost; 1 where it is left out")

    @property
    def multiplier(self) -> Tensor | float:
        """The number c in front of the mechanism's energy."""
        return 1.0 if self.c is None else self.c

    @abstractmethod
    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Energy of each synapse, elementwise: tensors of one shape (member, ...) in, the same shape out.

        It falls as sigma grows; sigma > 0. The multiplier is applied outside.
        """

    def __call__(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Multiplier times energy, elementwise: what the objective is charged."""
        return self.multiplier * self.energy(sigma, mu)


class Noise(Plugin):
    """How the standard deviations sigma of a network's synapses hang on free parameters phi (Methods)."""

    slot: ClassVar[str] = "noise"

    @abstractmethod
    def init(self, mu: Tensor) -> Tensor | None:
        """Free parameters at the start; mu is (member, synapses) over the whole network.

        Shape (member, synapses) for one sigma per synapse, (member, 1) for one per network, and None for
        a network without noise.
        """

    @abstractmethod
    def sigma(self, phi: Tensor) -> Tensor:
        """Standard deviations, positive, finite and increasing in phi, elementwise."""


class Inference(Plugin):
    """What a network pays besides its expected loss on the data set: the other terms of the objective.

    Both terms are elementwise, are summed over synapses, and stand beside the negative log-likelihood summed
    over the whole training set.
    """

    slot: ClassVar[str] = "inference"

    @abstractmethod
    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """What the weights' size costs (Eq. 3), or minus their expected log prior (Eq. 38). sigma may be 0."""

    @abstractmethod
    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Cost) -> Tensor:
        """What reliability costs (Eq. 4), or minus the entropy of the weights (Eq. 41). sigma > 0."""

    def log_prior(self, mu: Tensor, sigma: Tensor) -> Tensor | None:
        """E_Q log P(w) of the prior that the magnitude cost stands for (Eq. 38-40), elementwise; None without one.

        With it the report states the ELBO and the bound that the overall cost gives (Eq. 49).
        """
        return None

    def penalty(self, mu: Tensor, sigma: Tensor, cost: Cost) -> Tensor:
        """Both terms together, elementwise."""
        return self.magnitude_cost(mu, sigma) + self.reliability_cost(mu, sigma, cost)


class Trace(NamedTuple):
    """What a network of linear layers did to a batch: enough for closed-form per-example gradients."""

    outputs: Tensor  #: (member, batch, outputs)
    inputs: list[Tensor]  #: per layer, (batch, pre) or (member, batch, pre), the constant one of the bias last
    drives: list[Tensor]  #: per layer, (member, batch, post), before the activation; in the autograd graph


class Network(Plugin):
    """A network as a function of its weights; a bias is a synapse from a unit that is always one (Eq. 6)."""

    slot: ClassVar[str] = "network"
    init: float = Field(0.1, gt=0, le=10, description="means start uniform in [-init, init]")

    @abstractmethod
    def shapes(self, inputs: int, outputs: int) -> list[tuple[int, ...]]:
        """Shape of each layer's weights, without the member axis; (post, pre + 1) for a linear layer."""

    def biases(self, inputs: int, outputs: int) -> list[Tensor] | None:
        """Which weights are biases, per layer a boolean tensor shaped as its weights; None says that nobody knows.

        The engine takes no column for a bias by itself: what it reports of the weights without them is NaN then.
        """
        return None

    @abstractmethod
    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, outputs) of inputs (batch, inputs) that all members share.

        weights: per layer, (member, *shape).
        """

    def trace(self, weights: list[Tensor], x: Tensor) -> Trace | None:
        """The forward pass with its inner quantities, if all layers are linear maps; else None."""
        return None

    def gradients(
        self, weights: list[Tensor], x: Tensor, residual: Callable[[Tensor], Tensor], out: list[Tensor]
    ) -> Tensor:
        """Write dLoss/dweights into `out` (shaped as weights) and return the outputs.

        residual maps the outputs to dLoss/doutputs. This default goes through autograd; a network may offer
        a faster one, which the tests compare with this.
        """
        import torch

        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            outputs = self.forward(leaves, x)
        for o, g in zip(out, torch.autograd.grad(outputs, leaves, residual(outputs.detach())), strict=True):
            o.copy_(g)
        return outputs.detach()


class Dataset(Plugin):
    """Examples and the task they set."""

    slot: ClassVar[str] = "dataset"

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, inputs), floating, and targets of the split "train" or "test".

        Targets are (examples,) int64 for classification, (examples, outputs) floating for regression. Two
        calls give the same values.
        """

    @abstractmethod
    def task(self) -> Task:
        """`Classification(classes)` or `Regression(outputs, noise_sd)`, of `ebayes_core.contract.likelihoods`."""


class Analysis(Plugin):
    """A figure and its numbers, from a results file alone."""

    slot: ClassVar[str] = "analysis"
    claims: ClassVar[tuple[Claim, ...]] = ()  #: what `ebayes claims` asks of the arrays that measure() returned

    @abstractmethod
    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """The numbers behind the figure, as named arrays; stored under /analyses/<kind>."""

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The numbers behind the figure for `ebayes show --statistics` and the page: columns of one length, by heading.

        A unit stands in the heading, in brackets. None for a figure without.
        """
        return {}

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """What was found in one sentence with its numbers, to stand first after a run; empty for nothing to say."""
        return ""

    @abstractmethod
    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Draw what measure() returned, and nothing else, into an empty figure."""


class Hooks(Protocol):
    """One hook per slot; each returns the classes that a distribution adds."""

    @hookspec
    def ebayes_costs(self) -> list[type[Cost]]:
        """Costs of reliability."""

    @hookspec
    def ebayes_noises(self) -> list[type[Noise]]:
        """Noise modes."""

    @hookspec
    def ebayes_inferences(self) -> list[type[Inference]]:
        """Objectives."""

    @hookspec
    def ebayes_networks(self) -> list[type[Network]]:
        """Architectures."""

    @hookspec
    def ebayes_datasets(self) -> list[type[Dataset]]:
        """Data sets."""

    @hookspec
    def ebayes_analyses(self) -> list[type[Analysis]]:
        """Analyses with their figures."""


HOOKS: dict[str, str] = {
    "cost": "ebayes_costs", "noise": "ebayes_noises", "inference": "ebayes_inferences",
    "network": "ebayes_networks", "dataset": "ebayes_datasets", "analysis": "ebayes_analyses",
}  # fmt: skip
BASES: dict[str, type[Plugin]] = {base.slot: base for base in (Cost, Noise, Inference, Network, Dataset, Analysis)}
