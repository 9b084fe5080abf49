"""Trained means continued for a few minibatches under several learning rules, with sigma held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ebayes_plugins.analyses._plugins import plugin
from ebayes_plugins.optimizers import Adam, Natural, Sgd

if TYPE_CHECKING:
    from torch import Tensor

    from ebayes_core.contract.slots import Optimizer
    from ebayes_core.trained.network import Trained

Tensors = list[Any]  #: one tensor for each layer


class Rule(NamedTuple):
    """A learning rule, and the power of the curvature by which it divides a gradient."""

    name: str
    optimizer: Optimizer
    metric: str  #: what Natural scales a step by: the inverse curvature, or the variance of the weight
    slope: Callable[[float], float]  #: of ln |change| on ln sigma^2 at the optimum of a power law of this exponent


#: A gradient goes with H^(1/2), a step with H^(1/2 - alpha), and sigma^2 with H^(-2/(rho + 2)). Both of the last
#: two rules are called natural gradients, but the variance of a weight is its inverse curvature for variational Bayes
#: (rho = 0) only: under any other cost they differ.
#: Momentum is left out: it changes no slope, and continuations that begin with the same momentum are not independent.
RULES = (
    Rule("SGD", Sgd(momentum=0.0), "", lambda rho: -(rho + 2) / 4),
    Rule("Adam", Adam(beta1=0.0), "", lambda rho: 0.0),
    Rule("steps divided by H", Natural(), "curvature", lambda rho: (rho + 2) / 4),
    Rule("steps times σ²", Natural(), "variance", lambda rho: (2 - rho) / 4),
)


@dataclass(frozen=True)
class Learning:
    """A trained network with its data, and how long it is continued."""

    net: Trained
    spec: dict[str, Any]
    task: Any
    x: Tensor
    y: Tensor
    curvature: Tensors  #: H per datapoint of each layer (*shape), 0 where a synapse is flat
    copies: list[float]  #: synapses that share a mean and sigma, of each layer
    batch: int
    steps: int  #: of a continuation
    repeats: int  #: continuations from the trained means, of which the root mean square change is taken
    warm_up: int  #: steps before the continuations in which squared gradients are averaged and means stay
    size: float  #: what a step adds to the loss per example, to second order and without correlations (nat)
    seed: int = 0  #: of the minibatches and the noise

    def changes(self, rules: tuple[Rule, ...] = RULES) -> list[Tensors]:
        """Root mean square change of each mean under each rule, per layer (*shape), in weight.

        All rules see the same minibatches and noise.
        """
        import torch

        with torch.no_grad():
            memories = self._warmed(rules)
            return [self._change(rule, *memory) for rule, memory in zip(rules, memories, strict=True)]

    def _warmed(self, rules: tuple[Rule, ...]) -> list[tuple[float, Tensors]]:
        """The learning rate of each rule, and its memories after minibatches at the trained means."""
        memories = [[rule.optimizer.init(_row(m)) for m in self.net.mu] for rule in rules]
        draw, moved = self._minibatches(0), [self.net.mu] * len(rules)
        for step in range(1, self.warm_up + 1):
            gradient = self._gradient(self.net.mu, *next(draw))
            for i, rule in enumerate(rules):
                moved[i], memories[i] = self._step(rule, self.net.mu, memories[i], gradient, 1.0, step)
        return [(self._rate(m), memory) for m, memory in zip(moved, memories, strict=True)]

    def _rate(self, moved: Tensors) -> float:
        """The learning rate whose steps are of the wanted size, from a step of learning rate 1."""
        parts = zip(moved, self.net.mu, self.curvature, strict=True)
        added = sum(float((h * (m - mu) ** 2).sum()) / 2 for m, mu, h in parts)
        return float((self.size / added) ** 0.5) if added > 0 else 0.0

    def _change(self, rule: Rule, rate: float, memory: Tensors) -> Tensors:
        """Root mean square change over the continuations, per layer."""
        squares = [0 * m for m in self.net.mu]
        for repeat in range(1, self.repeats + 1):
            mu, kept = self.net.mu, memory
            for step, (index, seed) in enumerate(self._minibatches(repeat, self.steps), self.warm_up + 1):
                mu, kept = self._step(rule, mu, kept, self._gradient(mu, index, seed), rate, step)
            squares = [s + (m - start) ** 2 for s, m, start in zip(squares, mu, self.net.mu, strict=True)]
        return [(s / self.repeats).sqrt() for s in squares]

    def _minibatches(self, stream: int, count: int | None = None) -> Iterator[tuple[Tensor, int]]:
        """Indices of examples, and a seed of the noise; the same for every rule."""
        import torch

        random, step = torch.Generator().manual_seed((self.seed << 20) + stream), 0
        while count is None or step < count:
            index = torch.randint(len(self.x), (self.batch,), generator=random)
            yield index, int(torch.randint(2**62, (), generator=random))
            step += 1

    def _gradient(self, mu: Tensors, index: Tensor, seed: int) -> Tensors:
        """Gradient of the objective per datapoint in the means, at weights drawn about them; per layer (*shape)."""
        import torch

        x, y = self.x[index], self.y[index]
        draws = self.net.network.draws(tuple(x.shape[1:]), self.task.shape)
        xi = self.net.xi(1, draws, torch.Generator().manual_seed(seed))
        weights = replace(self.net, mu=mu).weights(xi)
        found = [torch.zeros_like(w) for w in weights]
        self.net.network.gradients(weights, x, lambda o: self.task.residual(o, y) / len(index), found)
        of_loss = [g.flatten(0, g.ndim - m.ndim - 1).sum(0) for g, m in zip(found, mu, strict=True)]
        return [g + rest for g, rest in zip(of_loss, self._of_costs(mu), strict=True)]

    def _of_costs(self, mu: Tensors) -> Tensors:
        """Gradient of the other terms of the objective, per datapoint."""
        import torch

        inference, price = plugin(self.spec, "inference"), plugin(self.spec, "cost").given(None)  # normal: no quanta
        with torch.enable_grad():
            leaves = [m.detach().requires_grad_() for m in mu]
            terms = [
                n * inference.penalty(m, f["sigma"], price).sum()
                for m, f, n in zip(leaves, self.net.free, self.copies, strict=True)
            ]
            found = torch.autograd.grad(sum(terms), leaves, allow_unused=True, materialize_grads=True)
        return [g / len(self.x) for g in found]

    def _step(
        self, rule: Rule, mu: Tensors, memories: Tensors, gradient: Tensors, rate: float, step: int
    ) -> tuple[Tensors, Tensors]:
        """The moved means, and what the rule then remembers."""
        import torch

        from ebayes_core.contract.slots import Slope

        moved = []
        constants = rule.optimizer.constants(torch.tensor([[float(step)]], dtype=torch.float64))
        for m, memory, g, metric in zip(mu, memories, gradient, self._metrics(rule), strict=True):
            slope = Slope(_row(g), _row(g), len(self.x), _row(metric))
            value, kept = rule.optimizer.step(_row(m), memory, slope, torch.full((1, 1), rate).to(m), constants)
            moved.append((value.view_as(m), kept))
        return [value for value, _ in moved], [kept for _, kept in moved]

    def _metrics(self, rule: Rule) -> Tensors:
        """What a step of the rule is scaled by, 1 / (N H) or sigma^2; flat synapses do not move by the former."""
        if rule.metric == "curvature":
            return [(1 / (len(self.x) * h)).where(h > 0, 0 * h) for h in self.curvature]
        return [f["sigma"].expand_as(m) ** 2 for f, m in zip(self.net.free, self.net.mu, strict=True)]


def _row(t: Tensor) -> Tensor:
    """As an optimizer sees it: one network, (1, synapses)."""
    return t.reshape(1, -1)
