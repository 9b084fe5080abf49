"""The check of optimizers: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Optimizer
from ebayes_core.testing import check_optimizer
from ebayes_plugins.optimizers import ExponentiatedGradient, Natural


@pytest.mark.parametrize("kind", sorted(Registry.load().kinds("optimizer")))
def test_every_optimizer_passes(registry: Registry, kind: str) -> None:
    check_optimizer(registry.kinds("optimizer")[kind])


class GoodOptimizer(Optimizer):
    """A correct optimizer, from which faulty ones are derived: gradient descent with momentum."""

    kind: Literal["good"] = "good"
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is repeated")

    def init(self, p):
        return (torch.zeros_like(p),)

    def step(self, p, memory, slope, rate, constants):
        velocity = self.momentum * memory[0] + slope.gradient
        return p - rate * velocity, (velocity,)

    def rate(self, gradient, mu, sigma, examples):
        return self.learning_rate / (1 - self.momentum) + 0 * mu


def step(change):
    """GoodOptimizer, which moves by a changed step: change(self, p, velocity, slope)."""

    def changed(self, p, memory, slope, rate, constants):
        velocity = self.momentum * memory[0] + slope.gradient
        return p - rate * change(self, p, velocity, slope), (velocity,)

    return {"step": changed}


def memory(change):
    """GoodOptimizer, which remembers something else: change(self, velocity)."""

    def changed(self, p, memory, slope, rate, constants):
        moved, (velocity,) = GoodOptimizer.step(self, p, memory, slope, rate, constants)
        return moved, change(self, velocity)

    return {"step": changed}


def changes_memory(self, p, memory, slope, rate, constants):
    memory[0].mul_(self.momentum).add_(slope.gradient)
    return p - rate * memory[0], memory


def changes_parameter(self, p, memory, slope, rate, constants):
    p -= rate * slope.gradient
    return p, GoodOptimizer.step(self, p, memory, slope, rate, constants)[1]


def changes_gradient(self, p, memory, slope, rate, constants):
    slope.gradient.clamp_(-0.1, 0.1)
    return GoodOptimizer.step(self, p, memory, slope, rate, constants)


def counts():
    calls = []

    def changed(self, p, memory, slope, rate, constants):
        calls.append(1)
        return p - rate * slope.gradient * (self.momentum + len(calls)), memory

    return {"step": changed}


MISTAKES = {
    "ascends": (step(lambda s, p, v, slope: -v), "Broken.step moves along the gradient, not against it"),
    "ascends with the noise": (
        {"step_free": lambda s, p, m, slope, rate, c: (p + rate * slope.gradient, m)}, "Broken.step_free moves along"
    ),
    "stands still": (step(lambda s, p, v, slope: 0 * v), "leads down no quadratic loss"),
    "norm of the gradient": (
        step(lambda s, p, v, slope: v / v.norm(dim=-1, keepdim=True)), "Broken.step is not elementwise"
    ),
    "mixes networks": (step(lambda s, p, v, slope: v - 0.1 * v.mean(0)), "Broken.step is not elementwise"),
    "drops an axis": (
        {"step": lambda s, p, m, slope, rate, c: ((p - rate * slope.gradient)[:, 0], m)}, "step returned shape .2,. for"
    ),
    "drops it for one network": (
        {"step": lambda s, p, m, slope, rate, c: (p.squeeze(0) - rate.squeeze(0) * slope.gradient.squeeze(0), m)},
        r"step returned shape \(1,\) for a parameter of shape \(1, 1\).*squeeze",
    ),
    "another type": (step(lambda s, p, v, slope: v.double()), "Broken.step turns torch.float32 into torch.float64"),
    "memory of another type": (memory(lambda s, v: (v.float(),)), "what it remembers turns torch.float64"),
    "remembers more": (memory(lambda s, v: (v, v)), "remembers 2 tensors, but init 1"),
    "remembers a tensor": (memory(lambda s, v: v), "must return the parameter and a tuple"),
    "memory that mixes": (memory(lambda s, v: (v - 0.1 * v.mean(-1, keepdim=True),)), "is not elementwise"),
    "0 / 0 where no input is active": (
        step(lambda s, p, v, slope: v / (v * v).sqrt()), "is not finite at a gradient of 0"
    ),
    "overflow": (step(lambda s, p, v, slope: v * (1 + (slope.gradient**2).exp()).log()), "is not finite .*gradient of"),
    "counts its calls": (counts(), "second time: it keeps state"),
    "changes the parameter": ({"step": changes_parameter}, "step changed its argument in place"),
    "changes the memory": ({"step": changes_memory}, "step changed its argument in place"),
    "changes the gradient": ({"step": changes_gradient}, "step changed its argument in place"),
    "draws": (step(lambda s, p, v, slope: v + 1e-3 * torch.randn_like(v)), "draws random numbers"),
    "numpy": (step(lambda s, p, v, slope: np.sign(v) * v.abs()), "Broken.step .* it uses numpy"),
    "bound to the CPU": (
        step(lambda s, p, v, slope: v + torch.zeros(1, dtype=v.dtype)), "Broken.step fails on another device"
    ),
    "NaN at a bound": (
        step(lambda s, p, v, slope: v * (1 + s.momentum / s.momentum)), r"is not finite .*within .*momentum=0.0"
    ),
    "a scalar memory": ({"init": lambda s, p: (p.new_zeros(1),)}, "init: what is remembered .* must have its shape"),
    "no tuple": ({"init": lambda s, p: p.new_zeros(p.shape)}, "init returned Tensor, not a tuple"),
    "a memory on the CPU": ({"init": lambda s, p: (torch.zeros(p.shape, dtype=p.dtype),)}, "init changes the device"),
    "init changes p": ({"init": lambda s, p: (p.zero_(),)}, "init changed its argument in place"),
    "numbers as constants": ({"constants": lambda s, step: (0.5,)}, "constants returned float: .*member, 1"),
    "a constant without members": ({"constants": lambda s, step: (torch.ones(1),)}, "constants returned .1,."),
    "steps from 0": (
        {"constants": lambda s, step: (1 / (step - 1 + 0 * s.momentum),)}, "constants is not finite at step 1: steps"
    ),
    "a negative rate": ({"rate": lambda s, g, mu, sigma, n: s.learning_rate * mu}, "rate is not positive and finite"),
    "a rate of numpy": ({"rate": lambda s, g, mu, sigma, n: s.learning_rate * np.abs(mu)}, "rate .*it uses numpy"),
    "a rate in place": ({"rate": lambda s, g, mu, sigma, n: s.learning_rate / g.add_(1)}, "rate raised .* in place"),
    "a rate for all": ({"rate": lambda s, g, mu, sigma, n: s.learning_rate}, "rate returned shape .2, 1."),
    "an idle field": (
        {**step(lambda s, p, v, slope: slope.gradient), "rate": lambda s, g, mu, sigma, n: s.learning_rate + 0 * mu,
         "init": lambda s, p: (p.new_zeros(p.shape),)}, "learning_rate changes nothing|momentum changes nothing"
    ),
}  # fmt: skip


def broken(methods, base=GoodOptimizer):
    return type("Broken", (base,), {**methods, "__doc__": "Broken.", "__module__": __name__})


def test_an_optimizer_that_is_right_passes() -> None:
    check_optimizer(GoodOptimizer)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_an_optimizer_are_named(mistake: str) -> None:
    methods, message = MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_optimizer(broken(methods))
    assert str(caught.value).startswith("Broken")


def test_a_sign_that_is_declared_must_hold() -> None:
    linear = lambda self, p, memory, slope, rate, constants: (p - rate * p.abs() * slope.gradient, ())
    with pytest.raises(AssertionError, match=r'changes the sign of a mean, although it declares signs = "mean"'):
        check_optimizer(broken({"step": linear}, ExponentiatedGradient))


def test_only_a_gaussian_optimizer_has_the_metric() -> None:
    check_optimizer(broken({}, Natural))
    with pytest.raises(AssertionError, match=r"Broken.step raised .* unless the class declares gaussian = True"):
        check_optimizer(broken({"gaussian": False}, Natural))
