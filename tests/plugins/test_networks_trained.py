"""Networks of images and sequences in the engine: a member alone is that of the cohort, at its optimum or before."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import preflight
from ebayes_core.engine.loop import train
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.errors import UserError
from ebayes_core.measure import probes
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, cohort, trained

CASES = {
    "kernel": ("image", '{ kind = "convolutional", layers = [{ channels = 3, pool = 2 }], noise_per = "kernel" }'),
    "position": (
        "image",
        '{ kind = "convolutional", layers = [{ channels = 3, stride = 3 }], noise_per = "position" }',
    ),
    "frozen": ("rows", '{ kind = "recurrent", hidden = 5, noise = "frozen" }'),
    "fresh": ("rows", '{ kind = "recurrent", hidden = 5, noise = "fresh" }'),
}


@cache
def installed() -> Registry:
    return Registry.load()


def of(case: str, *settings: str):
    layout, network = CASES[case]
    shared = ("training.epochs=1", "noise.sigma_0=0.1", "measurement.probe_examples=40", *settings)
    return cohort(installed(), DIGITS, f"network={network}", f'dataset.layout="{layout}"', *shared)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sigma", ["descent", "fixed_point"])
def test_a_member_alone_is_that_of_the_cohort(case: str, sigma: str) -> None:
    how = f'training.sigma="{sigma}"'
    both = of(case, how, 'sweep={ "cost.c" = [0.01, 1.0] }')
    state = both.start()
    preflight.check(both, state)
    for _ in train(both, state):
        pass
    alone = trained(of(case, how, "cost.c=1.0"))
    for mine, theirs in zip(alone.parameters.mu, state.parameters.mu, strict=True):
        torch.testing.assert_close(mine[0], theirs[1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_what_is_measured_of_them_has_the_shapes_of_their_layers(case: str) -> None:
    """Inputs are means over examples and positions; a price is paid for each copy of a synapse."""
    c = of(case)
    state = trained(c)
    result = measure(c, state)[0]
    for layer, shape in zip(result.layers, c.shapes, strict=True):
        assert all(values.shape in (shape, shape[1:]) for values in layer.values())
        assert layer["input_abs"][-1] == pytest.approx(1) and layer["input_square"][-1] == pytest.approx(1)
    x = torch.cat([some for some, _ in probes.training_chunks(c)])
    if case in ("frozen", "fresh"):
        found = probes.inputs(c, state.parameters, generator(0, MEASURE))["input_abs"][0][0, :8]
        torch.testing.assert_close(found, x.abs().mean((0, 1)))
    kept = ~torch.cat([b.flatten() for b in c.network.biases(c.inputs, c.outputs)]).numpy()
    sigma = np.concatenate([layer["sigma"].ravel() for layer in result.layers])
    assert result.metrics["sigma_rms_weights"] == pytest.approx(np.sqrt((sigma[kept] ** 2).mean()))


@pytest.mark.parametrize("kind", ["convolutional", "recurrent"])
def test_data_without_the_shape_are_refused_before_training(kind: str) -> None:
    with pytest.raises(UserError, match=rf"network '{kind}' does not fit .* 'digits', .* \(64,\) .* dataset.layout"):
        cohort(installed(), DIGITS, f'network={{ kind = "{kind}" }}')
