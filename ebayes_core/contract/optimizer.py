"""The slot `optimizer`: how a step moves the parameters along their gradients."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor

    Memory = tuple[Tensor, ...]  #: what an optimizer remembers of a parameter, each of the parameter's shape


class Slope(NamedTuple):
    """What a step knows of a parameter besides its value; the objective is per datapoint."""

    gradient: Tensor  #: of the objective
    loss: Tensor  #: the part of it that comes from the loss of the minibatch
    examples: int  #: N, the number of datapoints
    metric: Tensor | None = None  #: 1 / Fisher information of the weights' distribution in it; sigma^2 for a mean
    scale: Tensor | None = None  #: its change per unit of log sigma; None for a mean
    release: Tensor | None = None  #: release probability of the synapse before the step, where the noise has one
    of_mean: Tensor | None = None  #: the part of the gradient in its mean that comes from the loss


class Optimizer(Plugin):
    """How a step moves the means and the free parameters of the noise along the gradient of the objective."""

    slot: ClassVar[str] = "optimizer"
    gaussian: ClassVar[bool] = False
    """Whether it needs `Slope.metric`, which is known for normal weights whose sigma does not depend on mu."""
    shuffled: ClassVar[bool] = False
    """Whether the metric of a mean is that of another synapse of its layer: a control. It is then that before the step.
    """
    quantal: ClassVar[bool] = False
    """Whether it needs `Slope.release` and `Slope.of_mean`, which noises with a single release site have."""
    descends: ClassVar[bool] = True
    """Whether the free parameters of the noise move down the slope of the objective."""
    signs: ClassVar[Literal["free", "mean"]] = "free"
    """`mean` if the means keep their signs, which makes sense only for weights that have the sign of their mean."""
    learning_rate: float = Field(5e-4, gt=0, le=100, description="learning rate of the means")
    learning_rate_phi: float | None = Field(
        None,
        gt=0,
        le=100,
        description="learning rate of the free parameters of the noise, so of log sigma while it is small; "
        "learning_rate if left out",
    )

    @abstractmethod
    def init(self, p: Tensor) -> Memory:
        """What is remembered of a parameter before the first step: tensors of its shape."""

    @abstractmethod
    def step(
        self, p: Tensor, memory: Memory, slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> tuple[Tensor, Memory]:
        """The moved parameter and what is then remembered, elementwise.

        p: a mean or a free parameter of the noise, (member, synapses) or (member, 1). rate: the learning rate now, the
        schedule included, (member, 1). constants: what `constants` returned for this step, (member, 1) each.
        """

    def step_free(
        self, p: Tensor, memory: Memory, slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> tuple[Tensor, Memory]:
        """The same for a free parameter of the noise, if it moves by another formula than a mean."""
        return self.step(p, memory, slope, rate, constants)

    def constants(self, step: Tensor) -> tuple[Tensor, ...]:
        """Numbers that depend on the step alone, which counts from 1, (1, 1) in double precision; (member, 1) each.

        They are computed once for all synapses, in the precision in which they are returned, and then rounded.
        """
        return ()

    @abstractmethod
    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """Effective learning rate of each mean: its step per unit of gradient (Eq. 7 for Adam), elementwise.

        gradient: the typical size of a datapoint's, as its root mean square. examples: N.
        """
