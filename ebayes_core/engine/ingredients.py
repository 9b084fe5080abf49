"""What a minibatch brings to a step, as records that torch traces through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Time(NamedTuple):
    """All that depends on the number of the step, (member, 1) each."""

    rate: Tensor  #: the learning rate of the means, the schedule included
    rate_free: Tensor  #: that of the free parameters of the noise
    constants: tuple[Tensor, ...]  #: of the optimizer


class Fisher(NamedTuple):
    """What the solver for sigma takes from a minibatch; empty lists without it."""

    squared_gradients: list[Tensor]  #: means of per-example squared gradients, labels sampled (Eq. 31); per layer
    scales: list[Tensor]  #: factor between Fisher and curvature; per free parameter (member, 1)
    ceilings: list[Tensor]  #: the largest sigma allowed now; per free parameter (member, 1)


NO_FISHER = Fisher([], [], [])  #: unless sigma is solved for


class Ingredients(NamedTuple):
    """What a minibatch brings to a step."""

    gradient: list[Tensor]  #: of the mean loss in the drawn weights; per layer, shaped as these
    noise: Sequence[Tensor]  #: the xi of these weights; per layer (1, synapses), or (1, draws, synapses)
    next_noise: Sequence[Tensor]  #: the xi of the weights to draw next
    clock: Tensor  #: the number of the step, which counts from 1; (1, 1) in double precision
    in_stage: Tensor  #: the same, counted from the beginning of the stage of training
    fisher: Fisher = NO_FISHER
    variances: Sequence[Tensor] = ()  #: sigma^2 of another synapse, if the optimizer is shuffled; per layer
