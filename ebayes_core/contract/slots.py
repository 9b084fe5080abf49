"""The contract: one abstract base class per plugin slot, and the hook that registers its kinds.

A plugin is a frozen Pydantic class with a `kind` that forbids unknown fields. Its fields are its table in the spec, its
methods are its formulas. Formulas are written for one network: the engine stacks K networks into tensors with a leading
`member` axis, turns every float field into a tensor that broadcasts over it, and differentiates. Write them with tensor
methods and operators, never with `math` or `float()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import pluggy
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from ebayes_core.contract.claim import Claim
    from ebayes_core.contract.likelihoods import Task
    from ebayes_core.results.reader import Run

#: of every table in a spec
CLOSED = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
hookspec = pluggy.HookspecMarker("ebayes")
hookimpl = pluggy.HookimplMarker("ebayes")


class Plugin(BaseModel, ABC):
    """Base of all plugins: a frozen table of fields with bounds, which forbids unknown fields and is selected by
    `kind`.
    """

    model_config = CLOSED
    slot: ClassVar[str]
    kind: str


class Cost(Plugin):
    """The energy that a synapse spends on reliability (Eq. 4), before the multiplier c."""

    slot: ClassVar[str] = "cost"
    c: float | None = Field(None, gt=0, le=1e12, description="multiplier c of the energy; 1 if omitted")

    @property
    def multiplier(self) -> Tensor | float:
        """The multiplier c."""
        return 1.0 if self.c is None else self.c

    @abstractmethod
    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Energy of each synapse, elementwise: tensors of one shape (member, ...) in, the same shape out.

        It decreases with sigma; sigma > 0. The multiplier is applied elsewhere.
        """

    def __call__(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Multiplier times energy, elementwise (nat): the term of the objective."""
        return self.multiplier * self.energy(sigma, mu)


class Noise(Plugin):
    """How the standard deviations sigma of a network's synapses depend on the free parameters phi (Methods)."""

    slot: ClassVar[str] = "noise"

    @abstractmethod
    def init(self, mu: Tensor) -> Tensor | None:
        """Initial free parameters; mu is (member, synapses) over the whole network.

        Return shape (member, synapses) for heterogeneous noise, (member, 1) for homogeneous noise, and None for a
        deterministic network.
        """

    @abstractmethod
    def sigma(self, phi: Tensor) -> Tensor:
        """Standard deviations, positive, finite and increasing in phi, elementwise."""


class Inference(Plugin):
    """The terms that the objective adds to the expected loss on the data set.

    Both terms are elementwise and are summed over synapses; they are on the scale of the negative log-likelihood summed
    over the whole training set.
    """

    slot: ClassVar[str] = "inference"

    @abstractmethod
    def magnitude_cost(self, mu: Tensor, sigma: Tensor) -> Tensor:
        """Magnitude cost (Eq. 3), or minus the expected log prior (Eq. 38), elementwise (nat). sigma may be 0."""

    @abstractmethod
    def reliability_cost(self, mu: Tensor, sigma: Tensor, cost: Cost) -> Tensor:
        """Reliability cost (Eq. 4), or minus the entropy of the weights (Eq. 41), elementwise (nat). sigma > 0."""

    def log_prior(self, mu: Tensor, sigma: Tensor) -> Tensor | None:
        """E_Q log P(w) under the prior that the magnitude cost represents (Eq. 38-40), elementwise (nat); None without
        one.

        With it the report states the ELBO and the bound that follows from the objective (Eq. 49).
        """
        return None

    def penalty(self, mu: Tensor, sigma: Tensor, cost: Cost) -> Tensor:
        """The sum of both terms, elementwise (nat)."""
        return self.magnitude_cost(mu, sigma) + self.reliability_cost(mu, sigma, cost)


class Trace(NamedTuple):
    """Intermediate quantities of a network of linear layers on a batch, sufficient for per-example gradients."""

    outputs: Tensor  #: (member, batch, outputs)
    inputs: list[Tensor]  #: per layer, (batch, pre) or (member, batch, pre); the bias's constant one comes last
    drives: list[Tensor]  #: per layer, (member, batch, post), before the activation; in the autograd graph


class Network(Plugin):
    """An architecture: the outputs as a function of the weights. A bias is a synapse from a unit that is always 1 (Eq.
    6).
    """

    slot: ClassVar[str] = "network"
    init: float = Field(0.1, gt=0, le=10, description="initial means are uniform in [-init, init]")

    @abstractmethod
    def shapes(self, inputs: int, outputs: int) -> list[tuple[int, ...]]:
        """Shape of each layer's weights, without the member axis; (post, pre + 1) for a linear layer."""

    def biases(self, inputs: int, outputs: int) -> list[Tensor] | None:
        """Which weights are biases: per layer a boolean tensor of the weights' shape; None if unknown.

        The engine does not assume that any column is a bias; without this method, what it reports of the weights
        without biases is NaN.
        """
        return None

    @abstractmethod
    def forward(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, batch, outputs) of inputs (batch, inputs) that all members share.

        weights: per layer, (member, *shape).
        """

    def trace(self, weights: list[Tensor], x: Tensor) -> Trace | None:
        """The forward pass with its intermediate quantities if all layers are linear maps, otherwise None."""
        return None

    def gradients(
        self, weights: list[Tensor], x: Tensor, residual: Callable[[Tensor], Tensor], out: list[Tensor]
    ) -> Tensor:
        """Write dLoss/dweights into `out` (shaped as weights) and return the outputs.

        residual maps the outputs to dLoss/doutputs. This default uses autograd; a plugin may provide a faster one,
        which the tests compare with this one.
        """
        import torch

        with torch.enable_grad():
            leaves = [w.detach().requires_grad_() for w in weights]
            outputs = self.forward(leaves, x)
        for o, g in zip(out, torch.autograd.grad(outputs, leaves, residual(outputs.detach())), strict=True):
            o.copy_(g)
        return outputs.detach()


class Dataset(Plugin):
    """Examples, and the task: classification or regression."""

    slot: ClassVar[str] = "dataset"

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Inputs (examples, inputs), floating point, and targets of the split "train" or "test".

        Targets are (examples,) int64 for classification, (examples, outputs) floating point for regression. Repeated
        calls return the same values.
        """

    @abstractmethod
    def task(self) -> Task:
        """`Classification(classes)` or `Regression(outputs, noise_sd)`, of `ebayes_core.contract.likelihoods`."""


class Analysis(Plugin):
    """A figure and the numbers behind it, computed from a results file alone."""

    slot: ClassVar[str] = "analysis"
    claims: ClassVar[tuple[Claim, ...]] = ()  #: what `ebayes claims` tests on the arrays that measure() returned

    @abstractmethod
    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """The numbers behind the figure as named arrays; stored under /analyses/<kind>."""

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Statistics for `ebayes show --statistics` and the page: columns of equal length, by heading.

        Units are given in the heading, in brackets. Return an empty dict for a figure without statistics.
        """
        return {}

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """The result in one sentence with its numbers, printed first after a run; empty if there is nothing to say."""
        return ""

    @abstractmethod
    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Draw the arrays that measure() returned, and nothing else, into an empty figure."""


class Hooks(Protocol):
    """One hook per slot; each returns the plugin classes of a distribution."""

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
