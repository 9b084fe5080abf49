"""Curvature in closed form against torch.func, exact Hessians, and sampling."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.per_example import add_squares, squared_gradients
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.probes import curvature, held_out, inputs, training_chunks
from ebayes_core.results.record import HELD_OUT
from tests.build import DIGITS, LINEAR, cohort, trained

TANH = 'network.activations=["tanh", "tanh", "linear"]'


@pytest.fixture(scope="module")
def small(registry: Registry):
    """Two trained networks on 60 of the digits."""
    c = cohort(registry, DIGITS, 'sweep."cost.c"=[0.01, 1.0]', "measurement.probe_examples=60", "network.hidden=[4, 3]")
    return c, trained(c)


def seen(c) -> tuple[torch.Tensor, torch.Tensor]:
    """The examples that are measured."""
    return tuple(torch.cat(parts) for parts in zip(*training_chunks(c), strict=True))


def test_squares_equal_per_example_gradients(small) -> None:
    c, state = small
    x, y = c.data.x[:25], c.data.y[:25]
    deltas = lambda o: [c.data.task.residual(o, y)]
    weights = c.layered(state.weights)
    closed = squared_gradients(c.network, weights, x, deltas)
    for member in range(2):
        mine = [w[member : member + 1] for w in weights]

        def loss(w, example, label):
            return c.data.task.nll(c.network.forward(w, example[None]), label[None]).sum()

        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(mine, x, y)
        for ours, theirs in zip(closed, each, strict=True):
            torch.testing.assert_close(ours[member], theirs.square().sum(0)[0])


def test_a_network_without_a_trace_takes_the_general_path(small, monkeypatch: pytest.MonkeyPatch) -> None:
    c, state = small
    y = c.data.y[:40]
    arguments = c.network, c.layered(state.weights), c.data.x[:40], lambda o: [c.data.task.residual(o, y)]
    closed, trace = squared_gradients(*arguments), c.network.trace
    monkeypatch.setattr(type(c.network), "forward", lambda _, w, x: trace(w, x).outputs)
    monkeypatch.setattr(type(c.network), "trace", lambda *_: None)
    for a, b in zip(closed, squared_gradients(*arguments), strict=True):
        torch.testing.assert_close(a, b)


def test_sums_grow_chunk_by_chunk_and_several_deltas_count_apart_and_together(small) -> None:
    c, state = small
    x, y, weights = c.data.x[:25], c.data.y[:25], c.layered(state.weights)
    residual = c.data.task.residual
    sums: dict[str, list[torch.Tensor]] = {}
    for few, labels in zip(x.split(11), y.split(11), strict=True):
        both = lambda o, y=labels: iter([residual(o, y), residual(o, 9 - y)])
        add_squares(sums, c.network, weights, few, {"one": lambda o, y=labels: [residual(o, y)], "both": both})
    one, other = (squared_gradients(c.network, weights, x, lambda o, y=y: [residual(o, y)]) for y in (y, 9 - y))
    for found, first, second, together in zip(sums["one"], one, other, sums["both"], strict=True):
        torch.testing.assert_close(found, first)
        torch.testing.assert_close(together, first + second)


def test_gauss_newton_is_the_jacobian_sandwich(small) -> None:
    """diag(J^T (diag p - p p^T) J) summed over examples, with the Jacobian from torch.func."""
    c, state = small
    p, x = state.parameters, seen(c)[0]
    found = curvature(c, p, generator(0, MEASURE))["gauss_newton_mean"]
    for member in range(2):
        mine = [w[member : member + 1] for w in c.layered(p.mu)]
        jacobians = torch.func.jacrev(lambda w: c.network.forward(w, x)[0])(mine)
        q = c.network.forward(mine, x)[0].softmax(-1)
        middle = torch.diag_embed(q) - q[:, :, None] * q[:, None, :]
        for ours, j in zip(found, jacobians, strict=True):
            flat = j.flatten(2)
            expected = torch.einsum("bki,bkl,bli->i", flat, middle, flat) / len(x)
            torch.testing.assert_close(ours[member].flatten(), expected)


def test_gauss_newton_is_the_hessian_of_a_linear_readout(registry: Registry) -> None:
    """Without hidden layers the network is linear in its weights, so Gauss-Newton is the whole Hessian."""
    c = cohort(registry, DIGITS, "network.hidden=[]", "measurement.probe_examples=40", "training.epochs=1")
    p = trained(c).parameters
    found = curvature(c, p, generator(0, MEASURE))["gauss_newton_mean"][0][0].flatten()
    x, y = seen(c)

    def loss(w):
        return c.data.task.nll(c.network.forward([w.view(1, *c.shapes[0])], x), y).mean()

    at = p.mu[0][0]
    for i in range(0, len(at), 131):
        unit = torch.zeros_like(at)
        unit[i] = 1.0
        curved = torch.func.jvp(torch.func.grad(loss), (at,), (unit,))[1][i]
        assert found[i].item() == pytest.approx(curved.item(), rel=1e-6, abs=1e-14)


@pytest.mark.slow
def test_sampled_fisher_averages_to_gauss_newton(small) -> None:
    """The true Fisher draws labels; its mean over many draws is the exact expectation, within five standard errors."""
    c, state = small
    p, noise = state.parameters, generator(5, MEASURE)
    draws = [torch.cat([t.flatten(1) for t in curvature(c, p, noise)["fisher_true_mean"]], 1) for _ in range(60)]
    exact = torch.cat([t.flatten(1) for t in curvature(c, p, noise)["gauss_newton_mean"]], 1).sum(1)
    totals = torch.stack(draws).sum(2)
    error = totals.std(0) / len(draws) ** 0.5
    assert ((totals.mean(0) - exact).abs() < 5 * error).all()


def test_linear_regression_knows_its_hessian(registry: Registry) -> None:
    """H_ii = sum_t X_ti^2 / epsilon^2 (Eq. 26), whatever the weights and the noise."""
    c = cohort(registry, LINEAR)
    p = trained(c).parameters
    known = torch.as_tensor(c.member.dataset.hessian(), dtype=torch.float64)
    for where in ("mean", "noise"):
        found = curvature(c, p, generator(0, MEASURE))[f"gauss_newton_{where}"][0]
        torch.testing.assert_close(c.data.examples * found[0, 0], known, rtol=1e-5, atol=0.0)


def test_input_rates_of_the_first_layer(small) -> None:
    c, state = small
    found = inputs(c, state.parameters, generator(0, MEASURE))
    x = seen(c)[0]
    torch.testing.assert_close(found["input_abs"][0][0, :-1], x.abs().mean(0))
    torch.testing.assert_close(found["input_square"][0][1, :-1], x.square().mean(0))
    assert (found["input_abs"][0][:, -1] == 1).all()


def test_the_curvature_of_test_examples_is_that_of_two_halves(registry: Registry) -> None:
    """A linear readout has E[x^2] / noise variance, whatever its weights; 201 examples do not divide evenly."""
    c = cohort(registry, LINEAR, "dataset.examples=201", "training.batch_size=67")
    p, x = trained(c).parameters, c.data.x_test
    c.data.x.mul_(3)  # the training examples have no part in it
    first, second = (held_out(c, p, generator(0, MEASURE))[name][0].flatten() for name in HELD_OUT)
    known = torch.cat([x, torch.ones(len(x), 1, dtype=c.dtype)], 1).square().mean(0) / c.data.task.noise_sd**2
    torch.testing.assert_close((101 * first + 100 * second) / 201, known)
    assert not torch.allclose(first[:-1], second[:-1], rtol=1e-3)
