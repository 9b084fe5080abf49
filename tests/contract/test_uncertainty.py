"""What sampled networks are uncertain of, against known answers and independent sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebayes_core.contract.compound import Several, Stepwise
from ebayes_core.contract.likelihoods import Classification, Regression

LN2 = math.log(2)


def outputs_of(*shape: int) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_one_network_disagrees_with_nobody() -> None:
    found = Classification(3).uncertainty(outputs_of(1, 5, 3))
    assert torch.allclose(found.epistemic, torch.zeros(5, dtype=torch.float64), atol=1e-15)
    assert torch.equal(Regression(2, 0.7).uncertainty(outputs_of(1, 5, 2)).epistemic, torch.zeros(5, 2).double())


def test_two_certain_networks_that_contradict_each_other_differ_by_ln_2() -> None:
    outputs = torch.tensor([[[900.0, 0.0]], [[0.0, 900.0]]])
    found = Classification(2).uncertainty(outputs)
    assert found.aleatoric.item() == 0 and found.epistemic.item() == pytest.approx(LN2)
    undecided = Classification(2).uncertainty(torch.zeros(2, 1, 2))
    assert undecided.aleatoric.item() == pytest.approx(LN2) and undecided.epistemic.item() == 0


def test_the_parts_add_up_to_the_entropy_of_the_mean_probabilities() -> None:
    outputs = outputs_of(7, 5, 3)
    found = Classification(3).uncertainty(outputs)
    p = np.exp(outputs.numpy())
    p /= p.sum(-1, keepdims=True)
    mean = p.mean(0)
    np.testing.assert_allclose(found.aleatoric + found.epistemic, -(mean * np.log(mean)).sum(-1))
    np.testing.assert_allclose(found.epistemic, (p * np.log(p / mean)).sum(-1).mean(0))  # mean divergence from the mean
    np.testing.assert_allclose(Classification(3).averaged(outputs).exp(), mean)
    assert found.units == "nat"


def test_a_regression_has_the_variance_of_its_noise_and_that_of_the_means() -> None:
    task, outputs = Regression(2, 0.7), outputs_of(6, 3, 2)
    found = task.uncertainty(outputs)
    np.testing.assert_allclose(found.epistemic, outputs.numpy().var(0, ddof=1))
    np.testing.assert_allclose(found.aleatoric, np.full((3, 2), 0.49))
    assert found.units == "target^2"


def test_each_step_has_parts_of_its_own() -> None:
    task, outputs = Stepwise(Classification(3), 4), outputs_of(6, 5, 4, 3)
    found = task.uncertainty(outputs)
    assert found is not None and found.aleatoric.shape == (5, 4)
    alone = Classification(3).uncertainty(outputs[:, :, 2])
    assert torch.allclose(found.epistemic[:, 2], alone.epistemic)
    labels = task.label(task.predict(outputs))
    assert labels is not None and torch.equal(labels, outputs.argmax(-1))
    averaged = task.averaged(outputs)
    assert averaged is not None
    assert torch.allclose(averaged[:, 2], Classification(3).averaged(outputs[:, :, 2]))


def test_several_read_outs_are_averaged_but_not_split() -> None:
    task, outputs = Several((Classification(3), Regression(2, 0.4))), outputs_of(6, 5, 5)
    assert task.uncertainty(outputs) is None and task.prediction_units == "1 or target"
    averaged = task.averaged(outputs)
    assert averaged is not None and torch.allclose(averaged[:, 3:], outputs[..., 3:].mean(0))
    assert torch.allclose(averaged[:, :3], Classification(3).averaged(outputs[..., :3]))
