"""A cohort: networks that share a seed and one formula, ready to train, and the state that training changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.engine.data import Data
from ebayes_core.engine.layers import layers
from ebayes_core.engine.objective import Formulas, sampled
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import INIT, NOISE, ORDER, generator
from ebayes_core.engine.stacking import stack
from ebayes_core.results.provenance import COMPILED
from ebayes_core.spec import Point

# With fewer synapse updates than this, compiling takes longer than it saves.
WORTH_COMPILING = 1e9


@dataclass
class State:
    """All that a cohort carries from step to step; a checkpoint holds this and nothing else."""

    parameters: Parameters
    weights: list[Tensor]  #: sampled, per layer (member, synapses)
    xi: Tensor  #: (1, synapses), the noise that they were sampled with
    alive: Tensor  #: (member, 1), the networks that still train
    loss: Tensor  #: (member,) nll summed over the steps of this epoch
    correct: Tensor  #: (member,) share of correct answers, summed over the steps of this epoch
    noise: torch.Generator
    epoch: int = 0
    batch: int = 0
    step: int = 0
    died: dict[int, str] = field(default_factory=dict)  #: network -> when it diverged, and which term was not finite
    curves: list[dict[str, Tensor]] = field(default_factory=list)


class Cohort:
    """Networks that compute one formula, ready to train: stacked plugins, data, and the shapes of their layers."""

    def __init__(self, points: list[Point], data: Data, compile: bool | None = None) -> None:
        self.points, self.data = points, data
        member = points[0].member
        self.member, self.seed, self.training = member, member.seed, member.training
        self.device, self.dtype = data.x.device, data.x.dtype
        self.network = member.network
        #: shapes of an example and of its outputs
        self.inputs, self.outputs = tuple(data.x.shape[1:]), (data.task.outputs,)
        self.shapes = layers(member, self.inputs, self.outputs)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.batch_size = min(member.training.batch_size, data.examples)
        self.batches = data.examples // self.batch_size
        self.formulas = self.formulas_of(points)
        work = len(points) * sum(self.sizes) * self.batches * self.training.epochs
        self.compile = work > WORTH_COMPILING if compile is None else compile
        #: how the step is computed: provenance.COMPILED, or why it is not compiled
        self.compiled = COMPILED if self.compile else "no: too little work" if compile is None else "no: --compile off"

    def __len__(self) -> int:
        return len(self.points)

    def formulas_of(self, points: list[Point]) -> Formulas:
        """The formulas of these networks, stacked."""
        cost, noise, inference, training = (
            stack([getattr(p.member, name) for p in points], self.dtype, self.device)
            for name in ("cost", "noise", "inference", "training")
        )
        phi_rate = training.learning_rate_phi
        return Formulas(
            cost, noise, inference,
            training.learning_rate, training.learning_rate if phi_rate is None else phi_rate,
            training.beta1, training.beta2, training.epsilon, self.data.examples, training.sigma == "fixed_point",
        )  # fmt: skip

    def layered(self, flat: list[Tensor]) -> list[Tensor]:
        """(member, synapses) per layer as (member, *shape)."""
        return [t.unflatten(-1, shape) for t, shape in zip(flat, self.shapes, strict=True)]

    def draw(self, noise: torch.Generator) -> Tensor:
        """One standard normal per synapse (1, synapses), which all networks share (common random numbers)."""
        return torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype).normal_(generator=noise)

    def start(self) -> State:
        """Means uniform (Methods), phi as the noise says, and the first sampled weights."""
        mu = torch.cat(self._means(), 1)
        with asking(self.member.noise, "what init returned"):
            phi = self.formulas.noise.init(mu)
            per_layer = [] if phi is None else [phi] if phi.shape[1] == 1 else phi.split(self.sizes, 1)
        means, free = ([t.clone() for t in parts] for parts in (mu.split(self.sizes, 1), per_layer))
        parameters = Parameters.fresh(means, free, self.formulas.solves)
        for deviation in parameters.deviations:
            sigma, derivative = self.formulas.spread(deviation.phi)
            deviation.sigma.copy_(sigma)
            deviation.derivative.copy_(derivative)
        noise = generator(self.seed, NOISE, device=self.device)
        xi = self.draw(noise)
        weights = sampled(parameters.mu, parameters.sigma, xi.split(self.sizes, 1))
        zeros = torch.zeros(len(self), device=self.device, dtype=self.dtype)
        alive = torch.ones(len(self), 1, device=self.device, dtype=torch.bool)
        return State(parameters, [w.clone() for w in weights], xi, alive, zeros, zeros.clone(), noise)

    def _means(self) -> list[Tensor]:
        """The initial means that the network asks for, per layer (member, synapses)."""
        unit = torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype)
        unit.uniform_(-1, 1, generator=generator(self.seed, INIT, device=self.device))
        units = self.layered(list(unit.split(self.sizes, 1)))
        each = [p.member.network.start(units, self.seed) for p in self.points]
        with asking(self.network, "what start returned"):
            return [torch.cat(means).flatten(1).view(len(self), -1) for means in zip(*each, strict=True)]

    def order(self, epoch: int) -> Tensor:
        """The epoch's minibatches, (batches, batch_size): a fresh permutation, less what does not fill a minibatch."""
        shuffled = torch.randperm(self.data.examples, generator=generator(self.seed, ORDER, epoch))
        return shuffled[: self.batches * self.batch_size].view(self.batches, -1).to(self.device)

    def solves(self, state: State) -> bool:
        """Whether sigma is solved for in these networks; without noise there is none to solve for."""
        return self.formulas.solves and bool(state.parameters.deviations)
