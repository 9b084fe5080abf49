"""The step in C: sums, draws, what is overwritten while it is read, threads, and what cannot be written in C."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.native import Unsupported, run
from tests.build import DIGITS, cohort, trained
from tests.engine.native_cases import run_in_c

MEMBERS, SYNAPSES, DRAWS = 3, 1237, 5


def given(*shapes: tuple[int, ...]) -> list[Tensor]:
    chance = torch.Generator().manual_seed(1)
    return [torch.rand(shape, generator=chance) + 0.1 for shape in shapes]


def same_as_torch(function, arguments: list[Tensor], **tolerance: float) -> None:
    """Compare all arguments after the function, computed by torch and in C."""
    theirs, ours = ([t.clone() for t in arguments] for _ in range(2))
    with torch.no_grad():
        function(*theirs)
    run_in_c(function, ours)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


ROWS, SHARED, NUMBER, DRAWN = (MEMBERS, SYNAPSES), (1, SYNAPSES), (MEMBERS, 1), (MEMBERS, DRAWS, SYNAPSES)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("synapses", [1, 2, 127, 128, 129, 1000])
def test_every_size_of_a_layer(threads: int, members: int, synapses: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    shapes = [(members, synapses), (1, synapses), (members, 1), (members, 2 * synapses + 1), (1, 2 * synapses + 1)]

    def step(a: Tensor, xi: Tensor, rate: Tensor, b: Tensor, eta: Tensor) -> None:
        a.copy_(a * rate + xi.exp())
        b.mul_(eta).add_(rate)

    same_as_torch(step, given(*shapes))
    torch.set_num_threads(before)


def test_what_is_read_before_and_after_it_is_overwritten() -> None:
    def step(a: Tensor, b: Tensor, c: Tensor) -> None:
        old = a.detach()
        a.copy_(a.log() * c)
        new = a.exp().sqrt().log()
        b.copy_(new + b)
        a.copy_(a + b.exp().log().exp())
        c.copy_(c + 1)
        assert old.shape == a.shape

    same_as_torch(step, given(ROWS, ROWS, NUMBER), rtol=1e-5, atol=1e-5)


def test_arguments_that_others_read_are_overwritten_last() -> None:
    def step(a: Tensor, b: Tensor) -> None:
        one, two = a + b.exp(), b * a.exp().log().exp()
        a.copy_(two)
        b.copy_(one)

    same_as_torch(step, given(ROWS, ROWS), rtol=1e-5, atol=1e-6)


def test_sums_over_synapses_and_what_follows_from_them() -> None:
    def step(a: Tensor, b: Tensor, shared: Tensor, xi: Tensor) -> None:
        total = (a * xi).sum(-1, keepdim=True) + (b.exp()).sum(-1, keepdim=True)
        mean = a.mean(-1, keepdim=True)
        spread = ((a - mean) ** 2).mean(-1, keepdim=True)
        shared.copy_(shared - total + spread + shared.expand_as(a).sum(-1, keepdim=True))
        a.copy_((a - mean) / spread.sqrt() + shared)
        b.copy_(b * total)

    same_as_torch(step, given(ROWS, (MEMBERS, 31), NUMBER, SHARED), rtol=1e-5, atol=1e-4)


def test_draws_are_summed_and_written() -> None:
    def step(mu: Tensor, sigma: Tensor, gradient: Tensor, xi: Tensor, w: Tensor, total: Tensor) -> None:
        along = (gradient * xi).sum(1)
        total.copy_(total + (gradient * xi.exp()).sum((1, 2), keepdim=True).squeeze(1))
        sigma.copy_(sigma * (-along / 10).exp())
        mu.copy_(mu - gradient.sum(1))
        w.copy_(torch.addcmul(mu[:, None], sigma[:, None], xi))

    shapes = [ROWS, ROWS, DRAWN, (1, DRAWS, SYNAPSES), DRAWN, NUMBER]
    same_as_torch(step, given(*shapes), rtol=1e-5, atol=1e-5)


def test_what_is_drawn_is_kept_until_a_sum_is_complete() -> None:
    def step(w: Tensor, xi: Tensor, mu: Tensor) -> None:
        moved = (w * xi).exp()
        each = moved / moved.sum(1)[:, None]
        total = (each * xi).sum((1, 2), keepdim=True)
        w.copy_(moved - total * each)
        mu.copy_(mu * (each * moved).sum(1))

    same_as_torch(step, given(DRAWN, (1, DRAWS, SYNAPSES), ROWS), rtol=1e-5, atol=1e-4)


def test_types_are_mixed_as_torch_mixes_them() -> None:
    def step(a: Tensor, flag: Tensor, wide: Tensor) -> None:
        p = a.double().sigmoid()
        wide.copy_(wide + (1 - p).log())
        a.copy_(torch.where(flag, (a > 0.5).to(a.dtype) + wide.to(a.dtype), a))

    a, wide = given(ROWS, ROWS)
    same_as_torch(step, [a, torch.tensor([[True], [False], [True]]), wide.double()])


def test_a_nan_and_an_overflow_stay_in_their_network() -> None:
    a = torch.tensor([[1.0, 2.0], [torch.nan, 3.0], [200.0, 1.0]])
    same_as_torch(lambda a: a.copy_(a.exp().clamp_min(0).maximum(a)), [a], equal_nan=True)


@pytest.mark.parametrize("function", [
    lambda a: a.copy_(torch.special.i0(a)), lambda a: a.copy_(a.flip(1)), lambda a: a[:, :2].zero_(),
    lambda a: a.copy_(a * a.shape[1]), lambda a: a.copy_(a.cumsum(1)), lambda a: a.copy_(a - a.sum()),
    lambda a: a.copy_(a - a.sum(0, keepdim=True)), lambda a: a.copy_(a * torch.arange(a.shape[1])),
])  # fmt: skip
def test_what_has_no_c_is_refused(function) -> None:
    with torch.no_grad(), pytest.raises(Unsupported):
        run.compiled(function, given(ROWS))


def test_a_formula_without_c_is_compiled_by_torch_or_computed_as_it_is_written(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same results."""
    from ebayes_core.engine import kernel

    monkeypatch.setattr(kernel, "compiled", lambda *_: None)
    c = cohort(registry, DIGITS, "training.epochs=1", 'training.dtype="float32"', compile=True)
    monkeypatch.setattr(c.formulas.cost.__class__, "energy", lambda self, sigma, mu: torch.special.i0(sigma) / sigma)
    with caplog.at_level(logging.DEBUG, "ebayes"):
        state = trained(c)
    assert "no step in C: i0" in caplog.text and c.compiled == "no: no working compiler"
    assert state.parameters.mu[0].isfinite().all()


