"""Checks of gradients against finite differences of the values, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ebayes_core.contract.slots import Network
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Formula, attempt

#: above this, single precision is about to overflow, which is allowed at the bounds of a field
LARGE = 1e30
Slopes = list[Tensor]
Moved = Callable[..., list[Tensor]]
WRONG = "a hand-written backward, a straight-through estimate, detach() or no_grad() is wrong"


def slopes(name: str, formula: Formula, together: Any, arguments: Sequence[Tensor]) -> Slopes:
    """The value, and its gradient in each argument; zeros for arguments that it does not depend on."""

    def found() -> Slopes:
        leaves = [a.clone().requires_grad_() for a in arguments]
        value = formula(together, *leaves)
        return [value.detach(), *(g.detach() for g in _grad(value, leaves))]

    return attempt(name, found)


def slope_of(formula: Formula) -> Formula:
    """The derivative in the first argument as a formula: the fixed point differentiates it again."""

    def slope(together: Any, *arguments: Tensor) -> Tensor:
        first = arguments[0] if arguments[0].requires_grad else arguments[0].clone().requires_grad_()
        return _grad(formula(together, first, *arguments[1:]), [first], True)[0]

    return slope


def _grad(value: Tensor, leaves: Sequence[Tensor], again: bool = False) -> Sequence[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(value.sum(), leaves, create_graph=again, allow_unused=True, materialize_grads=True)


def slopes_hold(name: str, formula: Formula, together: Any, **arguments: Tensor) -> None:
    """Compare autograd with central differences, with a step relative to each argument."""
    value, *found = slopes(name, formula, together, list(arguments.values()))
    for which, slope in zip(arguments, found, strict=True):
        assert bool(slope.isfinite().all()), f"{name}: its gradient in {which} is not finite everywhere"
        step = 1e-6 * (1e-3 + arguments[which].abs())
        moved: Moved = lambda by, which=which: [a + by if n == which else a for n, a in arguments.items()]
        high, low = (formula(together, *moved(by)).detach() for by in (step, -step))
        difference = (high - low) / (2 * step)
        rounding = 1e-14 * (high.abs() + low.abs()) / step
        kink = (high + low - 2 * value).abs() / step  # allowed at a kink, as of |mu| at 0
        wrong = (slope - difference).abs() > 1e-3 * difference.abs() + 10 * rounding + kink + 1e-9
        assert not bool(wrong.any()), (
            f"{name}: autograd's gradient in {which} is {slope[wrong][0]:.6g} where the values change by "
            f"{difference[wrong][0]:.6g}: {WRONG}"
        )


def finite_at(name: str, formula: Formula, pair: list[Any], **arguments: Tensor) -> None:
    """Check values and gradients at every combination of the arguments' values, all of which are common in training."""
    grid = torch.meshgrid(*arguments.values(), indexing="ij")
    places = [g.flatten().expand(len(pair), -1) for g in grid]
    double = slopes(name, formula, stack(pair, torch.float64), places)
    single = slopes(name, formula, stack(pair, torch.float32), [p.float() for p in places])
    fits = torch.stack([t.abs() for t in double]).amax(0) < LARGE
    labels = [f"{name} is not finite", *(f"{name}: its gradient in {n} is not finite" for n in arguments)]
    for label, a, b in zip(labels, double, single, strict=True):
        for bad, how in ((~a.isfinite(), ""), (fits & ~b.isfinite(), " in single precision")):
            if bool(bad.any()):
                _refuse(label + how, pair, bad, dict(zip(arguments, places, strict=True)))


def _refuse(what: str, pair: list[Any], bad: Tensor, places: dict[str, Tensor]) -> None:
    member, at = bad.nonzero()[0].tolist()
    here = {name: float(values[member, at]) for name, values in places.items()}
    where = ", ".join(f"{name} = {value:.6g}" for name, value in here.items())
    zero = "; replace |mu| by (mu ** 2 + delta ** 2) ** 0.5, since a mean may be 0" if here.get("mu") == 0 else ""
    raise AssertionError(f"{what} at {where}, within the bounds of its fields: {pair[member]!r}{zero}")


def network_slopes_hold(name: str, network: Network, weights: list[Tensor], x: Tensor, own: list[Tensor]) -> None:
    """Compare what gradients() wrote for the loss `curved` with differences of forward() along a random direction.

    Two step sizes show how accurate a difference is: at a kink, as of relu, they disagree, and that much is allowed.
    """
    loss: Callable[[list[Tensor]], float] = lambda moved: float(curved(network.forward(moved, x)).sum())
    for layer, (w, g) in enumerate(zip(weights, own, strict=True)):
        direction = torch.randn(w.shape, generator=torch.Generator().manual_seed(layer), dtype=w.dtype)
        moved: Moved = lambda by, k=layer, d=direction: [v + by * d if i == k else v for i, v in enumerate(weights)]
        wide, narrow = ((loss(moved(h)) - loss(moved(-h))) / (2 * h) for h in (2e-6, 1e-6))
        slope, size = float((g * direction).sum()), float((g * direction).abs().sum())
        assert abs(slope - narrow) <= 1e-4 * abs(narrow) + 3 * abs(wide - narrow) + 1e-6 * size + 1e-6, (
            f"{name}.gradients: the gradient of layer {layer + 1} is {slope:.6g} where the outputs of forward change "
            f"the loss by {narrow:.6g}: {WRONG}"
        )


def curved(outputs: Tensor) -> Tensor:
    """A nonlinear loss of the outputs."""
    return 0.3 * outputs - outputs.cos()


#: the derivative of `curved`
residual: Callable[[Tensor], Tensor] = lambda outputs: outputs.sin() + 0.3
