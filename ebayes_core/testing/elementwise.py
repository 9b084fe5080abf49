"""Requirements on any formula: elementwise, reproducible, for any floating-point type, on any device."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Formula, advice_on, attempt, keeps_arguments, repeats

SHAPE = (2, 4)  #: networks, synapses
#: distinct values: if all were equal, a mean over synapses could not be told from the value of each
DISTINCT = {
    "sigma": torch.tensor([[0.03, 0.5, 2e-3, 1.3], [0.7, 0.01, 0.2, 0.06]], dtype=torch.float64),
    "mu": torch.tensor([[0.4, -1.1, 0.07, -0.3], [-0.6, 0.2, 1.7, -0.05]], dtype=torch.float64),
    "n": torch.tensor([[1.0, 3.0, 5.0, 2.0], [4.0, 10.0, 7.0, 6.0]], dtype=torch.float64),
    "p": torch.tensor([[0.3, 0.9, 0.05, 0.6], [0.8, 0.45, 0.15, 0.98]], dtype=torch.float64),
    "q": torch.tensor([[0.4, -1.1, 0.07, -0.3], [-0.6, 0.2, 1.7, -0.05]], dtype=torch.float64),
    "normal": torch.tensor([[0.3, -1.2, 0.8, 2.1], [-0.4, 1.6, -0.1, 0.6]], dtype=torch.float64),
    "uniform": torch.tensor([[0.31, 0.96, 0.05, 0.62], [0.84, 0.13, 0.999, 0.47]], dtype=torch.float64),
}
#: values of any free parameter of a noise
FREE = torch.tensor([[-3.0, 0.5, -6.0, 1.2], [2.0, -1.0, -4.0, 0.1]], dtype=torch.float64)
_unused = itertools.count(11)  #: numbers of synapses for which no formula has been evaluated before


def keeps_the_form(name: str, formula: Formula, pair: list[Any], **places: Tensor) -> None:
    """Check a formula at distinct values of its arguments, for two networks together and for each alone."""
    arguments = list(places.values())
    together = stack(pair, torch.float64)
    attempt(name, formula, together, *(a.clone().requires_grad_() for a in arguments))
    value = keeps_arguments(name, lambda *a: attempt(name, formula, together, *a), *arguments)
    assert isinstance(value, Tensor), f"{name} returned {type(value).__name__}, not a tensor"
    assert value.shape == SHAPE, f"{name} returned shape {tuple(value.shape)} for {SHAPE}: it must be elementwise"
    ask = lambda *a: attempt(name, formula, together, *a)
    repeats(name, ask, arguments, [[a * factor for a in arguments] for factor in (2.0, 0.5)])
    elementwise(name, formula, pair, value, *arguments)
    _keeps_type(name, formula, pair, arguments)
    keeps_device(name, formula, pair, *arguments)


def elementwise(name: str, formula: Formula, pair: list[Any], value: Tensor, *arguments: Tensor) -> None:
    """Check that each synapse of each network has the same value alone as among others."""
    for i, j in itertools.product(*map(range, SHAPE)):
        network = stack([pair[i]], torch.float64)
        one = attempt(name, formula, network, *(a[i : i + 1, j : j + 1] for a in arguments))
        drops = (
            f"{name} returned shape {tuple(one.shape)} for a single network's (1, 1): squeeze() or [0] drops an axis"
        )
        assert one.shape == (1, 1), drops
        if not _alike(one, value[i, j]):
            count = next(_unused)
            new = (a[i, j].expand(1, count) for a in arguments)
            _refuse(name, value[i, j], one, attempt(name, formula, network, *new)[0, 0])


def _refuse(name: str, among: Tensor, alone: Tensor, new: Tensor) -> None:
    assert not _alike(new, among), (
        f"{name} returned what it computed for other values of the same shape ({float(alone):.6g} instead of "
        f"{float(among):.6g}): a cache must not contain what depends on values or fields; compute it each time"
    )
    raise AssertionError(
        f"{name} is not elementwise: a synapse alone has a different value ({float(alone):.6g}) than among others "
        f"({float(among):.6g}); do not use a mean, sum, maximum or running value over synapses or networks"
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)


def _keeps_type(name: str, formula: Formula, pair: list[Any], arguments: list[Tensor]) -> None:
    for kind in (torch.float32, torch.float64):
        found = attempt(name, formula, stack(pair, kind), *(a.to(kind) for a in arguments)).dtype
        assert found == kind, f"{name} turns {kind} into {found}: it contains a constant of a fixed type"


def keeps_device(name: str, formula: Formula, pair: list[Any], *arguments: Tensor) -> None:
    """Check on the `meta` device, which computes nothing but reveals constants bound to the CPU."""
    on_meta(name, lambda: formula(stack(pair, torch.float64, "meta"), *(a.to("meta") for a in arguments)))


def on_meta(name: str, function: Callable[[], Tensor]) -> None:
    """Check a call with all tensors on the `meta` device."""
    try:
        found = function().device.type
    except Exception as error:
        advice = "make constants with mu.new_* or operators, and do not turn a tensor's values into numbers or "
        known = advice_on(error, f"{advice}decisions")
        raise AssertionError(f"{name} fails on another device ({error}): {known}") from error
    assert found == "meta", f"{name} changes the device: its result is on {found}"