@pytest.mark.parametrize("members", [1, 3])
def test_threads_that_share_a_network_add_to_tallies_of_their_own(members: int) -> None:
    def step(a: Tensor, b: Tensor, total: Tensor, other: Tensor) -> None:
        total.add_(2 * a.abs().sum(-1, keepdim=True).double()).add_(b.exp().sum(-1, keepdim=True).double())
        other.copy_(other + b.sum(-1, keepdim=True))
        a.mul_(2)

    arguments = [*given((members, SYNAPSES), (members, 131)), *given((members, 1), (members, 1))]
    arguments[2] = arguments[2].double()
    assert run._written(step, arguments)[1].tallies == {2, 3}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    same_as_torch(step, arguments, rtol=1e-5, atol=1e-4)
    torch.set_num_threads(before)


@pytest.mark.parametrize("step", [
    lambda a, n: n.add_(a.sum(-1, keepdim=True).square()),
    lambda a, n: n.copy_(a.sum(-1, keepdim=True)),
    lambda a, n: n.add_(a.sum(-1, keepdim=True) + 1),
    lambda a, n: n.add_(n * a.sum(-1, keepdim=True)),
    lambda a, n: n.add_(n).add_(a.sum(-1, keepdim=True)),
    lambda a, n: n.add_(a.sum(-1, keepdim=True) / 3),
    lambda a, n: (n.add_(a.sum(-1, keepdim=True)), a.mul_(a.sum(-1, keepdim=True))),
    lambda a, n: (n.add_(a.sum(-1, keepdim=True)), a.mul_(n)),
    lambda a, n: (n.add_(1), a.mul_(2)),
])  # fmt: skip
def test_what_is_no_tally_is_computed_by_one_thread(step) -> None:
    arguments = given((1, SYNAPSES), (1, 1))
    assert run._written(step, arguments)[1].tallies is None
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    same_as_torch(step, arguments, rtol=1e-5, atol=1e-3)
    torch.set_num_threads(before)
