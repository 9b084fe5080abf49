"""The contract: one abstract base class per plugin slot, the hook that registers its kinds, and a hook for specs.

A plugin is a frozen Pydantic class with a `kind` that forbids unknown fields. Its fields are its table in the spec, its
methods are its formulas. Formulas are written for one network: the engine stacks K networks into tensors with a leading
`member` axis, turns every float field into a tensor that broadcasts over it, and differentiates. Write them with tensor
methods and operators, never with `math` or `float()`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from ebayes_core.contract.analysis import Analysis
from ebayes_core.contract.cost import Cost, VesicleCost
from ebayes_core.contract.dataset import Dataset
from ebayes_core.contract.inference import Allowance, Inference, Stage
from ebayes_core.contract.network import Network, Trace
from ebayes_core.contract.noise import Noise, Quanta
from ebayes_core.contract.optimizer import Optimizer, Slope
from ebayes_core.contract.plugin import CLOSED, Plugin, hookimpl, hookspec

__all__ = [
    "BASES", "CLOSED", "HOOKS", "SPECS_HOOK", "Allowance", "Analysis",
    "Cost", "Dataset", "Hooks", "Inference", "Network", "Noise",
    "Optimizer", "Plugin", "Quanta", "Slope", "Stage", "Trace", "VesicleCost", "hookimpl",
]  # fmt: skip


class Hooks(Protocol):
    """One hook per slot, which returns the plugin classes of a distribution; and one for specs."""

    @hookspec
    def ebayes_costs(self) -> list[type[Cost]]:
        """Costs of reliability."""

    @hookspec
    def ebayes_noises(self) -> list[type[Noise]]:
        """Noise modes."""

    @hookspec
    def ebayes_optimizers(self) -> list[type[Optimizer]]:
        """Optimizers."""

    @hookspec
    def ebayes_inferences(self) -> list[type[Inference]]:
        """Objectives."""

    @hookspec
    def ebayes_networks(self) -> list[type[Network]]:
        """Architectures."""

    @hookspec
    def ebayes_datasets(self) -> list[type[Dataset]]:
        """Data sets."""

    @hookspec
    def ebayes_analyses(self) -> list[type[Analysis]]:
        """Analyses with their figures."""

    @hookspec
    def ebayes_specs(self) -> Iterable[str | os.PathLike[str]]:
        """Folders of specs: each TOML file in them can be run by name, its path below the folder without `.toml`."""


HOOKS: dict[str, str] = {
    "cost": "ebayes_costs", "noise": "ebayes_noises", "optimizer": "ebayes_optimizers",
    "inference": "ebayes_inferences", "network": "ebayes_networks", "dataset": "ebayes_datasets",
    "analysis": "ebayes_analyses",
}  # fmt: skip
#: the hook that returns folders in place of classes
SPECS_HOOK = "ebayes_specs"
BASES: dict[str, type[Plugin]] = {
    base.slot: base for base in (Cost, Noise, Optimizer, Inference, Network, Dataset, Analysis)
}
