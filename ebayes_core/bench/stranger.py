"""A stranger's cost, registered as a plugin registers: it inherits nothing from the power laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ebayes_core.contract.slots import Cost, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

KIND: Final = "bench_stranger"


class Stranger(Cost):
    """Log-like reliability: log(1 + kappa / sigma), which no power law is (an invented example)."""

    kind: Literal["bench_stranger"] = KIND
    kappa: float = Field(0.1, gt=0, le=100, description="the sigma at which reliability is no longer cheap")

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """log(1 + kappa / sigma), elementwise."""
        return (1 + self.kappa / sigma).log()


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    """The one cost."""
    return [Stranger]
