"""Costs that are power laws: of sigma (Appendix 1), their limit, and of its ratio to the mean."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ebayes_core.contract.slots import Cost

if TYPE_CHECKING:
    from torch import Tensor


def exponent(rho: float) -> Any:
    """The exponent of a mechanism: a float field, so that mechanisms can be stacked into one cohort, but fixed."""
    return Field(rho, ge=rho, le=rho, description="exponent of the mechanism (fixed)")


class AbstractPowerLaw(Cost, ABC):
    """sigma ** -rho (Eq. 4), with the multiplier as c or as the scale s, c = s**rho / rho (Eq. 48)."""

    rho: float
    s: float | None = Field(None, gt=0, le=1e6, description="scale, given instead of c: c = s**rho / rho")

    @model_validator(mode="after")
    def _one_multiplier(self) -> AbstractPowerLaw:
        if self.c is not None and self.s is not None:
            raise ValueError("give the multiplier as c or as s (c = s**rho / rho), not both")
        return self

    @property
    def multiplier(self) -> Any:
        """c, computed from s if s is given (Eq. 48)."""
        return super().multiplier if self.s is None else self.s**self.rho / self.rho

    @property
    def exponent(self) -> Any:
        """rho."""
        return self.rho

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """sigma ** -rho, elementwise."""
        from ebayes_core.contract.functions import power  # imported here because torch takes two seconds

        return power(sigma, -self.rho)


class Calcium(AbstractPowerLaw):
    """Calcium efflux: pumps work against the release probability, sigma ** (-1/2) (Eq. 13)."""

    kind: Literal["calcium"] = "calcium"
    rho: float = exponent(1 / 2)


class Membrane(AbstractPowerLaw):
    """Vesicle membrane: the area of many small vesicles, sigma ** (-2/3) (Eq. 15)."""

    kind: Literal["membrane"] = "membrane"
    rho: float = exponent(2 / 3)


class Actin(AbstractPowerLaw):
    """Actin: filaments in proportion to the vesicles' diameters, sigma ** (-4/3) (Eq. 16)."""

    kind: Literal["actin"] = "actin"
    rho: float = exponent(4 / 3)


class Trafficking(AbstractPowerLaw):
    """Vesicle trafficking: a cost per released vesicle, sigma ** -2 (Eq. 17, 18)."""

    kind: Literal["trafficking"] = "trafficking"
    rho: float = exponent(2.0)


class PowerLaw(AbstractPowerLaw):
    """Power law with any exponent, sigma ** -rho; as rho -> 0 its bound on the ELBO becomes tight (Eq. 50-52)."""

    kind: Literal["power_law"] = "power_law"
    rho: float = Field(1.0, gt=0, le=8, description="exponent of sigma")


class Entropic(Cost):
    """Minus the Gaussian entropy up to a constant: -log sigma, the limit rho -> 0 of the power laws (Eq. 41)."""

    kind: Literal["entropic"] = "entropic"

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """-log sigma, elementwise."""
        return -sigma.log()


class Cv(Cost):
    """Power law of the coefficient of variation: (sigma / |mu|) ** -rho, which scaling all weights leaves as it is."""

    kind: Literal["cv"] = "cv"
    rho: float = Field(1.0, gt=0, le=8, description="exponent of sigma / |mu|")
    delta: float = Field(
        1e-3, ge=1e-6, le=10, description="|mu| counts as (mu^2 + delta^2)^(1/2), which is smooth at 0"
    )

    @property
    def exponent(self) -> Any:
        """rho."""
        return self.rho

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """((mu^2 + delta^2) / sigma^2) ** (rho / 2), elementwise."""
        from ebayes_core.contract.functions import power

        return power((mu**2 + self.delta**2).sqrt() / sigma, self.rho)  # of the ratio, which overflows later
