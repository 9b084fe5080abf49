"""The check of architectures: networks and examples are independent, and faster methods agree with autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.contract.slots import Network, Trace
from ebayes_core.testing.common import (
    Changed,
    Formula,
    advice_on,
    attempt,
    call,
    check_table,
    keeps_arguments,
    quick,
    random_states,
    repeats,
    steady,
)
from ebayes_core.testing.elementwise import on_meta
from ebayes_core.testing.gradients import network_slopes_hold, residual
from ebayes_core.testing.strategies import MOST, corners

BATCH = 5
ADVICE = "Write it with tensor methods and operators, for weights with a member axis in front"
ADVICE_SINGLE = "Write it with tensor methods and operators, for the weights of one network"


class Fit(NamedTuple):
    """Shapes of an example and of its outputs."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


#: vectors, images, sequences, and sequences with outputs at every step: with what a network accepts of them it is tried
FITS = (Fit((3,), (2,)), Fit((2, 9, 8), (2,)), Fit((4, 3), (2,)), Fit((4, 3), (4, 2)))


def check_network(cls: type[Network], instances: Sequence[Network] = ()) -> None:
    """Check that members and examples are independent, and that methods overridden for speed agree with autograd.

    instances: some to check in addition to random ones, for fields that must fit each other. A network is tried with
    the shapes in FITS that it does not refuse by ValueError.
    """
    check_table(cls, Network)
    changed = Changed(cls, instances)
    changed.fields -= {"init"}  # used by the engine: it scales the initial means
    tried = set[Fit]()

    @quick
    @given(changed.any, st.integers(0, 2**31 - 1))
    @steady
    def holds(network: Network, seed: int) -> None:
        found = _fitting(network)
        for fit in found and [found[seed % len(found)]]:
            tried.add(fit)
            try:
                _network_holds(network, fit, seed)
            except AssertionError as error:
                raise AssertionError(f"{error}{_unless_refused(fit)}") from error

    @changed.settings
    @given(changed.pairs(), st.integers(0, 2**31 - 1))
    def fields_matter(pair: tuple[str, Network, Network], seed: int) -> None:
        changed.see(pair, lambda network: _outputs(network, seed))

    holds()
    shown = "; ".join(f"examples {fit.inputs} with outputs {fit.outputs}" for fit in FITS)
    assert tried, f"{cls.__name__}.shapes refuses all shapes that it is tried with: {shown}; give instances that fit"
    for network in corners(cls, MOST):
        _finite_at_the_bounds(network)
    fields_matter()
    changed.all_seen()


def _unless_refused(fit: Fit) -> str:
    """What else to do about a mistake with a shape that the author may not have thought of."""
    if fit == FITS[0]:
        return ""
    return (
        f" (with examples {fit.inputs} and outputs {fit.outputs}; if the network is not for these, shapes has to raise "
        "ValueError)"
    )


def _network_holds(network: Network, fit: Fit, seed: int) -> None:
    name = type(network).__name__
    _counts_hold(name, network, fit)
    weights, x = _case(network, seed, fit)
    _forward_holds(_own(network), network, weights, x, fit)
    _gradients_hold(name, network, weights, x)
    _trace_holds(name, network, weights, x)
    _probes_hold(name, network, weights, x, fit)
    _keeps_device(network, weights, x)
    _small_holds(_own(network), network, fit)
    _biases_hold(f"{name}.biases", network, fit)
    _start_holds(f"{name}.start", network, fit)
    _plain_holds(f"{name}.plain", network, weights, x, fit)


def _own(network: Network) -> str:
    """The forward pass that the class defines."""
    cls = type(network)
    return f"{cls.__name__}.{'single' if cls.forward is Network.forward else 'forward'}"


def _ask(name: str, network: Network) -> Formula:
    """The forward pass as a function of weights and examples, one by one."""
    advice = ADVICE_SINGLE if name.endswith("single") else ADVICE
    return lambda *t: attempt(name, network.forward, list(t[:-1]), t[-1], advice=advice)


