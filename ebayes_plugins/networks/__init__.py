"""Architectures: the multilayer perceptron, including the linear readout."""

from ebayes_plugins.networks.mlp import Mlp

__all__ = ["Mlp"]
