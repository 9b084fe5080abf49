"""Architectures: perceptrons, convolutional and recurrent networks, and any module of torch."""

from ebayes_core.modules.network import AbstractModule, module_network
from ebayes_plugins.networks.convolutional import Convolutional
from ebayes_plugins.networks.mlp import Mlp
from ebayes_plugins.networks.recurrent import Recurrent

__all__ = ["AbstractModule", "Convolutional", "Mlp", "Recurrent", "module_network"]
