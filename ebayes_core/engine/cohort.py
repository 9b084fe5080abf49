"""A cohort: networks that share a seed and one formula, ready to train, and the state that training changes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.engine.data import Data
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
        with asking(member.network, "what shapes returned"):
            self.shapes = member.network.shapes(data.x.shape[1], data.task.outputs)
            self.sizes = [int(np.prod(shape)) for shape in self.shapes]
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
        unit = torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype)
        unit.uniform_(-1, 1, generator=generator(self.seed, INIT, device=self.device))
        mu = stack([p.member.network for p in self.points], self.dtype, self.device).init * unit
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

    def order(self, epoch: int) -> Tensor:
        """The epoch's minibatches, (batches, batch_size): a fresh permutation, less what does not fill a minibatch."""
        shuffled = torch.randperm(self.data.examples, generator=generator(self.seed, ORDER, epoch))
        order = shuffled[: self.batches * self.batch_size].view(self.batches, -1).to(self.device)
        return order if self.data.stage is None else (self.data.stage == self.stage(epoch)).nonzero()[order, 0]

    def stage(self, epoch: int) -> int:
        """The stage whose data are shown in an epoch; the stages share the epochs of training."""
        stages, epochs = self.data.stages, int(self.training.epochs)
        return min(epoch * stages // epochs, stages - 1)

    def at_stage(self, stage: int) -> Cohort:
        """The same networks with the data of one stage alone."""
        if self.data.stage is None:
            return self
        alone = copy.copy(self)
        alone.data = self.data.parts[stage]
        return alone

    def solves(self, state: State) -> bool:
        """Whether sigma is solved for in these networks; without noise there is none to solve for."""
        return self.formulas.solves and bool(state.parameters.deviations)
