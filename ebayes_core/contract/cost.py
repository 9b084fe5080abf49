"""The slot `cost`: what reliability costs a synapse."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor


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
