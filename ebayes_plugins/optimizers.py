"""Optimizers: Adam as in the paper, other rules of descent, and steps in the geometry of the weights' distribution."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ebayes_core.contract.slots import Optimizer, Slope

if TYPE_CHECKING:
    from torch import Tensor

    Moved = tuple[Tensor, tuple[Tensor, ...]]


class Adam(Optimizer):
    """Adam: steps scaled by the root mean square of past gradients, with momentum (Kingma and Ba 2015)."""

    kind: Literal["adam"] = "adam"
    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the average gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay rate of the average squared gradient")
    epsilon: float = Field(1e-8, gt=0, le=1, description="constant that avoids division by zero")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """Running means of the gradient and of its square."""
        return p.new_zeros(p.shape), p.new_zeros(p.shape)

    def constants(self, step: Tensor) -> tuple[Tensor, ...]:
        """The corrections of both running means, 1 - beta ** step."""
        return bias_correction(self.beta1, step), bias_correction(self.beta2, step)

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """As torch.optim.Adam."""
        (mean, square), g = memory, slope.gradient
        mean = self.beta1 * mean + (1 - self.beta1) * g  # no lerp: inf - inf would turn an overflow into a NaN
        square = (self.beta2 * square).addcmul((1 - self.beta2) * g, g)
        # one division per network instead of two per synapse
        mean_factor, square_factor = (1 / c for c in constants)
        root = (square * square_factor).sqrt() + self.epsilon
        return p.addcdiv(-rate * mean_factor * mean, root), (mean, square)

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta / sqrt(<g^2>) (Eq. 7)."""
        return self.learning_rate / gradient


class Sgd(Optimizer):
    """Gradient descent with momentum (Polyak 1964), as torch.optim.SGD: the same learning rate for all synapses."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.05, gt=0, le=100, description="learning rate of the means")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is repeated")
    nesterov: bool = Field(False, description="look ahead along the momentum (Nesterov 1983)")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """The running sum of gradients."""
        return (p.new_zeros(p.shape),)

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """p - rate v, where v is the gradient plus momentum times the last v."""
        velocity = self.momentum * memory[0] + slope.gradient
        along = slope.gradient + self.momentum * velocity if self.nesterov else velocity
        return p - rate * along, (velocity,)

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta / (1 - momentum), the same for all."""
        return self.learning_rate / (1 - self.momentum) + 0 * mu


class RmsProp(Optimizer):
    """RMSprop: steps scaled by the root mean square of past gradients (Tieleman and Hinton 2012)."""

    kind: Literal["rmsprop"] = "rmsprop"
    alpha: float = Field(0.99, ge=0, lt=1, description="decay rate of the average squared gradient")
    epsilon: float = Field(1e-8, gt=0, le=1, description="constant that avoids division by zero")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """The running mean of the squared gradient."""
        return (p.new_zeros(p.shape),)

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """As torch.optim.RMSprop."""
        g = slope.gradient
        square = self.alpha * memory[0] + (1 - self.alpha) * g * g
        return p - rate * g / (square.sqrt() + self.epsilon), (square,)

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta / sqrt(<g^2>)."""
        return self.learning_rate / gradient


class AbstractNatural(Optimizer, ABC):
    """Steps in the geometry of the normal distribution of each weight."""

    gaussian: ClassVar[bool] = True
    learning_rate: float = Field(0.05, gt=0, le=100, description="learning rate of the means")
    largest: float = Field(0.1, gt=0, le=10, description="largest change of log sigma in a step")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """p - rate N sigma^2 g."""
        assert slope.metric is not None
        return p - rate * slope.examples * slope.metric * slope.gradient, ()

    def step_free(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """The same with the Fisher information of sigma, 2 / sigma^2 for each synapse that has it, and bounded."""
        assert slope.metric is not None and slope.scale is not None
        in_log_sigma = -rate * slope.examples * slope.metric * slope.gradient / slope.scale
        return p + slope.scale * in_log_sigma.maximum(-self.largest + 0 * rate).minimum(self.largest + 0 * rate), ()

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta N sigma^2."""
        return self.learning_rate * examples * sigma**2


class Natural(AbstractNatural):
    """Natural gradient of the normal distribution of each weight (Amari 1998): a mean's step is scaled by sigma^2.

    A rate of 1 is a whole natural step on the objective summed over the data set.
    """

    kind: Literal["natural"] = "natural"


class NaturalShuffled(AbstractNatural):
    """A control for `natural`: a mean's step is scaled by the sigma^2 of another synapse of its layer.

    Which one is drawn once for each seed and layer, and stays. So the factors are distributed as before, and what is
    lost is only that the precise synapses are those which move little. The sigma^2 is that before the step.
    """

    kind: Literal["natural_shuffled"] = "natural_shuffled"
    shuffled: ClassVar[bool] = True


