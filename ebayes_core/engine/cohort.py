"""A cohort: K networks that share a seed and compute one formula, ready to train, and all that training changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.engine.compiler import Step, compiled
from ebayes_core.engine.data import Data
from ebayes_core.engine.fixed_point import ceiling, collected, followed, newest
from ebayes_core.engine.objective import Formulas, sampled
from ebayes_core.engine.per_example import squared_gradients
from ebayes_core.engine.randomness import INIT, NOISE, ORDER, generator
from ebayes_core.engine.stacking import stack
from ebayes_core.engine.step import Parameters, make_step
from ebayes_core.results.provenance import COMPILED
from ebayes_core.spec import Point

# Below this many synapse updates, compiling takes longer than it saves.
WORTH_COMPILING = 1e9
# Synapses that the step takes at a time where it is not compiled: fewer pay for calls, more leave the cache.
IN_CACHE = 400_000


@dataclass
class State:
    """All that a cohort carries from step to step; a checkpoint is this and nothing else."""

    parameters: Parameters
    weights: list[Tensor]
    xi: Tensor
    alive: Tensor
    loss: Tensor  #: (member,) nll summed over this epoch's steps
    correct: Tensor  #: (member,) right answers in this epoch
    noise: torch.Generator
    epoch: int = 0
    batch: int = 0
    step: int = 0
    died: dict[int, str] = field(default_factory=dict)  #: when, and what of it was not finite
    curves: list[dict[str, Tensor]] = field(default_factory=list)


class Cohort:
    """Members that compute one formula, ready to train: stacked plugins, data, and the shapes of their layers."""

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
        #: how the update is computed: provenance.COMPILED, or why it is not
        self.compiled = COMPILED if self.compile else "no: too little work" if compile is None else "no: --compile off"

    def __len__(self) -> int:
        return len(self.points)

    def formulas_of(self, points: list[Point]) -> Formulas:
        """What these members compute, stacked."""
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
        """One standard normal per synapse (1, synapses), which all members share (common random numbers)."""
        return torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype).normal_(generator=noise)

    def start(self) -> State:
        """Means uniform (Methods), phi as the noise says, and the first sampled weights."""
        unit = torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype)
        unit.uniform_(-1, 1, generator=generator(self.seed, INIT, device=self.device))
        mu = stack([p.member.network for p in self.points], self.dtype, self.device).init * unit
        with asking(self.member.noise, "what init returned"):
            phi = self.formulas.noise.init(mu)
            per_layer = [] if phi is None else [phi] if phi.shape[1] == 1 else phi.split(self.sizes, 1)
        parameters = Parameters([m.clone() for m in mu.split(self.sizes, 1)], [p.clone() for p in per_layer])
        if self.formulas.solves:
            parameters.phi_first = [m.new_zeros(len(self), 1) for m in parameters.phi]
        spreads = [self.formulas.spread(p) for p in parameters.phi]
        parameters.sigma, parameters.dsigma = [s for s, _ in spreads], [d for _, d in spreads]
        noise = generator(self.seed, NOISE, device=self.device)
        xi = self.draw(noise)
        weights = sampled(parameters.mu, parameters.sigma, xi.split(self.sizes, 1))
        zeros = torch.zeros(len(self), device=self.device, dtype=self.dtype)
        alive = torch.ones(len(self), 1, device=self.device, dtype=torch.bool)
        return State(parameters, [w.clone() for w in weights], xi, alive, zeros, zeros.clone(), noise)

    def order(self, epoch: int) -> Tensor:
        """The epoch's minibatches (batches, batch_size): a fresh permutation, the few left over dropped."""
        shuffled = torch.randperm(self.data.examples, generator=generator(self.seed, ORDER, epoch))
        return shuffled[: self.batches * self.batch_size].view(self.batches, -1).to(self.device)

    def clock(self, step: int) -> Tensor:
        """All that hangs on the number of a step, which counts from 1; (4, member, 1), in double before rounding.

        Adam's two bias corrections, the share of the learning rates that the schedule leaves, and the weight of the
        step in the running means of the solver.
        """
        betas = torch.stack([self.formulas.beta1, self.formulas.beta2]).double()
        done = (step - 1) / (self.batches * self.training.epochs)
        left = (1 + math.cos(math.pi * done)) / 2 if self.training.schedule == "cosine" else 1.0
        others = [torch.full_like(betas[:1], value) for value in (left, newest(step))]
        return torch.cat([-torch.expm1(step * betas.log()), *others]).to(self.dtype)

    def solves(self, state: State) -> bool:
        """Whether sigma is solved for in these networks; there is none to solve for without noise."""
        return self.formulas.solves and bool(state.parameters.phi)

    def squares(self, state: State, x: Tensor) -> list[Tensor]:
        """Mean squared per-example gradients with labels of the model's own (Eq. 31), if sigma is solved for."""
        if not self.solves(state):
            return []
        task, weights = self.data.task, self.layered(state.weights)
        labelled = lambda outputs: [task.residual(outputs, task.sample(outputs, state.noise))]
        found = squared_gradients(self.network, weights, x, labelled)
        return [q.flatten(1) / len(x) for q in found]

    def follow(self, state: State, slopes: list[Tensor], clock: Tensor) -> None:
        """Correct the scale of each layer's Fisher by what this step's noise met, if sigma is solved for."""
        p = state.parameters
        if self.solves(state):
            noise = state.xi.split(self.sizes, 1)
            seen = collected([g * x for g, x in zip(slopes, noise, strict=True)], p.sigma)
            for k, *layer in zip(p.phi_first, p.sigma, seen, p.phi_second, strict=True):
                k.copy_(followed(k, clock[3], *layer))

    def bounds(self, state: State) -> list[Tensor]:
        """The scale of each layer's running Fisher, then the ceiling of its sigmas, if sigma is solved for.

        Outside of the kernel, since inductor (2.14) fails on sums over what the same kernel writes.
        """
        p = state.parameters
        if not self.solves(state):
            return []
        return [*(k.exp() for k in p.phi_first), *map(ceiling, p.sigma)]

    def update(self, state: State, slopes: list[Tensor]) -> Step:
        """The kernel of this cohort, compiled where that pays and a compiler works."""
        kernel = None
        if self.compile:
            xi, lists = state.xi.split(self.sizes, 1), state.parameters.lists()
            squares, bounds = slopes if self.solves(state) else [], self.bounds(state)
            example = (lists, state.weights, slopes, squares, bounds, xi, xi, self.clock(1), state.alive)
            kernel = compiled(make_step(self.formulas), *example)
            self.compiled = COMPILED if kernel else "no: no working compiler"
        return kernel or self._in_parts()

    def _in_parts(self) -> Step:
        """The step as it is written, on a few members at a time: what it computes in between stays in the cache."""
        size = max(1, IN_CACHE // sum(self.sizes))
        parts = [slice(i, i + size) for i in range(0, len(self), size)]
        steps = [make_step(self.formulas_of(self.points[part])) for part in parts]

        def update(lists, weights, slopes, squares, bounds, xi, xi_next, clock, alive):  # type: ignore[no-untyped-def]
            for part, step in zip(parts, steps, strict=True):
                *own, w, g, q, k = ([t[part] for t in ts] for ts in (*lists, weights, slopes, squares, bounds))
                step(own, w, g, q, k, xi, xi_next, clock[:, part], alive[part])

        return update
