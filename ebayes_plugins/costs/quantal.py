"""Costs of synapses whose n, p and q are free: the least energy that gives a mean and a standard deviation."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ebayes_core.contract.slots import Quanta, VesicleCost

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price

# functions that need torch are imported where they are called, because importing it takes two seconds


LEAST_PRICE = 1e-6  #: a smaller one is as good as none in single precision


class AbstractQuantal(VesicleCost, ABC):
    """Least energy at which n vesicles of size q, released with probability p, give mu and sigma (Eq. 1, 12-16)."""

    calcium: float = Field(1.0, ge=1e-6, le=1e6, description="price of (p / (1 - p)) ** (1/4)")
    turnover: float = Field(0.05, ge=0, le=1e6, description="price of n, a vesicle, whether it is released or not")
    n_min: int = Field(
        0, ge=0, le=1, description="least number of vesicles of a synapse: 1, or 0 for any positive number"
    )
    mu_floor: float = Field(
        1e-4,
        ge=0,
        le=10,
        description="|mu| counts as (mu^2 + mu_floor^2)^(1/2): the energy is about |mu|^(2/5), whose slope is infinite "
        "at 0; about 1e-3 of the means' RMS, or 0 for none",
    )
    bulky: ClassVar[bool]
    """Whether the size of a vesicle has a price; if not, the odds of least energy have a closed form."""

    @property
    def needs_quanta(self) -> bool:
        """False: mu and sigma determine the least energy."""
        return False

    @property
    def of_size(self) -> tuple[Any, Any]:
        """The prices of membrane and actin."""
        return 0.0, 0.0

    @property
    def _prices(self) -> tuple[Any, ...]:
        return self.calcium, self.turnover, *self.of_size, self.mu_floor**2

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """The least energy over n, p and q, elementwise."""
        from ebayes_plugins.costs.least import as_prices, least_energy

        return least_energy(mu, sigma, as_prices(self._prices, mu), self.n_min, self.bulky)

    def quanta(self, sigma: Tensor, mu: Tensor) -> Quanta:
        """n, p and q of least energy, in double precision, elementwise; n p q = mu."""
        from ebayes_plugins.costs.least import as_prices, least, odds_of, scaled

        mu, sigma = mu.double(), sigma.double()
        k = scaled(mu, sigma, as_prices(self._prices, mu), self.bulky)
        odds = odds_of(least(k, self.n_min, self.bulky), self.bulky)
        n, p = (k.precision / odds).clamp_min(self.n_min), odds / (1 + odds)
        return Quanta(n, p, mu / (n * p))

    def vesicle_energy(self, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """calcium (p / (1 - p)) ** (1/4) + n (turnover + membrane |q| ** (2/3) + actin |q| ** (1/3)), elementwise."""
        from ebayes_core.contract.functions import power

        return self.calcium * power(p / (1 - p), 1 / 4) + n * (self.turnover + self._size_price(n * p, q))

    def _size_price(self, released: Tensor, q: Tensor) -> Any:
        return 0.0

    def given(self, quanta: Quanta | None) -> Price:
        """The least energy, or that of the n, p and q that the noise has."""
        return self if quanta is None else super().given(quanta)


class Quantal(AbstractQuantal):
    """Least energy at which n vesicles of size q, released with probability p, give mu and sigma (Eq. 1, 12-16).

    Calcium, turnover, membrane and actin have prices. Where the noise has n, p and q of its own, theirs is the energy.
    """

    kind: Literal["quantal"] = "quantal"
    membrane: float = Field(0.0, ge=0, le=1e6, description="price of n |q| ** (2/3)")
    actin: float = Field(0.0, ge=0, le=1e6, description="price of n |q| ** (1/3)")
    bulky: ClassVar[bool] = True

    @model_validator(mode="after")
    def _vesicles_cost(self) -> Quantal:
        if max(self.turnover, self.membrane, self.actin) < LEAST_PRICE:
            raise ValueError(
                f"one of turnover, membrane and actin must be at least {LEAST_PRICE:g}: if calcium alone has a price, "
                "many vesicles of low release probability are reliable for nothing"
            )
        return self

    @property
    def monotone(self) -> bool:
        """False if a synapse of one vesicle may have a cheapest sigma: a rarer release needs a larger vesicle."""
        return not self.n_min or not any(self.of_size)

    @property
    def of_size(self) -> tuple[Any, Any]:
        """The prices of membrane and actin."""
        return self.membrane, self.actin

    def _size_price(self, released: Tensor, q: Tensor) -> Tensor:
        from ebayes_core.contract.functions import SMALLEST_MEAN, power

        size = q**2 + (self.mu_floor**2 + SMALLEST_MEAN**2) / released**2
        return self.membrane * power(size, 1 / 3) + self.actin * power(size, 1 / 6)


class QuantalTurnover(AbstractQuantal):
    """Least energy of calcium and turnover, 1.649 a ** (4/5) f ** (1/5) (|mu| / sigma) ** (2/5), precision as energy^5.

    What `quantal` is without prices of membrane and actin, in a third of the time.
    """

    kind: Literal["quantal_turnover"] = "quantal_turnover"
    turnover: float = Field(0.05, ge=1e-6, le=1e6, description="price of n, a vesicle, whether it is released or not")
    bulky: ClassVar[bool] = False

    @property
    def exponent(self) -> float | None:
        """2/5; None if there must be a vesicle, beyond whose release probability calcium alone changes."""
        return None if self.n_min else 2 / 5
