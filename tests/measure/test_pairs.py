"""What pairs of sampled networks say of the balance: by traces, by gradients in the weights, and by autograd."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.randomness import generator
from ebayes_core.measure.pairs import Pair, TracedPair, pair
from tests.build import DIGITS, cohort, trained

SWEEP = 'sweep."cost.c"=[0.01, 0.1, 1.0]'
NOISES = ('noise={kind="heterogeneous", sigma_0=0.1}', 'noise={kind="homogeneous", sigma_0=0.1}')


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("hidden", ["[]", "[7]", "[8, 5]"])
def test_traces_say_the_same_as_gradients(registry: Registry, noise: str, hidden: str) -> None:
    c = cohort(registry, DIGITS, SWEEP, noise, f"network.hidden={hidden}")
    p = trained(c, steps=5).parameters
    with torch.no_grad():
        found = [either(c, p) for either in (pair, Pair)]
        assert [type(one) for one in found] == [TracedPair, Pair]
        for examples in (13, 1):
            x, y = c.data.x[:examples], c.data.y[:examples]
            for one in found:
                one.draw(generator(1))
            for ours, theirs in zip(*(one.measure(x, y) for one in found), strict=True):
                torch.testing.assert_close(ours, theirs)


def test_a_pair_measures_the_derivatives_of_its_loss(registry: Registry) -> None:
    """d loss / dt at t = 1 of t mu + sigma xi and of mu + t sigma xi in each layer, by autograd for one network."""
    c = cohort(registry, DIGITS, SWEEP, NOISES[0], "network.hidden=[8, 5]")
    p = trained(c, steps=5).parameters
    x, y, member = c.data.x[:13], c.data.y[:13], 1
    found = pair(c, p)
    with torch.no_grad():
        found.draw(generator(1))
        along_sigma, along_mu, added, at_mean = found.measure(x, y)
    xi = c.by_layer(c.draw(generator(1)))
    means = [m[member : member + 1] for m in p.mu]
    spreads = [s[member : member + 1] for s in c.formulas.sigmas(p)]
    scales = torch.ones(2, 2, len(means), dtype=c.dtype, requires_grad=True)
    losses = []
    for sign, (of_mu, of_sigma) in zip((1, -1), scales, strict=True):
        parts = zip(of_mu, means, of_sigma, spreads, xi, strict=True)
        weights = c.layered([a * m + b * sign * s * x for a, m, b, s, x in parts])
        losses.append(c.data.task.nll(c.network.forward(weights, x), y).mean())
    (slopes,) = torch.autograd.grad(sum(losses), scales)
    torch.testing.assert_close(along_mu[:, member], slopes[:, 0].mean(0))
    torch.testing.assert_close(along_sigma[:, member], slopes[:, 1].mean(0))
    mean = c.data.task.nll(c.network.forward(c.layered(means), x), y).mean()
    torch.testing.assert_close(at_mean[member], mean)
    torch.testing.assert_close(added[member], (sum(losses) / 2 - mean).detach())


@pytest.mark.parametrize("changes", [['noise={kind="multiplicative"}'], ["network={kind='recurrent', hidden=4}"]])
def test_other_noises_and_layers_used_many_times_take_the_general_path(registry: Registry, changes: list[str]) -> None:
    images = ["dataset.layout='rows'"] if "recurrent" in changes[0] else []
    c = cohort(registry, DIGITS, *images, *changes)
    assert type(pair(c, c.start().parameters)) is Pair
