"""A third-party cost, registered like any plugin: it is not a power law and inherits nothing from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ebayes_core.contract.slots import Cost, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

KIND: Final = "bench_third_party"


class ThirdParty(Cost):
    """An invented logarithmic cost: log(1 + kappa / sigma)."""

    kind: Literal["bench_third_party"] = KIND
    kappa: float = Field(0.1, gt=0, le=100, description="the sigma below which the energy grows (weight)")

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """log(1 + kappa / sigma) of each synapse."""
        return (1 + self.kappa / sigma).log()


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    """Register the cost."""
    return [ThirdParty]
