"""Glutamate uptake as a cost of reliability: an invented example of a third-party plugin for ebayes."""

from typing import Literal

from pydantic import Field

from ebayes import Cost, hookimpl


class Glial(Cost):
    """Glutamate uptake: increases with the mean PSP and with reliability (an invented example)."""

    kind: Literal["glial"] = "glial"
    kappa: float = Field(0.1, gt=0, le=100, description="uptake per unit of reliability")

    def energy(self, sigma, mu):
        """Uptake of each synapse, elementwise: (member, ...) in, the same shape out."""
        return mu.abs() + self.kappa / sigma


@hookimpl
def ebayes_costs():
    """The costs that this package adds."""
    return [Glial]
