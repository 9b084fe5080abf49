"""Noise modes: a sigma per synapse, a sigma per network, none."""

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

    sigma_0: float = Field(1e-4, gt=0, le=10, description="standard deviation at the start")

    def _phi_0(self) -> Any:
        # softplus**-1, as sigma + log(1 - exp(-sigma)): exact near zero, where the paper starts
        if isinstance(self.sigma_0, float):
            return self.sigma_0 + math.log(-math.expm1(-self.sigma_0))
        return self.sigma_0 + (-(-self.sigma_0).expm1()).log()

    def sigma(self, phi: Tensor) -> Tensor:
        """log(1 + exp(phi)), elementwise, without overflow; the derivative is exact at sigma = 1e-4 too."""
        from ebayes_core.contract.functions import softplus  # it needs torch, which takes two seconds to import

        return softplus(phi)


class Heterogeneous(AbstractSoftplus):
    """A free sigma for every synapse."""

    kind: Literal["heterogeneous"] = "heterogeneous"

    def init(self, mu: Tensor) -> Tensor:
        """One phi per synapse."""
        return mu.new_zeros(mu.shape) + self._phi_0()


class Homogeneous(AbstractSoftplus):
    """One sigma for the whole network, the cost of which is counted once per synapse."""

    kind: Literal["homogeneous"] = "homogeneous"

    def init(self, mu: Tensor) -> Tensor:
        """One phi per network."""
        return mu.new_zeros(mu.shape[0], 1) + self._phi_0()


class NoNoise(Noise):
    """A deterministic network: no sigma, and no reliability cost."""

    kind: Literal["none"] = "none"

    def init(self, mu: Tensor) -> None:
        """No free parameters."""

    def sigma(self, phi: Tensor) -> Tensor:
        """Never asked for, since there is no phi; zero for whatever phi."""
        return 0 * phi
