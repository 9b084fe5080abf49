"""The recording of a step for a GPU, as far as it needs none."""

from __future__ import annotations

import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.capture import captured, unchanged
from ebayes_core.engine.checkpoint import pack
from ebayes_core.engine.loop import train
from tests.build import DIGITS, cohort


def test_rehearsals_leave_no_trace(registry: Registry) -> None:
    """Steps within the block change everything that training changes, and after it nothing is changed."""
    c = cohort(registry, DIGITS, 'training.sigma="fixed_point"', "training.epochs=1")
    state = c.start()
    steps = train(c, state)
    next(steps)
    before = [t.clone() for t in tensors(state)]
    roots = state.roots.get_state()
    with unchanged(state):
        next(steps)
        changed = [not torch.equal(a, b) for a, b in zip(tensors(state), before, strict=True)]
        assert all(changed[: len(state.parameters.mu)]) and all(changed[-6:-2]), "means, weights and noise"
        assert not torch.equal(roots, state.roots.get_state())
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), before, strict=True))
    assert torch.equal(roots, state.roots.get_state())


def tensors(state) -> list[torch.Tensor]:
    return [*state.parameters.tensors(), *state.weights, state.xi, state.alive, state.loss]


def test_nothing_is_recorded_on_a_processor(registry: Registry) -> None:
    body = lambda: None
    assert captured(body, cohort(registry, DIGITS).start()) is body


def test_every_tensor_of_a_checkpoint_is_restored(registry: Registry) -> None:
    """What a checkpoint holds besides counters and curves is what `unchanged` restores."""
    c = cohort(registry, DIGITS)
    state = c.start()
    next(train(c, state))
    assert set(pack(state)) == {"lists", "curves", "alive", "xi", "loss", "correct", "roots", "died", "clock"}
