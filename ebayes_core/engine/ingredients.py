"""What a minibatch brings to a step, as records that torch traces through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Time(NamedTuple):
    """All that depends on the number of the step, (member, 1) each."""

    mean_correction: Tensor  #: 1 - beta1**step, the bias correction of Adam's first moment
    square_correction: Tensor  #: 1 - beta2**step, of its second
    schedule: Tensor  #: the share of the learning rates that the schedule leaves
    newest: Tensor  #: the weight of this step in the solver's running means


class Fisher(NamedTuple):
    """What the solver for sigma takes from a minibatch; empty lists without it."""

    squared_gradients: list[Tensor]  #: means of per-example squared gradients, labels sampled (Eq. 31); per layer
    scales: list[Tensor]  #: factor between Fisher and curvature; per deviation (member, 1)
    ceilings: list[Tensor]  #: the largest sigma allowed now; per deviation (member, 1)


class Ingredients(NamedTuple):
    """What a minibatch brings to a step."""

    gradient: list[Tensor]  #: of the mean loss in the sampled weights; per layer (member, synapses)
    noise: Sequence[Tensor]  #: the xi of these weights; per layer (1, synapses)
    next_noise: Sequence[Tensor]  #: the xi of the weights to sample next
    time: Time
    fisher: Fisher  #: empty unless sigma is solved for
