"""The slot `noise`: how weights are drawn."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:  # importing torch takes two seconds, too long before a misspelt spec is reported
    from torch import Tensor


class Noise(Plugin):
    """How the standard deviations sigma of a network's synapses depend on the free parameters phi (Methods)."""

    slot: ClassVar[str] = "noise"

    @abstractmethod
    def init(self, mu: Tensor) -> Tensor | None:
        """Initial free parameters; mu is (member, synapses) over the whole network.

        Return shape (member, synapses) for heterogeneous noise, (member, 1) for homogeneous noise, and None for a
        deterministic network.
        """

    @abstractmethod
    def sigma(self, phi: Tensor) -> Tensor:
        """Standard deviations, positive, finite and increasing in phi, elementwise."""