def _fitting(network: Network, fits: Sequence[Fit] = FITS) -> list[Fit]:
    """The shapes that a network does not refuse."""

    def accepted(fit: Fit) -> bool:
        try:
            network.shapes(*fit)
        except ValueError:
            return False
        return True

    return [fit for fit in fits if call(f"{type(network).__name__}.shapes", accepted, fit)]


def _case(network: Network, seed: int, fit: Fit = FITS[0]) -> tuple[list[Tensor], Tensor]:
    """Random weights of two networks, and a batch."""
    random = torch.Generator().manual_seed(seed)
    draw: Callable[..., Tensor] = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    drawn = zip(network.shapes(*fit), network.draws(*fit), strict=True)
    return [draw(2, *[n] * (n > 1), *shape) for shape, n in drawn], draw(BATCH, *fit.inputs)


def _outputs(network: Network, seed: int) -> Tensor:
    """Outputs for all shapes that fit, one after the other."""
    cases = [_case(network, seed, fit) for fit in _fitting(network)]
    return torch.cat([network.forward(*case).flatten() for case in cases] or [torch.zeros(0)])


def _finite_at_the_bounds(network: Network) -> None:
    out = attempt(_own(network), _outputs, network, 0)
    finite = f"{_own(network)} is not finite within the bounds of its fields: {network!r}"
    assert bool(out.isfinite().all()), finite


def _counts_hold(name: str, network: Network, fit: Fit) -> None:
    layers = len(network.shapes(*fit))
    for method in ("draws", "copies"):
        found = call(f"{name}.{method}", getattr(network, method), *fit)
        right = isinstance(found, list) and len(found) == layers and all(isinstance(n, int) and n > 0 for n in found)
        assert right, f"{name}.{method} must return a positive integer for each of {layers} layers, not {found}"


def _start_holds(name: str, network: Network, fit: Fit) -> None:
    """Check the initial means: their shapes, and that they depend on nothing but the draws and the seed."""
    shapes = network.shapes(*fit)
    units = [torch.rand(1, *shape, dtype=torch.float64) for shape in shapes]
    before = random_states()
    found, again = (call(name, network.start, units, 3) for _ in range(2))
    assert before == random_states(), f"{name} draws from the global random generator: use a generator with the seed"
    fits = [m.shape[1:] for m in found] == [torch.Size(s) for s in shapes] and all(len(m) == 1 for m in found)
    assert fits, f"{name} must return means (1, *shape) for each layer, as the draws that it is given"
    assert all(m.dtype == torch.float64 and bool(m.isfinite().all()) for m in found), f"{name} changes the type"
    assert all(map(torch.equal, found, again)), f"{name} returned other means the second time"


def _plain_holds(name: str, network: Network, weights: list[Tensor], x: Tensor, fit: Fit) -> None:
    """Check that the plain module computes what `forward` does, and that its parameters become the same weights."""
    module = call(name, network.plain, *fit)
    if module is None:
        return
    draws = network.draws(*fit)
    single = [w[0, 0] if n > 1 else w[0] for w, n in zip(weights, draws, strict=True)]
    own = call(f"{name}: parameters", network.parameters, single)
    back = call(f"{name}: weights", network.weights, own)
    same = len(back) == len(single) and all(map(torch.equal, back, single))
    assert same, f"{name}: weights(parameters(w)) must be w, in every layer"
    names = [n for n, p in module.named_parameters() if p.requires_grad]
    fits = [p.shape for p in own] == [module.get_parameter(n).shape for n in names]
    assert fits, f"{name}: parameters must return the module's trained parameters in its order and shapes"
    found = torch.func.functional_call(module.double(), dict(zip(names, own, strict=True)), (x,))
    alone = [w[None, None].expand(1, n, *w.shape) if n > 1 else w[None] for w, n in zip(single, draws, strict=True)]
    assert torch.allclose(found, network.forward(alone, x)[0]), f"{name} computes other outputs than forward"


