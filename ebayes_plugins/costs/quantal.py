"""Costs of synapses whose n, p and q are free: the least energy that gives a mean and a standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ebayes_core.contract.slots import Cost, Quanta, VesicleCost

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price

# functions that need torch are imported where they are called, because importing it takes two seconds

#: least value of o^(1/4) + (2/5)-th power-law turnover: E = CLOSED a^(4/5) f^(1/5) S^(1/5)
CLOSED = 5 * 4 ** (-4 / 5)


def price(default: float, text: str, least: float = 0) -> Any:
    """A field for a price."""
    return Field(default, ge=least, le=1e6, description=f"price of {text}")


def floor(default: float) -> Any:
    """The field delta that rounds the energy off at a mean of 0."""
    return Field(
        default,
        ge=0,
        le=10,
        description="|mu| counts as (mu^2 + mu_floor^2)^(1/2): the energy is about |mu|^(2/5), whose slope is infinite "
        "at 0; about 1e-3 of the means' RMS, or 0 for none",
    )


def at_least() -> Any:
    """The field for the least number of vesicles."""
    return Field(0, ge=0, le=1, description="least number of vesicles of a synapse: 1, or 0 for any positive number")


class Quantal(VesicleCost):
    """Least energy at which n vesicles of size q, released with probability p, give mu and sigma (Eq. 1, 12-16).

    Calcium, turnover, membrane and actin have prices. Where the noise has n, p and q of its own, theirs is the energy.
    """

    kind: Literal["quantal"] = "quantal"
    calcium: float = price(1.0, "(p / (1 - p)) ** (1/4)", least=1e-6)
    turnover: float = price(0.05, "a vesicle, whether it is released or not: n")
    membrane: float = price(0.0, "n |q| ** (2/3)")
    actin: float = price(0.0, "n |q| ** (1/3)")
    n_min: int = at_least()
    mu_floor: float = floor(1e-4)

    @model_validator(mode="after")
    def _vesicles_cost(self) -> Quantal:
        if not self.turnover and not self.membrane and not self.actin:
            raise ValueError(
                "one of turnover, membrane and actin must be positive: if calcium alone has a price, many vesicles of "
                "low release probability are reliable for nothing"
            )
        return self

    @property
    def needs_quanta(self) -> bool:
        """False: mu and sigma determine the least energy."""
        return False

    @property
    def monotone(self) -> bool:
        """False if a synapse of one vesicle may have a cheapest sigma: a rarer release needs a larger vesicle."""
        return not self.n_min or not bool(self.membrane + self.actin)

    @property
    def _prices(self) -> tuple[Any, ...]:
        return self.calcium, self.turnover, self.membrane, self.actin, self.mu_floor**2

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """The least energy over n, p and q, elementwise."""
        from ebayes_plugins.costs.least import as_prices, least_energy

        return least_energy(mu, sigma, self.n_min, as_prices(self._prices, mu))

    def quanta(self, sigma: Tensor, mu: Tensor) -> Quanta:
        """n, p and q of least energy, in double precision, elementwise; n p q = mu."""
        from ebayes_plugins.costs.least import as_prices, least_odds, scaled

        mu, sigma = mu.double(), sigma.double()
        k = scaled(mu, sigma, as_prices(self._prices, mu))
        odds = least_odds(k, self.n_min)
        n, p = k.precision / odds, odds / (1 + odds)
        return Quanta(n, p, mu / (n * p))

    def vesicle_energy(self, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """calcium (p / (1 - p)) ** (1/4) + n (turnover + membrane |q| ** (2/3) + actin |q| ** (1/3)), elementwise."""
        from ebayes_core.contract.functions import SMALLEST_MEAN, power

        size = q**2 + (self.mu_floor**2 + SMALLEST_MEAN**2) / (n * p) ** 2
        each = self.turnover + self.membrane * power(size, 1 / 3) + self.actin * power(size, 1 / 6)
        return self.calcium * power(p / (1 - p), 1 / 4) + n * each

    def given(self, quanta: Quanta | None) -> Price:
        """The least energy, or that of the n, p and q that the noise has."""
        return self if quanta is None else super().given(quanta)


class QuantalTurnover(Cost):
    """Least energy of calcium and turnover, in closed form: (mu^2 / sigma^2) ** (1/5), precision as energy ** 5.

    The same as `quantal` with these prices and any number of vesicles, in less time.
    """

    kind: Literal["quantal_turnover"] = "quantal_turnover"
    calcium: float = price(1.0, "(p / (1 - p)) ** (1/4)", least=1e-6)
    turnover: float = price(0.05, "a vesicle, whether it is released or not: n", least=1e-6)
    mu_floor: float = floor(1e-4)

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """1.649 calcium ** (4/5) turnover ** (1/5) (|mu| / sigma) ** (2/5), elementwise."""
        from ebayes_core.contract.functions import SMALLEST_MEAN, power

        mean = (mu**2 + self.mu_floor**2 + SMALLEST_MEAN**2).sqrt()
        return CLOSED * self.calcium**0.8 * self.turnover**0.2 * power(mean / sigma, 2 / 5)

    def quanta(self, sigma: Tensor, mu: Tensor) -> Quanta:
        """n, p and q of least energy, in double precision, elementwise; n p q = mu."""
        prices = {name: getattr(self, name) for name in ("calcium", "turnover", "mu_floor")}
        return Quantal.model_construct(**prices).quanta(sigma, mu)
