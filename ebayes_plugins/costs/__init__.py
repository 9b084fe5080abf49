"""Costs of reliability: power laws, the least energy of n, p and q, and mixtures."""

from ebayes_core.contract.slots import Cost
from ebayes_plugins.costs.mixture import Mixture
from ebayes_plugins.costs.power_laws import Actin, Calcium, Cv, Entropic, Membrane, PowerLaw, Trafficking
from ebayes_plugins.costs.quantal import Quantal, QuantalTurnover

ALL: list[type[Cost]] = [
    Calcium, Membrane, Actin, Trafficking, PowerLaw, Entropic, Cv, Quantal, QuantalTurnover, Mixture,
]  # fmt: skip