class ReleaseGated(Optimizer):
    """Presynaptic plasticity (Schug, Benzing and Steger, eLife 2021): what releases reliably is hardly changed.

    The rule of their code (github.com/smonsays/presynaptic-stochasticity). Where the loss of a minibatch has a gradient
    of at least `threshold` in the mean of a synapse, its release probability p rises by up (1 - p), elsewhere it falls
    by down (1 - p), but not below `least`; from `freeze` on it stays. A mean moves by -rate (1 - p) g. As there, p
    moves at a fixed mean weight, so that the size q = mu / p of a release changes; only synapses that release have a
    gradient. Unlike there, biases are trained and release as weights do, and g includes the other terms of the
    objective, though not where it is compared with the threshold.
    """

    kind: Literal["release_gated"] = "release_gated"
    quantal: ClassVar[bool] = True
    descends: ClassVar[bool] = False
    learning_rate: float = Field(0.01, gt=0, le=100, description="learning rate of the means of a synapse with p = 0")
    threshold: float = Field(1e-3, gt=0, le=1e3, description="gradient in the mean, of the loss, that counts as large")
    up: float = Field(0.052, ge=0, le=0.99, description="share of 1 - p by which p rises")
    down: float = Field(0.0516, ge=0, le=1, description="share of 1 - p by which p falls")
    freeze: float = Field(0.9353, gt=0, le=0.99, description="release probability from which on p stays")
    least: float = Field(0.25, ge=0.001, lt=0.99, description="smallest release probability")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """mu - rate (1 - p) g."""
        assert slope.release is not None
        return p - rate * (1 - slope.release) * slope.gradient, ()

    def step_free(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """The logit of p, which has taken its step up or down."""
        import torch

        assert slope.release is not None and slope.of_mean is not None
        now = slope.release
        step = torch.where(slope.of_mean.abs() >= self.threshold, self.up + 0 * now, -self.down + 0 * now)
        moved = (now + (1 - now) * step).maximum(self.least + 0 * now)
        return torch.where(now >= self.freeze, p, moved.log() - (1 - moved).log()), ()

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta (1 - p), where 1 - p = S / (1 + S), S = sigma^2 / mu^2 of a single release site."""
        relative = (sigma / (mu.abs() + 1e-30)) ** 2
        return self.learning_rate * relative / (1 + relative)


class Ivon(Optimizer):
    """Improved variational online Newton (Shen et al. 2024): the precision 1 / sigma^2 follows the curvature.

    For variational Bayes with a Gaussian prior it is the published update, whose Hessian is 1 / (N sigma^2) minus the
    prior's precision over N. For other objectives the same step is taken along the gradient in the precision.
    """

    kind: Literal["ivon"] = "ivon"
    gaussian: ClassVar[bool] = True
    learning_rate: float = Field(0.05, gt=0, le=100, description="learning rate of the means")
    learning_rate_phi: float | None = Field(
        1e-3, gt=0, lt=1, description="share by which the precision moves toward the curvature, 1 - beta2"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the average gradient of the loss")

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """The running mean of the gradient of the loss."""
        return (p.new_zeros(p.shape),)

    def constants(self, step: Tensor) -> tuple[Tensor, ...]:
        """The correction of the running mean."""
        return (bias_correction(self.beta1, step),)

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """p - rate N sigma^2 (average gradient of the loss + gradient of the other terms)."""
        assert slope.metric is not None
        mean = self.beta1 * memory[0] + (1 - self.beta1) * slope.loss
        along = mean / constants[0] + (slope.gradient - slope.loss)
        return p - rate * slope.examples * slope.metric * along, (mean,)

    def step_free(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """The precision times 1 + x + x^2 / 2, which is positive; x is at least -1, where that has its minimum."""
        assert slope.metric is not None and slope.scale is not None
        x = 2 * rate * slope.examples * slope.metric * slope.gradient / slope.scale
        x = x.clamp_min(-1)
        return p - slope.scale * (1 + x + x * x / 2).log() / 2, memory

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta N sigma^2, which is eta over the Hessian and the prior's precision."""
        return self.learning_rate * examples * sigma**2


class ExponentiatedGradient(Optimizer):
    """Exponentiated gradient (Kivinen and Warmuth 1997): means move in proportion to their size and keep their signs.

    The free parameters of the noise move by plain gradient descent.
    """

    kind: Literal["exponentiated_gradient"] = "exponentiated_gradient"
    signs: ClassVar[Literal["free", "mean"]] = "mean"
    learning_rate: float = Field(0.5, gt=0, le=100, description="learning rate of the logarithm of the means")
    learning_rate_phi: float | None = Field(
        0.05, gt=0, le=100, description="learning rate of the free parameters of the noise; learning_rate if left out"
    )

    def init(self, p: Tensor) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def step(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """p exp(-rate sign(p) g)."""
        return p * (-rate * p.sign() * slope.gradient).exp(), ()

    def step_free(
        self, p: Tensor, memory: tuple[Tensor, ...], slope: Slope, rate: Tensor, constants: tuple[Tensor, ...]
    ) -> Moved:
        """p - rate g."""
        return p - rate * slope.gradient, ()

    def rate(self, gradient: Tensor, mu: Tensor, sigma: Tensor, examples: int) -> Tensor:
        """eta |mu|."""
        return self.learning_rate * mu.abs()


def bias_correction(beta: Tensor | float, step: Tensor) -> Tensor:
    """1 - beta ** step in double precision, by which the mean of the first steps is too small."""
    import torch

    return -(step * torch.as_tensor(beta).double().log()).expm1()


ALL: list[type[Optimizer]] = [Adam, Sgd, RmsProp, Natural, NaturalShuffled, ReleaseGated, Ivon, ExponentiatedGradient]
