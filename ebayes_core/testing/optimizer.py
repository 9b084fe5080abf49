"""The check of optimizers: a step is a formula of each parameter, without state of its own, and it descends."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from hypothesis import given
from torch import Tensor

from ebayes_core.contract.slots import Optimizer, Slope
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Changed, Formula, attempt, check_table, keeps_arguments, quick, repeats, steady
from ebayes_core.testing.elementwise import DISTINCT, SHAPE, keeps_the_form, on_meta
from ebayes_core.testing.strategies import corners, mus, siblings, tensor

Method = Literal["step", "step_free"]
Memory = tuple[Tensor, ...]
METHODS: tuple[Method, Method] = ("step", "step_free")
EXAMPLES = 1000  #: N
STEPS = 3  #: of a short descent, after which the memory is filled
RATE = 1e-3
#: gradients in a short descent, the part that is not the loss's, 1 / Fisher information, and the change per log sigma
GIVEN = {
    "first": torch.tensor([[0.3, -2.0, 0.01, 0.7], [-0.2, 1.5, -0.05, 0.4]], dtype=torch.float64),
    "second": torch.tensor([[-0.1, -1.0, 0.03, 0.2], [0.6, 0.5, -0.01, -0.8]], dtype=torch.float64),
    "rest": torch.tensor([[0.2, -1.7, 0.02, 0.5], [-0.3, 1.1, -0.04, 0.6]], dtype=torch.float64),
    "metric": torch.tensor([[1e-3, 2e-4, 5e-3, 1e-2], [3e-3, 7e-4, 4e-3, 2e-3]], dtype=torch.float64),
    "scale": torch.tensor([[0.9, 1.1, -0.4, 0.6], [1.3, -0.7, 0.8, 1.2]], dtype=torch.float64),
}
#: gradients at which formulas tend to fail: none, tiny ones, and those at the start of a bad run
GRADIENTS = torch.tensor([[0.0, 1e-30, -1e-8, 1e-3, -1.0, 100.0]], dtype=torch.float64)
NORMAL = (
    "Slope.metric and Slope.scale are None unless the class declares gaussian = True, Slope.release and Slope.of_mean "
    "unless it declares quantal = True"
)
LEAST = 0.99  #: a quadratic loss must fall below this share of its start
LONG = 300  #: steps of that descent
RATES = (1e-4, 1e-3, 1e-2, 1e-1)  #: of which one must lead down


def check_optimizer(cls: type[Optimizer]) -> None:
    """Check that the steps of an optimizer are elementwise, pure and finite, and that they lead down a slope.

    Both formulas are checked, that for the means and that for the free parameters of the noise.
    """
    check_table(cls, Optimizer)
    changed = Changed(cls)
    changed.fields -= {"learning_rate_phi"}  # used by the engine

    @quick
    @given(siblings(cls), tensor(mus(), *SHAPE))
    @steady
    def holds(pair: list[Optimizer], p: Tensor) -> None:
        _constants_hold(pair)
        for method in METHODS:
            _memory_holds(pair, DISTINCT["mu"])
            _pure(pair, method, p)
            _form_holds(pair, method)
        _rate_holds(pair)

    @changed.settings
    @given(changed.pairs())
    def fields_matter(pair: tuple[str, Optimizer, Optimizer]) -> None:
        changed.see(pair, _everything)

    holds()
    for plugin in corners(cls):
        for method in METHODS:
            _finite(plugin, method)
        for method in METHODS[: 1 + cls.descends]:
            _descends(plugin, method)
    for method in METHODS[: 1 + cls.descends]:
        _reaches(corners(cls)[0], method)
    _signs_hold(cls)
    fields_matter()
    changed.all_seen()


def _slope(optimizer: Any, method: Method, gradient: Tensor, loss: Tensor, metric: Tensor, scale: Tensor) -> Slope:
    """What the engine passes: the metric only to optimizers that need it, the scale only for free parameters.

    Release probabilities follow from the metric, which has all sizes.
    """
    if optimizer.quantal:
        return Slope(gradient, loss, EXAMPLES, release=1 / (1 + 3000 * metric), of_mean=loss)
    if not optimizer.gaussian:
        return Slope(gradient, loss, EXAMPLES)
    return Slope(gradient, loss, EXAMPLES, metric, scale if method == "step_free" else None)


def clock(step: int, device: torch.device | None = None) -> Tensor:
    """The number of a step as the engine gives it, (1, 1) in double precision."""
    return torch.full((1, 1), float(step), dtype=torch.float64, device=device)


def _steps(
    optimizer: Any, method: Method, p: Tensor, gradients: list[Tensor], rest: Tensor, *more: Tensor
) -> tuple[Tensor, ...]:
    """The parameter and what is remembered of it, after one step along each gradient, of which `rest` is not the
    loss's.
    """
    memory, rate = optimizer.init(p), torch.full_like(p[:, :1], RATE)
    for number, gradient in enumerate(gradients, start=1):
        constants = tuple(c.to(p.dtype) for c in optimizer.constants(clock(number, p.device)))
        slope = _slope(optimizer, method, gradient, gradient - rest, *more)
        p, memory = _moved(optimizer, method, p, memory, slope, rate, constants)
    return p, *memory


def _moved(
    optimizer: Any, method: Method, p: Tensor, memory: Memory, slope: Slope, rate: Tensor, constants: Memory
) -> tuple[Tensor, Memory]:
    """One step, and a check of what it returns."""
    name, drops = f"{type(optimizer).__name__}.{method}", "it must have the parameter's; squeeze() or [0] drops an axis"
    found: Any = getattr(optimizer, method)(p, memory, slope, rate, constants)
    two = isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], tuple)
    assert two, f"{name} must return the parameter and a tuple of what is remembered"
    assert len(found[1]) == len(memory), f"{name} remembers {len(found[1])} tensors, but init {len(memory)}"
    shapes = [tuple(t.shape) for t in (found[0], *found[1]) if t.shape != p.shape]
    assert not shapes, f"{name} returned shape {shapes[0]} for a parameter of shape {tuple(p.shape)}: {drops}"
    moved, remembered = found
    return moved, remembered


def _short(method: Method, which: int) -> Formula:
    """A short descent as a formula; which: 0 for the parameter, then what is remembered."""

    def formula(optimizer: Any, p: Tensor, first: Tensor, second: Tensor, *more: Tensor) -> Tensor:
        return _steps(optimizer, method, p, [first, second, first], *more)[which]

    return formula


def _constants_hold(pair: list[Optimizer]) -> None:
    name, together = f"{type(pair[0]).__name__}.constants", stack(pair, torch.float64)
    for number in (1, 2, 1000):
        found = attempt(name, together.constants, clock(number))
        assert isinstance(found, tuple), f"{name} returned {type(found).__name__}, not a tuple of tensors"
        for c in found:
            shape = tuple(c.shape) if isinstance(c, Tensor) else type(c).__name__
            fits = isinstance(c, Tensor) and c.shape == (len(pair), 1)
            assert fits, f"{name} returned {shape}: each must be (member, 1), as step + 0 * self.learning_rate"
            assert bool(c.isfinite().all()), f"{name} is not finite at step {number}: steps count from 1"
    if together.constants(clock(1)):
        flat: Formula = lambda t: torch.cat(together.constants(t))
        repeats(name, flat, [clock(2)], [[clock(7)]])


def _memory_holds(pair: list[Optimizer], p: Tensor) -> None:
    name, together = f"{type(pair[0]).__name__}.init", stack(pair, torch.float64)
    memory = keeps_arguments(name, lambda t: attempt(name, together.init, t), p)
    assert isinstance(memory, tuple), f"{name} returned {type(memory).__name__}, not a tuple of tensors"
    for m in memory:
        fits = isinstance(m, Tensor) and m.shape == p.shape and m.dtype == p.dtype
        assert fits, f"{name}: what is remembered of a parameter must have its shape and type, as torch.zeros_like"
    for m in stack(pair, torch.float64, "meta").init(p.to("meta")):
        on_meta(name, partial(torch.clone, m))


def _pure(pair: list[Optimizer], method: Method, p: Tensor) -> None:
    """Check that a step changes neither the parameter nor what is remembered, and returns the same each time."""
    name, together = f"{type(pair[0]).__name__}.{method}", stack(pair, torch.float64)
    more = [GIVEN[n] for n in ("rest", "metric", "scale")]
    memory = attempt(name, _steps, together, method, p, [GIVEN["first"]], *more, advice=NORMAL)[1:]
    constants, count = together.constants(clock(2)), len(memory)

    def step(p: Tensor, gradient: Tensor, loss: Tensor, metric: Tensor, scale: Tensor, *rest: Tensor) -> Tensor:
        slope = _slope(together, method, gradient, loss, metric, scale)
        rate = torch.full_like(p[:, :1], RATE)
        found = attempt(name, _moved, together, method, p, rest[:count], slope, rate, rest[count:])
        return torch.stack([found[0], *found[1]])

    arguments = [p, GIVEN["second"], *more, *memory, *constants]
    keeps_arguments(name, step, *arguments)
    repeats(name, step, arguments, [[2 * p, *arguments[1:]]])


def _form_holds(pair: list[Optimizer], method: Method) -> None:
    name, count = f"{type(pair[0]).__name__}.{method}", len(pair[0].init(DISTINCT["mu"].clone()))
    for which in range(1 + count):
        label = name if which == 0 else f"{name}: what it remembers"
        keeps_the_form(label, _short(method, which), pair, p=DISTINCT["mu"], **GIVEN)


def _rate_holds(pair: list[Optimizer]) -> None:
    """Check the effective learning rate as a formula."""
    name = f"{type(pair[0]).__name__}.rate"
    rate: Formula = lambda o, gradient, mu, sigma: o.rate(gradient, mu, sigma, EXAMPLES)
    places = {"gradient": GIVEN["first"].abs(), "mu": DISTINCT["mu"], "sigma": DISTINCT["sigma"]}
    keeps_the_form(name, rate, pair, **places)
    found = rate(stack(pair, torch.float64), *places.values())
    assert bool(((found > 0) & found.isfinite()).all()), f"{name} is not positive and finite: {pair[0]!r}"


def _finite(plugin: Optimizer, method: Method) -> None:
    """Check steps at gradients of all sizes, in double and single precision."""
    name = f"{type(plugin).__name__}.{method}"
    for kind in (torch.float64, torch.float32):
        g = GRADIENTS.to(kind)
        p = torch.full_like(g, 0.5)
        for gradients in ([g] * STEPS, [g, 0 * g, -g]):
            found = attempt(name, _steps, stack([plugin], kind), method, p, gradients, 0 * g, 1e-3 + 0 * g, 1 + 0 * g)
            bad = ~torch.stack([t.isfinite() for t in found]).all(0)
            where = f"at a gradient of {g[bad][0]:.3g}" if bool(bad.any()) else ""
            how = "" if kind == torch.float64 else " in single precision"
            assert not where, f"{name} is not finite{how} {where}, within the bounds of its fields: {plugin!r}"


def _descends(plugin: Optimizer, method: Method) -> None:
    """Check that a constant gradient moves a parameter against it."""
    name, together = f"{type(plugin).__name__}.{method}", stack([plugin], torch.float64)
    g = torch.tensor([[0.3, -0.3, 2.0, -1e-2]], dtype=torch.float64)
    p = torch.tensor([[1.0, 1.0, -1.0, -1.0]], dtype=torch.float64)
    moved = _steps(together, method, p, [g] * 20, 0 * g, 1e-3 + 0 * g, 1 + 0 * g)[0] - p
    wrong = (moved * g > 0).any()
    assert not bool(wrong), f"{name} moves along the gradient, not against it: {plugin!r}"


def _reaches(plugin: Optimizer, method: Method) -> None:
    """Check that some learning rate leads down a quadratic loss."""
    name, together = f"{type(plugin).__name__}.{method}", stack([plugin], torch.float64)
    start = torch.tensor([[1.0, -0.8, 0.5, -0.3]], dtype=torch.float64)
    goal, steep = start * torch.tensor([0.5, 1.5, 0.7, 1.2]), torch.tensor([1.0, 2.0, 0.5, 3.0])
    best = min(_loss(together, method, start, goal, steep, rate) for rate in RATES)
    assert best < LEAST, f"{name} leads down no quadratic loss, at any learning rate from {RATES[0]:g} to {RATES[-1]:g}"


def _loss(together: Any, method: Method, start: Tensor, goal: Tensor, steep: Tensor, rate: float) -> float:
    """The largest share of its initial loss that is left to any parameter."""
    p, memory, rates = start, together.init(start), torch.full_like(start[:, :1], rate)
    for number in range(1, LONG + 1):
        g = steep * (p - goal)
        slope = _slope(together, method, g, g, 1e-3 + 0 * g, 1 + 0 * g)
        p, memory = _moved(together, method, p, memory, slope, rates, together.constants(clock(number)))
    left = ((p - goal) / (start - goal)) ** 2
    return float(left.nan_to_num(nan=torch.inf).max())


def _signs_hold(cls: type[Optimizer]) -> None:
    if cls.signs == "free":
        return
    for plugin in corners(cls):
        g = torch.tensor([[2e4, -2e4, 3e3, -3e3]], dtype=torch.float64)
        p = torch.tensor([[0.01, -0.01, 1e-6, -1.0]], dtype=torch.float64)
        moved = _steps(stack([plugin], torch.float64), "step", p, [g] * STEPS, 0 * g, 1e-3 + 0 * g, 1 + 0 * g)[0]
        kept = bool((moved * p.sign() >= 0).all())
        assert kept, f'{cls.__name__}.step changes the sign of a mean, although it declares signs = "{cls.signs}"'


def _everything(optimizer: Optimizer) -> Tensor:
    """All that an optimizer computes, for one stacked plugin."""
    one, row = stack([optimizer], torch.float64), slice(0, 1)
    given = [t[row] for t in GIVEN.values()]
    steep = [1e3 * t for t in given[:3]]
    found = [
        _short(method, 0)(one, DISTINCT["mu"][row], *slopes, *given[3:])
        for method in METHODS
        for slopes in (given[:3], steep)
    ]
    rate = one.rate(given[0].abs(), DISTINCT["mu"][row], DISTINCT["sigma"][row], EXAMPLES)
    return torch.cat([*found, rate])
