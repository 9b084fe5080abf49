"""Noise modes: heterogeneous, homogeneous, and none."""

from __future__ import annotations

import math
from abc import ABC
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ebayes_core.contract.slots import Noise

if TYPE_CHECKING:
    from torch import Tensor


class AbstractSoftplus(Noise, ABC):
    """sigma = softplus(phi) (Methods)."""

    sigma_0: float = Field(1e-4, gt=0, le=10, description="initial standard deviation")

    def _phi_0(self) -> Any:
        # inverse softplus as sigma + log(1 - exp(-sigma)): accurate near zero, where the paper's initial value is
        if isinstance(self.sigma_0, float):
            return self.sigma_0 + math.log(-math.expm1(-self.sigma_0))
        return self.sigma_0 + (-(-self.sigma_0).expm1()).log()

    def sigma(self, phi: Tensor) -> Tensor:
        """log(1 + exp(phi)), elementwise, without overflow; the derivative is accurate at sigma = 1e-4 too."""
        from ebayes_core.contract.functions import softplus  # imported here because torch takes two seconds

        return softplus(phi)


class Heterogeneous(AbstractSoftplus):
    """Heterogeneous noise: one sigma for every synapse."""

    kind: Literal["heterogeneous"] = "heterogeneous"

    def init(self, mu: Tensor) -> Tensor:
        """One phi per synapse."""
        return mu.new_zeros(mu.shape) + self._phi_0()


class Homogeneous(AbstractSoftplus):
    """Homogeneous noise: one sigma for the whole network, with its cost counted once per synapse."""

    kind: Literal["homogeneous"] = "homogeneous"

    def init(self, mu: Tensor) -> Tensor:
        """One phi per network."""
        return mu.new_zeros(mu.shape[0], 1) + self._phi_0()


class NoNoise(Noise):
    """No noise: a deterministic network, without sigma and reliability cost."""

    kind: Literal["none"] = "none"

    def init(self, mu: Tensor) -> None:
        """No free parameters."""

    def sigma(self, phi: Tensor) -> Tensor:
        """Never called, since there is no phi; zero for any phi."""
        return 0 * phi
