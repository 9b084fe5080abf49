"""The slot `cost`: what reliability costs a synapse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ebayes_core.contract.noise import Quanta
from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor

    Price = Callable[[Tensor, Tensor], Tensor]  #: multiplier times energy, of sigma and mu, elementwise


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

        It decreases with sigma, unless `monotone` says otherwise; sigma > 0. The multiplier is applied elsewhere.
        """

    def __call__(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Multiplier times energy, elementwise (nat): the term of the objective."""
        return self.multiplier * self.energy(sigma, mu)

    def quanta(self, sigma: Tensor, mu: Tensor) -> Quanta | None:
        """n, p and q at which a synapse with this mean and standard deviation spends this energy, elementwise.

        None if the cost does not imply them.
        """
        return None

    @property
    def exponent(self) -> Tensor | float | None:
        """rho, if the energy is proportional to sigma ** -rho at a fixed mean; None if it is not a power law."""
        return None

    @property
    def monotone(self) -> bool:
        """Whether the energy decreases with sigma everywhere; if not, a synapse has a cheapest sigma."""
        return True

    @property
    def quantal(self) -> bool:
        """Whether the energy is that of n, p and q, where the noise has them."""
        return False

    @property
    def needs_quanta(self) -> bool:
        """Whether it has no value without them, so that only some noises can be combined with it."""
        return False

    def given(self, quanta: Quanta | None) -> Price:
        """The cost as a function of sigma and mu, for synapses that release in these quanta."""
        return self


class VesicleCost(Cost):
    """The energy that a synapse spends on vesicles: a function of n, p and q in place of sigma and mu."""

    @abstractmethod
    def vesicle_energy(self, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Energy of each synapse with n release sites, release probability p and quantal size q, elementwise.

        n > 0, 0 < p < 1; q may have either sign and be 0. It decreases wherever sigma grows at a fixed mean.
        """

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """Never called, since sigma and mu do not determine n, p and q."""
        raise TypeError(f"the energy of the cost '{self.kind}' depends on n, p and q, not on sigma and mu")

    @property
    def quantal(self) -> bool:
        """True."""
        return True

    @property
    def needs_quanta(self) -> bool:
        """True, unless the cost also has an energy as a function of sigma and mu."""
        return True

    def given(self, quanta: Quanta | None) -> Price:
        """Multiplier times energy of these quanta, whatever sigma and mu."""
        if quanta is None:
            raise TypeError(f"the cost '{self.kind}' needs n, p and q, which this noise does not have")
        return lambda sigma, mu: (self.multiplier * self.vesicle_energy(*quanta)).to(mu.dtype)
