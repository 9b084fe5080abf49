"""The check of architectures of images, sequences and single networks: right ones pass, each mistake is named."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Network, Trace, hookimpl
from ebayes_core.engine import preflight
from ebayes_core.engine.stacking import cohorts
from ebayes_core.errors import PluginError
from ebayes_core.modules.network import module_network
from ebayes_core.testing import check_network
from tests.build import DIGITS, cohort, points


class Leaky(Network):
    """Of one network: a running sum of the drives of a sequence, with a draw of the weights for each step."""

    kind: Literal["leaky"] = "leaky"

    def shapes(self, inputs, outputs):
        if len(inputs) != 2 or len(outputs) != 1:
            raise ValueError("it needs sequences")
        return [(*outputs, inputs[1])]

    def draws(self, inputs, outputs):
        return [inputs[0] if inputs[0] > 1 else 1]

    def single(self, weights, x):
        (w,) = weights
        return torch.einsum("bsi,soi->bo", x, w.view(-1, *w.shape[-2:])).tanh()


class Traced(Leaky):
    """The same with a trace."""

    kind: Literal["traced"] = "traced"

    def trace(self, weights, x):
        (w,) = weights
        drives = torch.einsum("bsi,msoi->mbso", x, w)
        return Trace(drives.sum(2).tanh(), [x], [drives])


def test_networks_of_sequences_that_are_right_pass() -> None:
    check_network(Leaky)
    check_network(Traced)


def test_a_module_passes() -> None:
    parts = (nn.Tanh(), nn.Flatten())
    check_network(module_network(lambda i, o: nn.Sequential(nn.Conv1d(i[0], 2, 2), *parts, nn.LazyLinear(*o))))


def crossed(self, weights, x):
    (w,) = weights
    drives = torch.einsum("bsi,msoi->mbso", x, w)
    return Trace(drives.sum(2).tanh(), [x.flip(1)], [drives])


def drawn(self, units, seed):
    return [torch.rand_like(u) for u in units]


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"single": lambda s, w, x: Leaky.single(s, w, x).sum(0)}, r"Broken.single returned \(2, 2\)"),
        ({"single": lambda s, w, x: Leaky.single(s, w, x - x.mean(0))}, "Broken.single mixes examples"),
        ({"single": lambda s, w, x: 3 * x.missing}, "Broken.single raised AttributeError.*the weights of one network"),
        (
            {"draws": lambda s, i, o: [0]},
            r"Broken.draws must return a positive integer for each of 1 layers",
        ),
        ({"copies": lambda s, i, o: [1, 1]}, "Broken.copies must return"),
        ({"start": lambda s, u, seed: [t[0] for t in u]}, "Broken.start must return means"),
        ({"start": drawn}, "Broken.start draws from the global random generator"),
        ({"start": lambda s, u, seed: [t.float() for t in u]}, "Broken.start changes the type"),
        ({"trace": crossed}, "is not the weights' gradient"),
        (
            {"shapes": lambda s, i, o: int("no")},
            r"Broken.shapes refuses all shapes .* examples \(2, 9, 8\)",
        ),
    ],
)
def test_mistakes_of_such_networks_are_named(methods, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_network(type("Broken", (Leaky,), {**methods, "__doc__": "Broken.", "__module__": __name__}))


class Neither(Network):
    """Without a forward pass."""

    kind: Literal["neither"] = "neither"

    def shapes(self, inputs, outputs):
        return [(*outputs, *inputs)]


class Readout(Neither):
    """A readout of vectors or of anything flattened, written for one network."""

    kind: Literal["readout"] = "readout"

    def shapes(self, inputs, outputs):
        return [(*outputs, torch.Size(inputs).numel())]

    def single(self, weights, x):
        return x.flatten(1) @ weights[0].T


class Plain:
    """A module of plugins."""

    __name__ = "plain"

    def __init__(self, *classes) -> None:
        self.ebayes_networks = hookimpl(lambda: list(classes))


def test_one_of_the_two_forward_passes_is_needed() -> None:
    with pytest.raises(PluginError, match="the network Neither does not define forward or single"):
        Registry.of(Plain(Neither))
    assert "readout" in Registry.of(Plain(Readout)).kinds("network")


def wrong_positions(self, weights, x):
    drives = x.flatten(1) @ weights[0].transpose(1, 2)
    return Trace(drives, [x.flatten(1)[:, None].expand(-1, 2, -1)], [drives])


@pytest.mark.parametrize(
    "methods, message",
    [
        (
            {"draws": lambda s, i, o: []},
            r"draws\(\) returned \[\]; it has to return a positive integer",
        ),
        ({"trace": wrong_positions}, r"trace\(\) returned inputs \(3, 2, 64\) and drives \(1, 3, 10\) for layer 1"),
    ],
)
def test_the_same_are_told_before_training(methods, message: str) -> None:
    odd = type("Odd", (Readout,), {**methods, "__doc__": "Odd.", "__module__": __name__})
    with pytest.raises(PluginError, match=message):
        c = cohort(Registry.of(Plain(odd)), DIGITS, 'network={ kind = "readout" }')
        preflight.check(c, c.start())


class Scaled(Readout):
    """A readout whose outputs depend on a field that is a number."""

    kind: Literal["scaled"] = "scaled"
    scale: float = 1.0

    def single(self, weights, x):
        return self.scale * super().single(weights, x)


def test_networks_that_differ_in_a_number_other_than_init_are_not_computed_as_one() -> None:
    """One object computes the outputs of a cohort."""
    settings = ('training.dtype="float64"', 'network={ kind = "scaled" }')
    registry, by = Registry.of(Plain(Scaled)), lambda name: f'sweep={{ "network.{name}" = [0.5, 2.0] }}'
    groups = {name: cohorts(points(registry, DIGITS, *settings, by(name)), lambda _: 1) for name in ("init", "scale")}
    assert {name: len(found) for name, found in groups.items()} == {"init": 1, "scale": 2}


class OneLayer(Network):
    """A correct architecture of one layer, written for one network."""

    kind: Literal["plain"] = "plain"
    gain: float = Field(1.0, gt=0, le=5, description="factor of the outputs")

    def shapes(self, inputs, outputs):
        if len(inputs) != 1:
            raise ValueError("it needs vectors")
        return [(*outputs, *inputs)]

    def single(self, weights, x):
        return self.gain * (x @ weights[0].T)


def single(change):
    """OneLayer with a change to its outputs: change(self, outputs, weights, x)."""
    return lambda self, weights, x: change(self, OneLayer.single(self, weights, x), weights, x)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s, out, w, x: out + 0 / (5.0 - s.gain) if s.gain == 5 else out, "raised ZeroDivisionError"),
        (lambda s, out, w, x: out * (math.nan if s.gain == 5 else 1), r"not finite within the bounds .*gain=5.0"),
        (lambda s, out, w, x: out / (1 if s.gain > 1e-30 else 0), r"not finite within the bounds .*gain=1.17549"),
        (lambda s, out, w, x: np.tanh(out), "it uses numpy"),
        (lambda s, out, w, x: out + np.exp(x).sum(-1, keepdim=True), "it uses numpy"),
        (lambda s, out, w, x: OneLayer.single(s, [w[0].mul_(2)], x), "in place"),
        (lambda s, out, w, x: out + x.mul_(2).sum(-1, keepdim=True), "in place"),
        (lambda s, out, w, x: out.squeeze(0), "squeeze"),
    ],
)
def test_bounds_numpy_and_changes_in_place_are_named(change, message: str) -> None:
    check_network(OneLayer)
    cls = type("Broken", (OneLayer,), {"single": single(change), "__doc__": "Broken.", "__module__": __name__})
    with pytest.raises(AssertionError, match=message) as caught:
        check_network(cls)
    assert str(caught.value).startswith("Broken.single")


class Turned(OneLayer):
    """The same layer with a plain module, whose weights are the transposed ones."""

    def plain(self, inputs, outputs):
        class Product(nn.Module):
            def __init__(self, gain):
                super().__init__()
                self.gain, self.kernel = gain, nn.Parameter(torch.zeros(*inputs, *outputs))

            def forward(self, x):
                return self.gain * (x @ self.kernel)

        return Product(self.gain)

    def parameters(self, weights):
        return [weights[0].T]

    def weights(self, parameters):
        return [parameters[0].T]


@pytest.mark.parametrize(
    "methods, message",
    [
        ({"weights": lambda s, p: [2 * p[0].T]}, r"weights\(parameters\(w\)\) must be w"),
        (
            {"parameters": lambda s, w: [w[0]], "weights": lambda s, p: [p[0]]},
            "trained parameters in its order and shapes",
        ),
        (
            {"parameters": lambda s, w: [w[0].T.flip(0)], "weights": lambda s, p: [p[0].flip(0).T]},
            "computes other outputs than forward",
        ),
        ({"parameters": lambda s, w: [w[0].T, w[0]]}, "trained parameters in its order"),
    ],
)
def test_a_plain_module_has_to_compute_the_same(methods, message: str) -> None:
    check_network(Turned)
    with pytest.raises(AssertionError, match=f"Broken.plain.*{message}"):
        check_network(type("Broken", (Turned,), {**methods, "__doc__": "Broken.", "__module__": __name__}))
