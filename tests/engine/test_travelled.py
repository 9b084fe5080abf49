"""The energy of learning: |change of mu| over all steps and synapses, beside an accumulation of its own in float64."""

from __future__ import annotations

import copy

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import checkpoint
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.loop import train
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, cohort, trained

SINGLE = ('training.dtype="float32"', "training.epochs=3", "training.batch_size=300")
NOISY = 'noise={kind="heterogeneous", sigma_0=0.05}'
#: what a network is trained with, in each of which the means are moved on another path
CASES = {
    "no noise": ('noise={kind="none"}',),
    "descent": (NOISY,),
    "one sigma": ('noise={kind="homogeneous", sigma_0=0.05}',),
    "fixed point": (NOISY, 'training.sigma="fixed_point"'),
    "natural": (NOISY, 'optimizer={kind="natural"}'),
    "signs kept": ('noise={kind="log_normal"}',),
    "copies": (
        NOISY,
        'dataset={kind="digits", layout="image"}',
        'network={kind="convolutional", layers=[{channels=3}], noise_per="position"}',
    ),
    "several": (NOISY, 'sweep={"cost.c"=[0.1, 1.0, 10.0]}'),
}


def followed(c: Cohort, state: State | None = None) -> tuple[State, torch.Tensor, torch.Tensor]:
    """Train; the state at the end, and the sums of |d mu| that were added up here, with the initial means."""
    state = state or c.start()
    before = [m.double().clone() for m in state.parameters.mu]
    start, total = before, torch.zeros(len(c), dtype=torch.float64)
    for _ in train(c, state):
        now = [m.double().clone() for m in state.parameters.mu]
        for a, b, n in zip(now, before, c.copies, strict=True):
            total += n * (a - b).abs().sum(-1)
        before = now
    moved = [n * (a - b).abs().sum(-1) for a, b, n in zip(before, start, c.copies, strict=True)]
    return state, total, torch.stack(moved).sum(0)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_sum_over_all_steps_and_synapses(registry: Registry, case: str, compile: bool) -> None:
    size = () if case == "copies" else ("network.hidden=[7, 5]",)
    c = cohort(registry, DIGITS, *SINGLE, *size, *CASES[case], compile=compile)
    state, total, moved = followed(c)
    assert c.compiled == ("yes" if compile else "no: --compile off")
    last = state.curves[-1]
    assert bool((total > (0.999999 if case == "signs kept" else 1.001) * moved).all()) and bool((moved > 0).all())
    torch.testing.assert_close(last["mu_travelled"], total, rtol=1e-6, atol=0)
    torch.testing.assert_close(last["mu_moved"], moved, rtol=1e-6, atol=0)
    assert (max(c.copies) > 1) == (case == "copies")


def test_it_grows_from_nothing_and_is_stored(registry: Registry) -> None:
    c = cohort(registry, DIGITS, NOISY)
    (found,) = measure(c, trained(c))
    travelled, moved = found.curves["mu_travelled"], found.curves["mu_moved"]
    assert travelled[0] == moved[0] == 0 and len(travelled) == 3 and travelled[2] > travelled[1] > moved[1] > 0


def test_held_means_do_not_travel(registry: Registry) -> None:
    for compile in (False, True):
        c = cohort(registry, DIGITS, *SINGLE, NOISY, 'training.means="held"', compile=compile)
        last = trained(c).curves[-1]
        assert last["mu_travelled"].tolist() == last["mu_moved"].tolist() == [0]


@pytest.mark.parametrize("compile", [False, True])
def test_it_is_resumed_to_the_bit(registry: Registry, compile: bool) -> None:
    make = lambda: cohort(registry, DIGITS, *SINGLE, *CASES["several"], compile=compile)
    whole = trained(make())
    state = trained(make(), steps=6)
    state = checkpoint.unpack(copy.deepcopy(checkpoint.pack(state)), make())
    resumed = trained(make(), state)
    for name in ("mu_travelled", "mu_moved"):
        assert torch.equal(resumed.curves[-1][name], whole.curves[-1][name])


def test_threads_that_share_a_network_add_up_the_same(registry: Registry) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        c = cohort(registry, DIGITS, *SINGLE, NOISY, "network.hidden=[200]", compile=True)
        state, total, _ = followed(c)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(state.curves[-1]["mu_travelled"], total, rtol=1e-6, atol=0)


def test_a_network_that_has_stopped_travels_no_further(registry: Registry) -> None:
    c = cohort(registry, DIGITS, *SINGLE, *CASES["several"])
    state = trained(c, steps=3)
    state.alive[1] = False
    kept = state.parameters.travelled[0].clone()
    state.epoch = int(c.training.epochs) - 1
    trained(c, state)
    assert torch.equal(state.parameters.travelled[0][1], kept[1]) and bool((state.parameters.travelled[0] > kept)[0])
