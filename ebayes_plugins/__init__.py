"""The built-in plugins, registered through the same entry-point group as third-party plugins."""

from __future__ import annotations

from pathlib import Path

from ebayes_core.contract.slots import Analysis, Cost, Dataset, Inference, Network, Noise, Optimizer, hookimpl
from ebayes_plugins import costs, inference, networks, noise, optimizers


@hookimpl
def ebayes_costs() -> list[type[Cost]]:
    """The four mechanisms, their power-law family and its limit, the least energy of n, p and q, and mixtures."""
    return costs.ALL


@hookimpl
def ebayes_noises() -> list[type[Noise]]:
    """Noise of a sigma of its own, noise that grows with the mean, and quantal release."""
    return noise.ALL


@hookimpl
def ebayes_optimizers() -> list[type[Optimizer]]:
    """Adam and its relatives, gradient descent, natural gradients, and exponentiated gradient."""
    return optimizers.ALL


@hookimpl
def ebayes_inferences() -> list[type[Inference]]:
    """Energy efficiency, energy budgets, and variational Bayes."""
    return [
        inference.EnergyEfficient,
        inference.Budget,
        inference.VariationalBayes,
        inference.VariationalContinual,
        inference.ElasticWeightConsolidation,
    ]


@hookimpl
def ebayes_networks() -> list[type[Network]]:
    """The multilayer perceptron, convolutional and recurrent networks."""
    return [networks.Mlp, networks.Convolutional, networks.Recurrent]


@hookimpl
def ebayes_datasets() -> list[type[Dataset]]:
    """Image data sets, digits, and two regression problems with known answers."""
    from ebayes_plugins import datasets

    return datasets.ALL


@hookimpl
def ebayes_analyses() -> list[type[Analysis]]:
    """Training, importance, the trade-off of accuracy and cost, measured synapses, and the costs of reliability."""
    from ebayes_plugins import analyses

    return analyses.ALL


@hookimpl
def ebayes_specs() -> list[Path]:
    """The figures of the paper, small and with its settings, and an example for each part of a spec."""
    return [Path(__file__).parent / "specs"]