def _forward_holds(name: str, network: Network, weights: list[Tensor], x: Tensor, fit: Fit) -> None:
    ask = _ask(name, network)
    ask(*(w.clone().requires_grad_() for w in weights), x.clone())
    out = keeps_arguments(name, ask, *weights, x)
    expected = (2, BATCH, *fit.outputs)
    assert isinstance(out, Tensor), f"{name} returned {type(out).__name__}, not a tensor"
    assert out.shape == expected, f"{name} returned {tuple(out.shape)}; (member, batch, *outputs) is {expected}"
    assert bool(out.isfinite().all()), f"{name} is not finite for finite weights and inputs"
    repeats(name, ask, [*weights, x], [[2 * t for t in (*weights, x)]])
    _apart(name, ask, out, weights, x, fit.outputs)
    single = ask(*(w.float() for w in weights), x.float()).dtype
    assert single == torch.float32, f"{name} turns float32 into {single}"


def _apart(name: str, ask: Formula, out: Tensor, weights: list[Tensor], x: Tensor, outputs: tuple[int, ...]) -> None:
    """Check that networks and examples do not affect each other, and that nothing is kept from earlier calls."""
    turned = ask(*(w.flip(0) for w in weights), x)
    kept = torch.equal(turned, out) and not torch.allclose(out, out.flip(0))
    assert not kept, f"{name} returned what it computed for other weights of the same shape: compute it each time"
    assert torch.allclose(turned, out.flip(0)), f"{name} mixes members: in another order they have other outputs"
    kept = torch.equal(ask(*weights, x.flip(0)), out) and not torch.allclose(out, out.flip(1))
    assert not kept, f"{name} returned what it computed for other inputs of the same shape: compute it each time"
    alone = ask(*(w[:1] for w in weights), x)
    _shaped(name, alone, (1, BATCH, *outputs), "of one member")
    assert torch.allclose(alone, out[:1]), f"{name} mixes members: one alone has other outputs"
    for some in (slice(1, 3), slice(2, 3)):
        part = ask(*weights, x[some])
        _shaped(name, part, (2, len(x[some]), *outputs), "of a part of the batch")
        assert torch.allclose(part, out[:, some]), f"{name} mixes examples: a part of the batch has other outputs"


def _biases_hold(name: str, network: Network, fit: Fit = FITS[0]) -> None:
    marked = call(name, network.biases, *fit)
    shapes = [torch.Size(shape) for shape in network.shapes(*fit)]
    if marked is not None:
        fits = [isinstance(b, Tensor) and b.dtype == torch.bool and b.shape for b in marked] == shapes
        assert fits, f"{name} must return None, or for each layer a boolean tensor shaped as its weights"


def _small_holds(name: str, network: Network, fit: Fit) -> None:
    """Check one network, one example, one input or channel and one output: axes of length 1 must be kept."""
    images = len(fit.inputs) == 3
    small = Fit((1, *fit.inputs[1:]) if images else (*fit.inputs[:-1], 1), (*fit.outputs[:-1], 1))
    if _fitting(network, [small]):
        weights, x = _case(network, 0, small)
        out = _ask(name, network)(*(w[:1] for w in weights), x[:1])
        _shaped(name, out, (1, 1, *small.outputs), "of one member, example, input and output")


def _shaped(name: str, out: Tensor, expected: tuple[int, ...], what: str) -> None:
    drops = "squeeze() or [0] drops an axis"
    assert out.shape == expected, f"{name} returned {tuple(out.shape)} for the {expected} {what}: {drops}"


