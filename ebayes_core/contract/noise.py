"""The slot `noise`: how the weight of a synapse is drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor

    Free = Mapping[str, Tensor]  #: the free parameters besides mu, by name


class Quanta(NamedTuple):
    """Quantal release of each synapse: mean n p q, variance n p (1 - p) q^2."""

    n: Tensor  #: release sites
    p: Tensor  #: release probability of a site
    q: Tensor  #: quantal size, the weight that one vesicle transmits; signed


class Noise(Plugin):
    """How the weight of a synapse is drawn: its mean mu and further free parameters give its distribution (Eq. 5)."""

    slot: ClassVar[str] = "noise"
    base: ClassVar[Literal["normal", "uniform"]] = "normal"
    """What xi is: a standard normal, or uniform on [0, 1)."""
    own_sigma: ClassVar[bool] = True
    """Whether sigma is independent of mu; the engine checks what is said here."""
    signs: ClassVar[Literal["free", "mean", "fixed"]] = "free"
    """The sign of a drawn weight: free; that of its mean; or that of its mean, which keeps the sign it starts with."""

    @abstractmethod
    def init(self, mu: Tensor) -> dict[str, Tensor]:
        """Initial free parameters besides mu, by name; mu is (member, synapses) over the whole network.

        Each has the shape (member, synapses), one for every synapse, or (member, 1), one for the whole network. An
        empty dict makes a deterministic network.
        """

    @abstractmethod
    def sigma(self, mu: Tensor, free: Free) -> Tensor:
        """Standard deviation of each weight, elementwise: positive, finite and differentiable.

        If it depends on free parameters of the network alone, its shape may be (member, 1).
        """

    def draw(self, mu: Tensor, free: Free, xi: Tensor) -> Tensor:
        """Weights of mean mu and standard deviation sigma, elementwise; by default mu + sigma xi (Eq. 5).

        The gradient of the loss goes through this. Where a draw has no derivative, as that of a discrete weight,
        `ebayes_core.contract.functions.surrogate` gives it the gradient of its mean and standard deviation.
        """
        return mu + self.sigma(mu, free) * xi

    def quanta(self, mu: Tensor, free: Free) -> Quanta | None:
        """The quantal release of each synapse, which costs about vesicles need; None if the noise has none.

        In double precision if 1 - p may become small. Shaped as mu.
        """
        return None

    @classmethod
    def gaussian(cls) -> bool:
        """Whether weights are normal, as the entropy and the bound on the free energy assume (Eq. 41, 49)."""
        return cls.draw is Noise.draw and cls.base == "normal"

    @classmethod
    def quantal(cls) -> bool:
        """Whether there are n, p and q, which costs about vesicles need."""
        return cls.quanta is not Noise.quanta
