"""A third-party cost, network and data set, registered like any plugin: they inherit nothing from the built-in ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ebayes_core.contract.network import Shape
from ebayes_core.contract.slots import Cost, Dataset, Network, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ebayes_core.contract.likelihoods import Likelihood

KIND: Final = "bench_third_party"
MODULE: Final = "bench_module"
DATASET: Final = "bench_random"
FEW = 200  #: examples


class ThirdParty(Cost):
    """An invented logarithmic cost: log(1 + kappa / sigma)."""

    kind: Literal["bench_third_party"] = KIND
    kappa: float = Field(0.1, gt=0, le=100, description="the sigma below which the energy grows (weight)")

    def energy(self, sigma: Tensor, mu: Tensor) -> Tensor:
        """log(1 + kappa / sigma) of each synapse."""
        return (1 + self.kappa / sigma).log()


class ThirdPartyModule(Network):
    """A module of torch, whose parameters are the layers, written for one network."""

    kind: Literal["bench_module"] = MODULE

    def shapes(self, inputs: Shape, outputs: Shape) -> list[Shape]:
        """Those of the parameters."""
        return [tuple(p.shape) for p in _module().parameters()]

    def single(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """The module's outputs with these parameters."""
        from torch.func import functional_call

        names = [name for name, _ in _module().named_parameters()]
        outputs: Tensor = functional_call(_module(), dict(zip(names, weights, strict=True)), (x,))
        return outputs


class Random(Dataset):
    """Random examples, by which a sweep is planned without reading a file."""

    kind: Literal["bench_random"] = DATASET
    example: tuple[int, ...] = Field((784,), description="shape of an example")

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """A few examples; both splits are the same."""
        from ebayes_core.bench.setting import made_up

        data = made_up(self.example, FEW, FEW)
        return data.x, data.y

    def task(self) -> Likelihood:
        """Classification."""
        from ebayes_core.bench.setting import made_up

        return made_up(self.example, FEW, FEW).task


@lru_cache(maxsize=1)
def _module() -> nn.Module:
    from ebayes_core.bench.modules import convolutions

    return convolutions()


@hookimpl
def ebayes_networks() -> list[type[Network]]:
    """Register the module."""
    return [ThirdPartyModule]


@hookimpl
def ebayes_datasets() -> list[type[Dataset]]:
    """Register the data set."""
    return [Random]


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    """Register the cost."""
    return [ThirdParty]