def _gradients_hold(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """Compare the network's own backward pass with differences and with autograd, for a nonlinear loss."""
    own, reference = ([torch.full_like(w, torch.nan) for w in weights] for _ in range(2))
    ask: Callable[[list[Tensor]], Formula] = lambda out: (
        lambda *t: attempt(f"{name}.gradients", network.gradients, list(t[:-1]), t[-1], residual, out, advice=ADVICE)
    )
    with torch.no_grad():
        outputs = keeps_arguments(f"{name}.gradients", ask(own), *weights, x)
        keeps_arguments(f"{name}.gradients", ask([w.float() for w in weights]), *(t.float() for t in (*weights, x)))
    assert torch.allclose(outputs, network.forward(weights, x)), f"{name}.gradients returns other outputs than forward"
    network_slopes_hold(name, network, weights, x, own)
    attempt(f"{name}.forward", Network.gradients, network, weights, x, residual, reference, advice=ADVICE)
    same = all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(own, reference, strict=True))
    assert same, f"{name}.gradients differs from autograd through forward"


def _trace_holds(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """Check that the trace is enough for the weights' gradients: delta^T input."""
    leaves = [w.clone().requires_grad_() for w in weights]
    trace = attempt(f"{name}.trace", network.trace, leaves, x, advice=ADVICE)
    if trace is None:
        return
    with torch.no_grad():
        keeps_arguments(f"{name}.trace", lambda *t: network.trace(list(t[:-1]), t[-1]), *weights, x)
    wrong = f"{name}.trace must return a Trace: outputs, and one input and one drive per layer"
    assert isinstance(trace, Trace) and len(trace.inputs) == len(trace.drives) == len(weights), wrong
    assert torch.allclose(trace.outputs, network.forward(weights, x)), f"{name}.trace has other outputs than forward"
    loss = trace.outputs.sin().sum()
    wrong = f"{name}.trace: drive^T inputs is not the weights' gradient in every layer; the drives must be in the graph"
    try:
        deltas = torch.autograd.grad(loss, trace.drives, retain_graph=True)
        products = [_product(d, a, w) for d, a, w in zip(deltas, trace.inputs, weights, strict=True)]
        slopes = torch.autograd.grad(loss, leaves)
    except (RuntimeError, ValueError) as error:
        raise AssertionError(f"{wrong} ({error})") from error
    for w, product in zip(slopes, products, strict=True):
        assert w.shape == product.shape and torch.allclose(w, product), wrong


def _product(slopes: Tensor, x: Tensor, w: Tensor) -> Tensor:
    """drive^T inputs: of each position if each has its own draw of the weights, otherwise summed over them."""
    if slopes.ndim == 4 and w.ndim == 4:
        return slopes.permute(0, 2, 3, 1) @ x.transpose(-3, -2)
    if slopes.ndim == 4:
        return (slopes.transpose(2, 3) @ x).sum(1)
    return slopes.transpose(1, 2) @ x


def _probes_hold(name: str, network: Network, weights: list[Tensor], x: Tensor, fit: Fit) -> None:
    """Check per-example gradients, from which curvature is measured; without a trace they go through torch.func."""
    from ebayes_core.engine.per_example import squared_gradients

    direction = torch.ones(len(weights[0]), BATCH, *fit.outputs, dtype=x.dtype)
    try:
        squares = squared_gradients(network, weights, x, lambda _: [direction])
    except Exception as error:
        raise AssertionError(
            f"{_own(network)} fails under torch.func.vmap, which measures curvature: {type(error).__name__}: {error}. "
            f"{advice_on(error, '')}".rstrip(". ")
        ) from error
    one = [torch.empty_like(w) for w in weights]
    total = [torch.zeros_like(w) for w in weights]
    for example in x:
        Network.gradients(network, weights, example[None], torch.ones_like, one)
        for t, g in zip(total, one, strict=True):
            t.add_(g.square())
    total = [t.sum(1) if n > 1 else t for t, n in zip(total, network.draws(*fit), strict=True)]
    same = all(torch.allclose(a, b) for a, b in zip(squares, total, strict=True))
    assert same, f"{name}: squared gradients from trace, or from torch.func, differ from those of single examples"


def _keeps_device(network: Network, weights: list[Tensor], x: Tensor) -> None:
    on_meta(_own(network), lambda: network.forward([w.to("meta") for w in weights], x.to("meta")))
