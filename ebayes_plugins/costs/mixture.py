"""Mixtures: several costs at once."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field

from ebayes_core.contract.slots import Cost, Quanta

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.cost import Price

C = TypeVar("C", bound=Cost)


class Mixture(Cost, Generic[C]):
    """Several costs at once, each with its own multiplier: sum_k c_k energy_k."""

    kind: Literal["mixture"] = "mixture"
    costs: tuple[C, ...] = Field(min_length=1, max_length=100, description="the costs to add, each a table with a kind")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """The spec has one mixture, over all registered costs."""
        return "Mixture"

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """The sum of the costs, elementwise."""
        return reduce(add, (cost(sigma, mu) for cost in self.costs))

    def quanta(self, sigma: Tensor, mu: Tensor) -> Quanta | None:
        """n, p and q that one of the costs implies; None if several do, each its own."""
        found = [quanta for cost in self.costs if (quanta := cost.quanta(sigma, mu)) is not None]
        return found[0] if len(found) == 1 else None

    @property
    def quantal(self) -> bool:
        """Whether any of the costs is one of vesicles."""
        return any(cost.quantal for cost in self.costs)

    @property
    def needs_quanta(self) -> bool:
        """Whether any of the costs has no value without n, p and q."""
        return any(cost.needs_quanta for cost in self.costs)

    @property
    def monotone(self) -> bool:
        """Whether each of the costs falls with sigma."""
        return all(cost.monotone for cost in self.costs)

    def given(self, quanta: Quanta | None) -> Price:
        """The sum of the costs for these quanta."""
        prices = [cost.given(quanta) for cost in self.costs]
        return lambda sigma, mu: self.multiplier * reduce(add, (price(sigma, mu) for price in prices))
