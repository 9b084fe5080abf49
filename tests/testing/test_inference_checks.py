"""The check of inferences: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Inference
from ebayes_core.testing import check_inference


@pytest.mark.parametrize("kind", sorted(Registry.load().kinds("inference")))
def test_every_inference_passes(registry: Registry, kind: str) -> None:
    check_inference(registry.composed(registry.kinds("inference")[kind]))


class GoodInference(Inference):
    """A correct objective, from which faulty ones are derived."""

    kind: Literal["good"] = "good"
    decay: float = Field(0.1, ge=0, le=10, description="price of mu^2")

    def magnitude_cost(self, mu, sigma):
        return self.decay * mu**2

    def reliability_cost(self, mu, sigma, cost):
        return cost(sigma, mu)


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"magnitude_cost": lambda self, mu, sigma: self.decay * mu**2 / sigma}, "sigma = 0"),
        (
            {"magnitude_cost": lambda self, mu, sigma: self.decay * (mu**2 + sigma**2).sqrt()},
            "no finite gradient in mu",
        ),
        ({"log_prior": lambda self, mu, sigma: 0 * mu + mu.sum()}, "log_prior is not elementwise"),
        ({"magnitude_cost": lambda self, mu, sigma: (self.decay * mu**2).sum()}, "must be elementwise"),
        ({"magnitude_cost": lambda self, mu, sigma: mu**2}, "decay changes nothing"),
        ({"reliability_cost": lambda self, mu, sigma, cost: cost(sigma.detach(), mu)}, "gradient"),
        ({"reliability_cost": lambda self, mu, sigma, cost: cost(sigma, mu).float()}, "fixed type"),
        ({"reliability_cost": lambda self, mu, sigma, cost: 1 / sigma}, "does not depend .* set pays = False"),
        ({"pays": False}, "depends on the cost of the spec: set pays = True"),
    ],
)
def test_inference_mistakes_are_caught(methods, message: str) -> None:
    check_inference(GoodInference)
    with pytest.raises(AssertionError, match=message):
        check_inference(type("Broken", (GoodInference,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


def of(method: str, change):
    """GoodInference with a change to the result of one method."""
    given = getattr(GoodInference, method)
    return {method: lambda self, *arguments: change(given(self, *arguments), *arguments)}


def at_the_bound(value, mu, sigma):
    """0 / 0 where decay is 10, which shows in the price of a mean of 1."""
    decay = value / mu.square().clamp(min=1e-30)
    return value + 0 / (decay - 10).abs().round(decimals=9).where(mu != 0, 1)


def test_a_reliability_that_costs_nothing_passes() -> None:
    free = {"reliability_cost": lambda self, mu, sigma, cost: 0 * sigma, "pays": False}
    check_inference(type("Free", (GoodInference,), {**free, "__doc__": "Free.", "__module__": __name__}))


INFERENCE_MISTAKES = {
    "half detached": (of("magnitude_cost", lambda v, m, s: (v + v.detach()) / 2), "autograd's gradient in mu"),
    "drops an axis": (of("reliability_cost", lambda v, m, s, c: v.squeeze(0)), "reliability_cost returned .*squeeze"),
    "random": (of("magnitude_cost", lambda v, m, s: v * torch.rand_like(v)), "magnitude_cost draws random numbers"),
    "mean over synapses": (of("reliability_cost", lambda v, m, s, c: v * m.abs().mean()), "cost is not elementwise"),
    "numpy": (of("magnitude_cost", lambda v, m, s: v * torch.from_numpy(np.abs(m.numpy()))), "it uses numpy"),
    "no slope at 0": (of("magnitude_cost", lambda v, m, s: v + m.abs().sqrt()), "in mu is not finite at .*mu = 0"),
    "numpy, of a tensor": (of("reliability_cost", lambda v, m, s, c: v * np.exp(-(s * s))), "it uses numpy"),
    "numpy, of a field": ({"magnitude_cost": lambda s, m, sigma: np.sqrt(s.decay) * m**2}, "fails .*it uses numpy"),
    "in place": (of("magnitude_cost", lambda v, m, s: v + 0 * m.mul_(2)), "changes a tensor in place"),
    "in place by +=": (of("reliability_cost", lambda v, m, s, c: v + s.__iadd__(1)), "changes a tensor in place"),
    "flat where training starts": (
        {"reliability_cost": lambda s, m, sigma, cost: cost(sigma.clamp(min=1e-3), m)}, "is constant from .* to 0.001"
    ),
    "rises with sigma": (of("reliability_cost", lambda v, m, s, c: 1 / v), "reliability_cost increases with sigma"),
    "steep at the default start": (
        of("reliability_cost", lambda v, m, s, c: v - 1e-9 * (s - 1e-4).abs().sqrt() * (s - 1e-4).sign()),
        "gradient in sigma is not finite at sigma = 0.0001",
    ),
    "NaN at a bound": (of("magnitude_cost", at_the_bound), "magnitude_cost is not finite .*decay=10.0"),
    "a prior of numpy": ({"log_prior": lambda self, m, s: np.abs(m)}, "log_prior .*it uses numpy"),
    "no number in the prior's arguments": (
        {"log_prior": lambda self, m, s: m * np.random.rand()}, "log_prior draws random numbers"
    ),
    "a prior in place": ({"log_prior": lambda self, m, s: m.mul_(2)}, "log_prior changed its argument in place"),
    "a prior that fails": ({"log_prior": lambda self, m, s: m.nonsense}, "log_prior raised AttributeError"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", INFERENCE_MISTAKES)
def test_subtle_mistakes_of_an_inference_are_named(mistake: str) -> None:
    methods, message = INFERENCE_MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_inference(type("Broken", (GoodInference,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
    assert str(caught.value).startswith("Broken.")


class Remembers(GoodInference):
    """A correct memory, from which faulty ones are derived."""

    kind: Literal["remembers"] = "remembers"

    def nothing_yet(self, mu):
        return {"left": 0 * mu, "held": 0 * mu}

    def remember(self, memory, stage):
        return {"left": stage.mu, "held": 1 + 0 * stage.mu}

    def consolidation_cost(self, mu, sigma, memory):
        return self.decay * memory["held"] * (mu - memory["left"]) ** 2


def in_place(self, memory, stage):
    memory["held"] += 1
    return {**memory, "left": stage.mu}


MEMORY_MISTAKES = {
    "costs before a stage": (
        {"consolidation_cost": lambda self, mu, sigma, memory: self.decay * (mu - memory["left"]) ** 2}, "is not 0 with"
    ),
    "other names": ({"remember": lambda self, memory, stage: {"left": stage.mu}}, "the names must agree"),
    "writes": ({"remember": in_place}, "changes the memory"),
    "fisher": (
        {"remember": lambda self, memory, stage: {"left": stage.mu, "held": stage.fisher}}, "set needs_fisher = True"
    ),
    "no fisher": ({"needs_fisher": True}, "set needs_fisher = False"),
    "one number": ({"nothing_yet": lambda self, mu: {"left": mu.sum(), "held": 0 * mu}}, "'left' must have the shape"),
    "a list": ({"nothing_yet": lambda self, mu: [0 * mu]}, "must return a dict"),
    "not elementwise": (
        {"consolidation_cost": lambda self, mu, sigma, memory: self.decay * memory["held"] * mu.abs().sum()},
        "elementwise",
    ),
}  # fmt: skip


def test_a_memory_passes() -> None:
    check_inference(Remembers)


@pytest.mark.parametrize("methods, message", MEMORY_MISTAKES.values(), ids=MEMORY_MISTAKES)
def test_memory_mistakes_are_caught(methods, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_inference(type("Broken", (Remembers,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
