"""Architectures whose weights are not a matrix with the bias last: what is reported of them does not assume this."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Network, hookimpl
from ebayes_core.engine import preflight
from ebayes_core.errors import PluginError
from ebayes_core.measure.collect import measure
from ebayes_core.testing.networks import _biases_hold
from tests.build import DIGITS, cohort, trained


class Kernels(Network):
    """Three kernels with a bias each over the digits, their means into a readout; does not define which are biases."""

    kind: Literal["kernels"] = "kernels"

    def shapes(self, inputs, outputs):
        return [(3, 1, 3, 3), (3,), (*outputs, 3)]

    def forward(self, weights, x):
        images, (kernels, offsets, readout) = x.view(len(x), 1, 8, 8), weights
        maps = torch.nn.functional.conv2d(images, kernels.flatten(0, 1)).unflatten(1, (len(kernels), 3))
        drives = maps.mean((-2, -1)).transpose(0, 1) + offsets[:, None]
        return drives.tanh() @ readout.transpose(1, 2)


class Named(Kernels):
    """The same, with `biases` defined."""

    kind: Literal["named"] = "named"

    def biases(self, inputs, outputs):
        return [torch.full(shape, layer == 1) for layer, shape in enumerate(self.shapes(inputs, outputs))]


plugin = SimpleNamespace(__name__="layouts", ebayes_networks=hookimpl(lambda: [Kernels, Named]))


def of(kind: str) -> tuple[dict[str, float], list[np.ndarray]]:
    """Numbers and sigmas of a trained network."""
    settings = ('sweep={ "cost.c" = [0.01, 0.1] }', "noise.sigma_0=0.1", f'network={{ kind = "{kind}" }}')
    c = cohort(Registry.of(plugin), DIGITS, *settings, "measurement.probe_examples=30")
    result = measure(c, trained(c))[1]
    return result.metrics, [layer["sigma"] for layer in result.layers]


def test_a_network_that_names_its_biases_has_the_rms_without_them() -> None:
    found, (kernels, offsets, readout) = of("named")
    without = np.concatenate([kernels.ravel(), readout.ravel()])
    assert found["sigma_rms_weights"] == pytest.approx(np.sqrt((without**2).mean()))
    assert found["sigma_rms"] == pytest.approx(np.sqrt((np.concatenate([without, offsets]) ** 2).mean()))
    assert found["sigma_rms"] != pytest.approx(found["sigma_rms_weights"], rel=1e-6)


def test_of_one_that_does_not_it_is_unknown_and_all_else_is_as_before() -> None:
    found, sigmas = of("kernels")
    known, others = of("named")
    assert np.isnan(found.pop("sigma_rms_weights")) and known.pop("sigma_rms_weights") > 0
    np.testing.assert_equal(found, known)
    assert all(np.array_equal(a, b) for a, b in zip(sigmas, others, strict=True))


def test_the_biases_of_the_perceptron_are_its_last_column(registry: Registry) -> None:
    c = cohort(registry, DIGITS, "noise.sigma_0=0.1", "network.hidden=[5]", "measurement.probe_examples=30")
    result = measure(c, trained(c))[0]
    without = np.concatenate([layer["sigma"][:, :-1].ravel() for layer in result.layers])
    assert result.metrics["sigma_rms_weights"] == pytest.approx(np.sqrt((without**2).mean()))


class Crooked(Named):
    """Marks the biases of one layer only."""

    kind: Literal["crooked"] = "crooked"

    def biases(self, inputs, outputs):
        return super().biases(inputs, outputs)[1:]


def test_biases_that_do_not_fit_the_weights_are_told_before_training() -> None:
    module = SimpleNamespace(__name__="crooked", ebayes_networks=hookimpl(lambda: [Crooked]))
    c = cohort(Registry.of(module), DIGITS, 'network={ kind = "crooked" }')
    with pytest.raises(PluginError, match=r"biases\(\) returned 2 layers instead of 3"):
        preflight.check(c, c.start())
    with pytest.raises(AssertionError, match=r"Crooked.biases must return None, or for each layer a boolean tensor"):
        _biases_hold("Crooked.biases", Crooked())
