"""The check of networks: members and examples apart, and what is offered for speed agrees with autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.slots import Network
from ebayes_core.testing.common import Changed, call, check_table, quick

INPUTS, OUTPUTS, BATCH = 3, 2, 5


def check_network(cls: type[Network], instances: Sequence[Network] = ()) -> None:
    """A network treats members and examples apart, and what it offers for speed agrees with autograd.

    instances: some to check besides the random ones, for fields that must fit each other.
    """
    check_table(cls, Network)
    changed = Changed(cls, instances)
    changed.fields -= {"init"}  # the engine's: it scales the means at the start

    @quick
    @given(changed.any, st.integers(0, 2**31 - 1))
    def holds(network: Network, seed: int) -> None:
        weights, x = _case(network, seed)
        _forward_holds(cls.__name__, network, weights, x)
        _gradients_hold(cls.__name__, network, weights, x)
        _trace_holds(cls.__name__, network, weights, x)
        _probes_hold(cls.__name__, network, weights, x)
        _keeps_device(cls.__name__, network, weights, x)

    @changed.settings
    @given(changed.pairs(), st.integers(0, 2**31 - 1))
    def fields_matter(pair: tuple[str, Network, Network], seed: int) -> None:
        changed.see(pair, lambda network: _outputs(network, seed))

    holds()
    fields_matter()
    changed.all_seen()


def _case(network: Network, seed: int) -> tuple[list[Tensor], Tensor]:
    """Random weights of two members, and a batch."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    return [draw(2, *shape) for shape in network.shapes(INPUTS, OUTPUTS)], draw(BATCH, INPUTS)


def _outputs(network: Network, seed: int) -> Tensor:
    weights, x = _case(network, seed)
    return network.forward(weights, x)


def _forward_holds(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    copies = [t.clone() for t in (*weights, x)]
    out = call(f"{name}.forward", network.forward, weights, x)
    expected = (2, BATCH, OUTPUTS)
    assert out.shape == expected, f"{name}.forward gave {tuple(out.shape)}; (member, batch, outputs) is {expected}"
    kept = all(torch.equal(a, b) for a, b in zip((*weights, x), copies, strict=True))
    assert kept, f"{name}.forward changed the weights or the inputs in place"
    assert bool(out.isfinite().all()), f"{name}.forward is not finite for finite weights and inputs"
    again = network.forward(weights, x)
    assert torch.equal(out, again), f"{name}.forward gave another value the second time: it keeps state"
    turned = network.forward([w.flip(0) for w in weights], x)
    assert torch.allclose(turned, out.flip(0)), f"{name}.forward mixes members: exchanged, they have other outputs"
    alone = network.forward([w[:1] for w in weights], x)
    assert torch.allclose(alone, out[:1]), f"{name}.forward mixes members: one alone has other outputs"
    part = network.forward(weights, x[1:3])
    assert torch.allclose(part, out[:, 1:3]), f"{name}.forward mixes examples: a part of the batch has other outputs"
    single = network.forward([w.float() for w in weights], x.float()).dtype
    assert single == torch.float32, f"{name}.forward turns float32 into {single}"


def _gradients_hold(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """The network's own backward pass against autograd, for a loss with a curved dependence on the outputs."""
    residual = lambda outputs: outputs.sin() + 0.3
    own, reference = ([torch.full_like(w, torch.nan) for w in weights] for _ in range(2))
    with torch.no_grad():
        outputs = call(f"{name}.gradients", network.gradients, weights, x, residual, own)
    Network.gradients(network, weights, x, residual, reference)
    assert torch.allclose(outputs, network.forward(weights, x)), f"{name}.gradients returns other outputs than forward"
    same = all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(own, reference, strict=True))
    assert same, f"{name}.gradients differs from autograd through forward"


def _trace_holds(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """What trace() offers is enough for the weights' gradients: delta^T input."""
    leaves = [w.clone().requires_grad_() for w in weights]
    trace = network.trace(leaves, x)
    if trace is None:
        return
    assert torch.allclose(trace.outputs, network.forward(weights, x)), f"{name}.trace has other outputs than forward"
    loss = trace.outputs.sin().sum()
    wrong = f"{name}.trace: drive^T inputs is not the weights' gradient in every layer; the drives must be in the graph"
    try:
        deltas = torch.autograd.grad(loss, trace.drives, retain_graph=True)
        products = [d.transpose(1, 2) @ a for d, a in zip(deltas, trace.inputs, strict=True)]
        slopes = torch.autograd.grad(loss, leaves)
    except (RuntimeError, ValueError) as error:
        raise AssertionError(f"{wrong} ({error})") from error
    for w, product in zip(slopes, products, strict=True):
        assert w.shape == product.shape and torch.allclose(w, product), wrong


def _probes_hold(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """Curvature is measured example by example, without a trace through torch.func, which sees no values."""
    from ebayes_core.per_example import squared_gradients

    direction = torch.ones(len(weights[0]), BATCH, OUTPUTS, dtype=x.dtype)
    try:
        squares = squared_gradients(network, weights, x, lambda _: [direction])
    except Exception as error:
        raise AssertionError(
            f"{name}.forward fails under torch.func.vmap, which measures curvature: {type(error).__name__}: {error}"
        ) from error
    one = [torch.empty_like(w) for w in weights]
    total = [torch.zeros_like(w) for w in weights]
    for example in x:
        Network.gradients(network, weights, example[None], torch.ones_like, one)
        for t, g in zip(total, one, strict=True):
            t.add_(g.square())
    same = all(torch.allclose(a, b) for a, b in zip(squares, total, strict=True))
    assert same, f"{name}: squared gradients by its trace, or by torch.func, are not those of its examples one by one"


def _keeps_device(name: str, network: Network, weights: list[Tensor], x: Tensor) -> None:
    """On the `meta` device nothing is computed, but a constant bound to the CPU is found."""
    try:
        found = network.forward([w.to("meta") for w in weights], x.to("meta")).device.type
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(
            f"{name}.forward fails on another device ({error}): make constants with x.new_*"
        ) from error
    assert found == "meta", f"{name}.forward leaves its device: its result is on {found}"
