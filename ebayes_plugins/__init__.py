"""The built-in plugins, registered through the same entry-point group as a stranger's."""

from __future__ import annotations

from ebayes_core.contract.slots import Analysis, Cost, Dataset, Inference, Network, Noise, hookimpl
from ebayes_plugins import costs, inference, networks, noise


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    """The four mechanisms, their family, its limit, and sums of them."""
    return [
        costs.Calcium, costs.Membrane, costs.Actin, costs.Trafficking,
        costs.PowerLaw, costs.Entropic, costs.Mixture,
    ]  # fmt: skip


@hookimpl
def ebayes_noises() -> list[type[Noise]]:
    """A sigma per synapse, per network, or none."""
    return [noise.Heterogeneous, noise.Homogeneous, noise.NoNoise]


@hookimpl
def ebayes_inferences() -> list[type[Inference]]:
    """Energy efficiency and variational Bayes."""
    return [inference.EnergyEfficient, inference.VariationalBayes]


@hookimpl
def ebayes_networks() -> list[type[Network]]:
    """The multilayer perceptron."""
    return [networks.Mlp]


@hookimpl
def ebayes_datasets() -> list[type[Dataset]]:
    """Images, digits and two problems with known answers."""
    from ebayes_plugins import datasets

    return datasets.ALL


@hookimpl
def ebayes_analyses() -> list[type[Analysis]]:
    """Training, importance, the trade-off of accuracy against cost, measured synapses, and what reliability costs."""
    from ebayes_plugins import analyses

    return analyses.ALL
