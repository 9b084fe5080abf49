"""A cohort: networks that share a seed and one formula, ready to train, and the state that training changes."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ebayes_core.contract.attribution import asking
from ebayes_core.contract.slots import Cost, Network, Noise
from ebayes_core.engine.budget import budgeted
from ebayes_core.engine.data import Data
from ebayes_core.engine.layers import counts, layers
from ebayes_core.engine.noise import Source
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.parameters import Parameter, Parameters, Spread, layered, split, unsolved
from ebayes_core.engine.philox import key
from ebayes_core.engine.randomness import INIT, NOISE, ORDER, ROOTS, SHUFFLE, generator
from ebayes_core.engine.stacking import stack
from ebayes_core.errors import PluginError
from ebayes_core.modules.means import given_means
from ebayes_core.results.provenance import COMPILED
from ebayes_core.spec import Point

CHUNK = 1000  #: examples per forward pass of a measurement
# With fewer synapse updates than this, compiling takes longer than it saves.
WORTH_COMPILING = 1e8


@dataclass
class State:
    """All that a cohort carries from step to step; a checkpoint holds this and nothing else."""

    parameters: Parameters
    weights: list[Tensor]  #: drawn, per layer (member, synapses), or (member, draws, synapses)
    xi: Tensor  #: (1, draws of all layers), the noise that they were drawn with
    alive: Tensor  #: (member, 1), the networks that still train
    loss: Tensor  #: (member,) nll summed over the steps of this epoch
    correct: Tensor  #: (member,) share of correct answers, summed over the steps of this epoch
    roots: torch.Generator  #: of the random roots of the curvature that the solver for sigma takes
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
        self.inputs, self.outputs = tuple(data.x.shape[1:]), data.task.shape
        self.shapes = layers(member, self.inputs, self.outputs)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.draws = counts(member, "draws", self.inputs, self.outputs)
        self.copies = counts(member, "copies", self.inputs, self.outputs)
        self.drawn = [n * size for n, size in zip(self.draws, self.sizes, strict=True)]  #: weights drawn for a pass
        self.batch_size = min(member.training.batch_size, data.examples)
        self.batches = data.examples // self.batch_size
        self.formulas = self.formulas_of(points)
        #: networks whose flat synapses come to rest at a cheapest sigma, (member, 1)
        self.rests = torch.tensor([[_rests(p.member.cost, p.member.noise)] for p in points], device=self.device)
        work = len(points) * sum(self.sizes) * self.batches * self.training.epochs
        self.compile = work > WORTH_COMPILING if compile is None else compile
        quick = compile is not False if self.device.type == "cpu" else self.compile  # C is compiled in no time
        self.noise = Source(key(self.seed, NOISE), self.formulas.noise.base == "normal", quick)
        #: how the step is computed: provenance.COMPILED, or why it is not compiled
        self.compiled = COMPILED if self.compile else "no: too little work" if compile is None else "no: --compile off"

    def __len__(self) -> int:
        return len(self.points)

    def formulas_of(self, points: list[Point]) -> Formulas:
        """The formulas of these networks, stacked."""
        cost, noise, inference, optimizer = (
            stack([getattr(p.member, name) for p in points], self.dtype, self.device)
            for name in ("cost", "noise", "inference", "optimizer")
        )
        steps = self.batches * self.training.epochs
        horizon = steps if self.training.schedule == "cosine" else None
        solves = self.training.sigma == "fixed_point"
        carries = self._carries(noise, len(points)) and not (cost.quantal and noise.quantal())
        shared, synapses = tuple(self.copies), sum(self.sizes)
        examples = self.data.examples
        held = self.training.means == "held"
        alone = len(noise.init(torch.zeros(len(points), 2, dtype=self.dtype, device=self.device))) == 1
        power_law = cost.exponent is not None and not (cost.quantal and noise.quantal())
        normalises = inference.allowance is not None and power_law and alone and not solves
        return Formulas(
            cost, noise, inference, optimizer, examples, shared, synapses, horizon, solves, carries, held, normalises
        )

    def _carries(self, noise: Noise, members: int) -> bool:
        """Whether weights are mu + sigma xi with a sigma that depends on the only free parameter alone."""
        mu = torch.zeros(members, 2, dtype=self.dtype, device=self.device)
        with asking(noise, "what init returned"):
            free = dict(noise.init(mu).items())
        with torch.enable_grad():
            depends = bool(free) and noise.sigma(mu.requires_grad_(), free).requires_grad
        if depends and noise.own_sigma:
            raise PluginError(
                f"the noise '{noise.kind}' ({type(noise).__module__}): sigma() depends on mu; say so with "
                "own_sigma: ClassVar[bool] = False"
            )
        return noise.gaussian() and len(free) == 1 and not depends

    def layered(self, flat: list[Tensor]) -> list[Tensor]:
        """(member, ..., synapses) per layer as (member, ..., *shape)."""
        return [t.unflatten(-1, shape) for t, shape in zip(flat, self.shapes, strict=True)]

    def by_layer(self, xi: Tensor) -> list[Tensor]:
        """Draws of the whole network by layers: (1, synapses), or (1, draws, synapses)."""
        parts = zip(xi.split(self.drawn, 1), self.draws, strict=True)
        return [t if n == 1 else t.unflatten(1, (n, -1)) for t, n in parts]

    def repeated(self, mu: list[Tensor]) -> list[Tensor]:
        """The same weights in every draw."""
        return [m if n == 1 else m[:, None].expand(-1, n, -1) for m, n in zip(mu, self.draws, strict=True)]

    def outputs_of(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Outputs (member, examples, *outputs) of weights per layer (member, [draws,] *shape), a few at a time."""
        return torch.cat([self.network.forward(weights, few) for few in x.split(CHUNK)], 1)

    def draw(self, noise: torch.Generator) -> Tensor:
        """One xi per drawn weight, (1, draws of all layers), which all networks share, to measure them."""
        xi = torch.empty(1, sum(self.drawn), device=self.device, dtype=self.dtype)
        return xi.normal_(generator=noise) if self.formulas.noise.base == "normal" else xi.uniform_(generator=noise)

    def start(self) -> State:
        """Initial means, the free parameters as the noise says, and the first drawn weights."""
        mu = torch.cat(self._means(), 1)
        with asking(self.member.noise, "what init returned"):
            free = {name: split(p, self.sizes) for name, p in self.formulas.noise.init(mu).items()}
        parameters = budgeted(self, self.parameters([m.clone() for m in mu.split(self.sizes, 1)], free))
        xi = self.noise.empty(mu, sum(self.drawn))
        self.noise.fill(xi, torch.zeros(1, 1, dtype=torch.float64, device=self.device))
        means, free_or_sigma = self.formulas.place(parameters)
        weights = self.formulas.drawn(means, layered(free_or_sigma, len(means)), self.by_layer(xi))
        roots = generator(self.seed, ROOTS, device=self.device)
        zeros = torch.zeros(len(self), device=self.device, dtype=self.dtype)
        alive = torch.ones(len(self), 1, device=self.device, dtype=torch.bool)
        return State(parameters, [w.clone() for w in weights], xi, alive, zeros, zeros.clone(), roots)

    def parameters(self, mu: list[Tensor], free: dict[str, list[Tensor]]) -> Parameters:
        """Parameters at these values before the first step; free: by name, for each layer or one for all."""
        f, optimizer = self.formulas, self.formulas.optimizer
        remembered = unsolved if f.solves else optimizer.init
        with asking(self.member.optimizer, "what init returned"):
            means = [Parameter(m, () if f.held else tuple(optimizer.init(m))) for m in mu]
            others = {name: [Parameter(p, tuple(remembered(p))) for p in parts] for name, parts in free.items()}
        nowhere = torch.zeros(len(self), 1, dtype=torch.float64, device=self.device)
        parameters = Parameters(means, others, [], travelled=[nowhere], remembered=self._remembered(mu))
        spreads = f.spreads(parameters)[: len(next(iter(free.values())))] if f.carries else []
        return parameters._replace(spreads=[Spread(*(t.clone() for t in s)) for s in spreads])

    def _remembered(self, mu: list[Tensor]) -> dict[str, list[Tensor]]:
        """What the inference remembers before the first stage ends, by name for each layer; nothing if there is one."""
        if self.data.stages == 1:
            return {}
        with asking(self.member.inference, "what nothing_yet returned"):
            found = [self.formulas.inference.nothing_yet(m) for m in mu]
            return {name: [of_layer[name].clone() for of_layer in found] for name in found[0]}

    @cached_property
    def others(self) -> list[Tensor]:
        """A random order of the synapses of each layer, by seed and layer; empty unless the optimizer shuffles."""
        if not self.formulas.optimizer.shuffled:
            return []
        orders = (torch.randperm(n, generator=generator(self.seed, SHUFFLE, i)) for i, n in enumerate(self.sizes))
        return [order.to(self.device) for order in orders]

    @cached_property
    def beginnings(self) -> list[Tensor]:
        """The means before the first step, per layer (member, synapses)."""
        return self._means()

    def _means(self) -> list[Tensor]:
        """The initial means that the network asks for, per layer (member, synapses)."""
        unit = torch.empty(1, sum(self.sizes), device=self.device, dtype=self.dtype)
        unit.uniform_(-1, 1, generator=generator(self.seed, INIT, device=self.device))
        units = self.layered(list(unit.split(self.sizes, 1)))
        each = [self._start(p.member.network, units) for p in self.points]
        with asking(self.network, "what start returned"):
            return [torch.cat(means).flatten(1).view(len(self), -1) for means in zip(*each, strict=True)]

    def _start(self, network: Network, units: list[Tensor]) -> list[Tensor]:
        """The initial means of one network, (1, *shape) each: those that it is given, or its own."""
        if network.means is None:
            return network.start(units, self.seed)
        return [m[None].to(u) for m, u in zip(given_means(network, self.inputs, self.outputs), units, strict=True)]

    def order(self, epoch: int) -> Tensor:
        """The epoch's minibatches, (batches, batch_size): a fresh permutation, less what does not fill a minibatch."""
        shuffled = torch.randperm(self.data.examples, generator=generator(self.seed, ORDER, epoch))
        order = shuffled[: self.batches * self.batch_size].view(self.batches, -1).to(self.device)
        return order if self.data.stage is None else (self.data.stage == self.stage(epoch)).nonzero()[order, 0]

    def stage(self, epoch: int) -> int:
        """The stage whose data are shown in an epoch; the stages share the epochs of training."""
        stages, epochs = self.data.stages, int(self.training.epochs)
        return min(epoch * stages // epochs, stages - 1)

    def steps_before(self, epoch: int) -> int:
        """How many steps come before the stage to which an epoch belongs."""
        return int(self.batches) * math.ceil(self.stage(epoch) * int(self.training.epochs) / self.data.stages)

    def at_stage(self, stage: int) -> Cohort:
        """The same networks with the data of one stage alone."""
        return self if self.data.stage is None else self.given(self.data.parts[stage])

    def given(self, data: Data) -> Cohort:
        """The same networks with other data."""
        other = copy.copy(self)
        other.data = data
        return other

    def solves(self, state: State) -> bool:
        """Whether sigma is solved for in these networks; without noise there is none to solve for."""
        return self.formulas.solves and state.parameters.noisy


def _rests(cost: Cost, noise: Noise) -> bool:
    """Whether a synapse without curvature has a cheapest sigma."""
    return not cost.monotone and not (cost.quantal and noise.quantal())
