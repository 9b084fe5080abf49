"""The built-in analyses, one module each."""

from __future__ import annotations

from ebayes_core.contract.slots import Analysis
from ebayes_plugins.analyses.advantage import Advantage
from ebayes_plugins.analyses.boundary import Boundary
from ebayes_plugins.analyses.budget import Budget
from ebayes_plugins.analyses.change import Change
from ebayes_plugins.analyses.continual import Continual
from ebayes_plugins.analyses.contraction import Contraction
from ebayes_plugins.analyses.estimators import Estimators
from ebayes_plugins.analyses.experiment import Experiment
from ebayes_plugins.analyses.exponent import Exponent
from ebayes_plugins.analyses.importance import Importance
from ebayes_plugins.analyses.mechanisms import Mechanisms
from ebayes_plugins.analyses.noises import Noises
from ebayes_plugins.analyses.posterior import Posterior
from ebayes_plugins.analyses.predictive import Predictive
from ebayes_plugins.analyses.recurrence import Recurrence
from ebayes_plugins.analyses.reliability import Reliability
from ebayes_plugins.analyses.signatures import Signatures
from ebayes_plugins.analyses.tradeoff import Tradeoff
from ebayes_plugins.analyses.training import TrainingCurves
from ebayes_plugins.analyses.two_synapses import TwoSynapses
from ebayes_plugins.analyses.uncertainty import Uncertainty
from ebayes_plugins.analyses.weight_sharing import WeightSharing

ALL: list[type[Analysis]] = [
    TrainingCurves, Importance, Tradeoff, Advantage, Experiment, Mechanisms, TwoSynapses, Predictive, Posterior,
    Reliability, Boundary, Exponent, Change, Budget, Noises, WeightSharing, Signatures, Estimators, Recurrence,
    Continual, Contraction, Uncertainty,
]  # fmt: skip
