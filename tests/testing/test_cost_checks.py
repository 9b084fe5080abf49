"""The check of costs: every built-in passes, and each usual mistake is caught and named."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import CLOSED, Cost, VesicleCost
from ebayes_core.testing import check_cost
from tests.testing.mistakes import straight


@pytest.mark.parametrize("kind", sorted(Registry.load().kinds("cost")))
def test_every_cost_passes(registry: Registry, kind: str) -> None:
    check_cost(registry.composed(registry.kinds("cost")[kind]))


class GoodCost(Cost):
    """A correct cost, from which faulty ones are derived."""

    kind: Literal["good"] = "good"
    kappa: float = Field(0.1, gt=0.01, le=10, description="uptake")

    def energy(self, sigma, mu):
        return mu.abs() + self.kappa / sigma


def broken(name: str, energy, base=GoodCost, **members):
    return type(name, (base,), {"energy": energy, "__doc__": "Broken.", "__module__": __name__, **members})


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    def backward(ctx, grad):
        return grad / ctx.saved_tensors[0] ** 2  # the sign is missing


def stateful():
    calls = []

    def energy(self, sigma, mu):
        calls.append(1)
        return self.kappa / sigma * (1 + 1e-3 * len(calls))

    return energy


MISTAKES = {
    "sums over synapses": (lambda self, s, m: (self.kappa / s).sum(-1), "must be elementwise"),
    "mixes synapses": (lambda self, s, m: self.kappa / s + 1 / s.mean(-1, keepdim=True), "not elementwise"),
    "mixes members": (lambda self, s, m: self.kappa / s + 1 / s.mean(0), "not elementwise"),
    "rises with sigma": (lambda self, s, m: self.kappa * s, "increases with sigma"),
    "ignores sigma": (lambda self, s, m: self.kappa + 0 * s, "does not depend on sigma"),
    "wrong sign of the gradient": (lambda self, s, m: self.kappa * WrongBackward.apply(s), "gradient in sigma"),
    "detached": (lambda self, s, m: self.kappa / s.detach(), "gradient in sigma"),
    "not finite": (lambda self, s, m: self.kappa * (1 / s - 1e5).log(), "is not finite"),
    "double only": (lambda self, s, m: self.kappa * torch.ones(1, dtype=torch.float64) / s, "constant of a fixed type"),
    "single only": (lambda self, s, m: (self.kappa / s).float(), "constant of a fixed type"),
    "keeps state": (stateful(), "second time"),
    "changes its argument": (lambda self, s, m: self.kappa / s.mul_(1.5), "in place"),
    "bound to the CPU": (lambda self, s, m: self.kappa / s + torch.ones(1, dtype=s.dtype), "another device"),
    "decides by values": (lambda self, s, m: self.kappa / s if (s > 0).all() else s, "another device"),
    "no slope at zero": (
        lambda self, s, m: self.kappa / s + (m * m).sqrt(),
        "in mu is not finite at .*mu = 0.*replace .mu. by",
    ),
    "bound to the CPU, one number": (lambda self, s, m: (self.kappa / s).cpu(), "another device|changes the device"),
    "uses math": (lambda self, s, m: math.sqrt(self.kappa) / s, "tensor methods"),
    "is no tensor": (lambda self, s, m: 3.0, "not a tensor"),
}


def running_maximum():
    seen = torch.zeros(())

    def energy(self, sigma, mu):
        nonlocal seen
        seen = torch.maximum(seen, sigma.detach().max().cpu()) if sigma.device.type == "cpu" else seen
        return self.kappa / sigma * (1 + 1e-3 * float(seen))

    return energy


def cached(what):
    """Caches results by the shape and type of the arguments."""
    kept = {}

    def energy(self, sigma, mu):
        key = (sigma.shape, sigma.dtype, sigma.device)
        if key not in kept:
            kept[key] = what(self, sigma).detach()
        return kept[key] / sigma

    return energy


class HalfBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    def backward(ctx, grad):
        return -grad / (2 * ctx.saved_tensors[0] ** 2)


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return -grad / ctx.saved_tensors[0] ** 2


def through_numpy(self, sigma, mu):
    return self.kappa * torch.from_numpy(1 / sigma.numpy())


def overwritten(self, sigma, mu):
    price = (1 / sigma).sqrt()
    root = price**2
    price.mul_(2)  # which the power before needs for its slope
    return self.kappa * root


def changed_by_operator(self, sigma, mu):
    sigma += 1
    return self.kappa / sigma


#: costs that once were accepted, or refused by an exception of torch or in words that named another mistake
SUBTLE = {
    "flat over the upper half": (lambda s, sigma, m: s.kappa / sigma.clamp(max=0.03), "is constant from .* to 10:"),
    "flat below 1e-3, where training starts": (
        lambda s, sigma, m: s.kappa / sigma.clamp(min=1e-3), "is constant from sigma = 1e-06 to 0.001.*starts near 1e-4"
    ),
    "flat in the middle": (
        lambda s, sigma, m: 1 / sigma.clamp(max=0.1) + 1 / sigma.clamp(min=0.2), "is constant from sigma = 0.1 to 0.2"
    ),
    "drops an axis": (lambda s, sigma, m: (s.kappa / sigma).squeeze(0), r"shape \(1,\) for a single network"),
    "drops every axis of one": (lambda s, sigma, m: (s.kappa / sigma).squeeze(), r"shape \(\) for a single network"),
    "steep at the default start": (
        lambda s, sigma, m: s.kappa / sigma - 1e-9 * (sigma - 1e-4).abs().sqrt() * (sigma - 1e-4).sign(),
        "gradient in sigma is not finite at sigma = 0.0001",
    ),
    "steep in single precision alone": (
        lambda s, sigma, m: s.kappa / sigma - 1e-9 * (1 + sigma**2 - 1).sqrt(), "not finite in single precision at"
    ),
    "cache of the fields by shape": (cached(lambda s, sigma: s.kappa + 0 * sigma), "a cache must not contain"),
    "cache of the values by shape": (cached(lambda s, sigma: s.kappa / sigma), "keeps state|a cache must not contain"),
    "straight through": (lambda s, sigma, m: s.kappa / straight(sigma), "gradient in sigma is .*straight-through"),
    "half detached": (lambda s, sigma, m: 0.5 / sigma + 0.5 / sigma.detach(), "gradient in sigma is .*detach"),
    "half a backward pass": (lambda s, sigma, m: s.kappa * HalfBackward.apply(sigma), "gradient in sigma is"),
    "differentiable once": (lambda s, sigma, m: s.kappa * OnceOnly.apply(sigma), "differentiated: .* in sigma is 0"),
    "numpy": (through_numpy, "Broken.energy raised .* it uses numpy, .*write it with tensor methods"),
    "in place, where autograd looks": (overwritten, "Broken.energy raised RuntimeError.* changes a tensor in place"),
    "in place, without effect": (lambda s, sigma, m: s.kappa / sigma.clamp_(min=1e-9), "changes a tensor in place"),
    "mean over synapses": (lambda s, sigma, m: s.kappa / sigma * m.abs().mean(), "elementwise: .*do not use a mean"),
    "running maximum over synapses": (lambda s, sigma, m: 1 / sigma.cummax(-1).values, "not elementwise: .*running"),
    "running maximum over calls": (running_maximum(), "after it was called with others: it keeps state"),
    "numpy, of a tensor": (lambda s, sigma, m: s.kappa * np.exp(-sigma), "Broken.energy raised .* it uses numpy"),
    "numpy, of a field": (lambda s, sigma, m: np.exp(s.kappa) / sigma, "Broken.energy fails .* it uses numpy"),
    "in place, by an operator": (changed_by_operator, "Broken.energy raised .* it changes a tensor in place"),
    "in place, a mean": (lambda s, sigma, m: m.abs_() + s.kappa / sigma, "Broken.energy .* changes a tensor in place"),
    "in place, without a gradient": (
        lambda s, sigma, m: s.kappa / sigma + 0 * m.detach().mul_(2), "Broken.energy changed its argument in place"
    ),
    "random draw": (lambda s, sigma, m: s.kappa / sigma * (1 + torch.rand_like(sigma)), "draws random numbers"),
    "random draw of numpy": (lambda s, sigma, m: s.kappa / sigma * (1 + np.random.rand()), "draws random numbers"),
    "infinite where a mean is 0": (lambda s, sigma, m: s.kappa / (sigma * m.abs()), "is not finite at .*mu = 0"),
    "no slope where a mean is 0": (lambda s, sigma, m: (m.abs() / sigma) ** 0.4, "in .* is not finite at .*mu = 0"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", SUBTLE)
def test_subtle_mistakes_of_a_cost_are_named(mistake: str) -> None:
    energy, message = SUBTLE[mistake]
    with pytest.raises(AssertionError, match=message) as caught:
        check_cost(broken("Broken", energy))
    assert str(caught.value).startswith("Broken.energy")


class AtItsBound(GoodCost):
    """NaN at the lower bound of a field that is drawn uniformly in its logarithm."""

    kind: Literal["at_its_bound"] = "at_its_bound"
    knee: float = Field(1.0, ge=1e-6, le=100, description="where it levels off")

    def energy(self, sigma, mu):
        return (
            self.kappa / sigma * (1 + torch.sqrt(torch.as_tensor(self.knee - 1e-6)) / torch.as_tensor(self.knee - 1e-6))
        )


def test_bounds_of_fields_are_tried() -> None:
    with pytest.raises(AssertionError, match=r"AtItsBound.energy is not finite.* at .*knee=1(\.0\d+)?e-06"):
        check_cost(AtItsBound)


class Curve(BaseModel):
    """A nested table with an exclusive bound."""

    model_config = CLOSED
    steepness: float = Field(1.0, gt=0, lt=2, description="how steep")


class Nested(GoodCost):
    """NaN next to an exclusive bound, of a number in a nested table, an optional one or a tuple."""

    kind: Literal["nested"] = "nested"
    curve: Curve = Field(Curve(), description="a table")
    ends: tuple[Annotated[float, Field(ge=1, le=3)], ...] = Field((2.0,), min_length=1, description="a tuple")
    late: float | None = Field(None, gt=0, lt=0.25, description="an optional number")

    def energy(self, sigma, mu):
        late = 0 if self.late is None else self.late
        return mu.abs() + (self.kappa + self.curve.steepness + sum(self.ends) + late) / sigma


@pytest.mark.parametrize(
    "wrong, where",
    [
        (lambda s: 1 / (s.curve.steepness - 2 * (1 - 2**-24)), "steepness=1.99999988"),
        (lambda s: (s.curve.steepness - 1e-30).sqrt(), "steepness=1.17549"),
        (lambda s: 1 / (3 - s.ends[0]), r"ends=\((3.0|2.9999999)"),
        (lambda s: (s.ends[0] - 1) / (s.ends[0] - 1), r"ends=\((1.0|0.9999999)"),
        (lambda s: 0 if s.late is None else (0.25 - 2**-26 - s.late) / (0.25 - 2**-26 - s.late), "late=0.24999998"),
    ],
)
def test_bounds_are_tried_wherever_a_field_is(wrong, where: str) -> None:
    check_cost(Nested)
    with pytest.raises(AssertionError, match=f"energy is not finite .*{where}"):
        check_cost(broken("Broken", lambda s, sigma, m: Nested.energy(s, sigma, m) + 0 * wrong(s), Nested))


@pytest.mark.parametrize(
    "energy",
    [
        lambda s, sigma, m: s.kappa * (m**2 + 1e-6).sqrt() / sigma,
        lambda s, sigma, m: m.abs() / sigma * s.kappa,  # a mean of 0 costs nothing
        lambda s, sigma, m: s.kappa * (-sigma).exp(),  # so small for a large sigma that it is 0
        lambda s, sigma, m: s.kappa * torch.nn.functional.softplus(-sigma.log()),
        lambda s, sigma, m: s.kappa * (1 + 1 / sigma).log(),
    ],
)
def test_costs_that_are_right_pass(energy) -> None:
    check_cost(broken("Right", energy))


def test_good_cost_passes() -> None:
    check_cost(GoodCost)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_cost_mistakes_are_caught(mistake: str) -> None:
    energy, message = MISTAKES[mistake]
    with pytest.raises(AssertionError, match=message):
        check_cost(broken("Broken", energy))


class Idle(GoodCost):
    """Has a field without effect."""

    kind: Literal["idle"] = "idle"
    spare: float = Field(1.0, gt=0, le=2, description="nothing")


class Silent(GoodCost):
    """Has a field without a description."""

    kind: Literal["silent"] = "silent"
    kappa: float = Field(0.1, gt=0.01, le=10)


def test_idle_and_undescribed_fields_are_caught() -> None:
    with pytest.raises(AssertionError, match="spare changes nothing"):
        check_cost(Idle)
    with pytest.raises(AssertionError, match="description: kappa"):
        check_cost(Silent)


class GoodVesicles(VesicleCost):
    """A correct cost of vesicles, from which faulty ones are derived."""

    kind: Literal["good_vesicles"] = "good_vesicles"
    price: float = Field(1.0, ge=0.1, le=10, description="price of a release")

    def vesicle_energy(self, n, p, q):
        return self.price * n * (p / (1 - p)) ** 0.25


VESICLES = {
    "falls with p": (lambda s, n, p, q: s.price * n * (1 - p), "increases with sigma at a fixed mean and number"),
    "ignores p": (lambda s, n, p, q: s.price * n, "is constant at a fixed mean"),
    "flat below 0.1": (
        lambda s, n, p, q: s.price * n * p.clamp(min=0.1), r"is constant at a fixed mean from p = 0.000999 to 0.0"
    ),
    "no slope at q = 0": (
        lambda s, n, p, q: s.price * n * p + q.abs() ** 0.3, "gradient in q is not finite at .*q = 0"
    ),
    "mixes synapses": (lambda s, n, p, q: s.price * n * p / q.abs().sum(-1, keepdim=True), "is not elementwise"),
    "drops an axis": (lambda s, n, p, q: (s.price * n * p).squeeze(0), "shape .* for a single network"),
    "numpy": (lambda s, n, p, q: s.price * n * np.sqrt(p), "it uses numpy"),
    "in place": (lambda s, n, p, q: s.price * n * p.mul_(2), "in place"),
    "infinite at a bound": (lambda s, n, p, q: n * p / (s.price - 0.1), "not finite .*price=0.1"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", VESICLES)
def test_mistakes_of_a_vesicle_cost_are_named(mistake: str) -> None:
    energy, message = VESICLES[mistake]
    cls = type("Broken", (GoodVesicles,), {"vesicle_energy": energy, "__doc__": "Broken.", "__module__": __name__})
    with pytest.raises(AssertionError, match=message) as caught:
        check_cost(cls)
    assert str(caught.value).startswith("Broken.vesicle_energy")


def test_a_vesicle_cost_that_is_right_passes() -> None:
    check_cost(GoodVesicles)


def test_a_wrong_exponent_is_named() -> None:
    members = {"exponent": property(lambda self: 2.0), "__doc__": "Broken.", "__module__": __name__}
    cls = type("Broken", (GoodCost,), {"energy": lambda self, s, m: self.kappa / s, **members})
    with pytest.raises(AssertionError, match=r"not proportional to sigma \*\* -exponent"):
        check_cost(cls)
