"""Generated data sets: their moments, classes and difficulty are those that their fields say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import norm

from ebayes_plugins.datasets import Decision, Integrator, Memory, Teacher


def test_the_inputs_of_the_teacher_have_the_spectrum_exactly_or_on_average() -> None:
    exact = Teacher(inputs=7, examples=60, spread=1.0)
    spectrum = exact.spectrum()
    assert spectrum[0] == 1 and spectrum[-1] == pytest.approx(0.01) and np.ptp(np.diff(np.log(spectrum))) < 1e-12
    for split in ("train", "test"):
        x = exact.load(split)[0]
        torch.testing.assert_close(x.T @ x / 60, torch.diag(torch.from_numpy(spectrum)))
        torch.testing.assert_close(x.mean(0), torch.zeros(7, dtype=x.dtype))
    x = Teacher(inputs=7, examples=100_000, spread=1.0, orthogonal=False).load("train")[0]
    torch.testing.assert_close(x.var(0), torch.from_numpy(spectrum), rtol=0.03, atol=0.0)  # 7 standard errors
    assert (torch.corrcoef(x.T) - torch.eye(7)).abs().max() > 1e-4


def test_the_targets_of_the_teacher_are_its_outputs_and_unit_noise() -> None:
    data = Teacher(inputs=4, hidden=2, outputs=3, examples=200_000, orthogonal=False, seed=3)
    x, y = data.load("train")
    first, second = data.weights()
    rest = (y - x @ torch.from_numpy((second @ first).T)).numpy()
    assert np.abs(np.cov(rest.T) - np.eye(3)).max() < 0.02 and np.abs(x.numpy().T @ rest).max() / len(x) < 0.02
    assert data.task().noise_sd == 1 and np.linalg.matrix_rank(second @ first) == 2


def test_the_integrator_is_asked_for_the_sum_of_uncorrelated_inputs() -> None:
    x, y = Integrator(steps=5, input_sd=2.0, examples=40).load("test")
    torch.testing.assert_close(y, x.sum(1))
    assert x.shape == (40, 5, 1)
    torch.testing.assert_close(x[..., 0].T @ x[..., 0] / 40, 4 * torch.eye(5, dtype=x.dtype))
    free = Integrator(steps=5, examples=40, orthogonal=False).load("test")[0][..., 0]
    assert (free.T @ free / 40 - torch.eye(5)).abs().max() > 0.05


@pytest.mark.parametrize(("kind", "fields"), [(Teacher, {"inputs": 50}), (Integrator, {"steps": 50})])
def test_too_few_examples_for_orthogonal_inputs_are_refused(kind: type, fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="raise examples, or set orthogonal = false"):
        kind(examples=50, **fields)
    assert len(kind(examples=50, orthogonal=False, **fields).load("train")[0]) == 50


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("ideal", [0.6, 0.95])
def test_an_ideal_observer_decides_as_well_as_it_says_whatever_the_length(steps: int, ideal: float) -> None:
    data = Decision(steps=steps, ideal_accuracy=ideal, examples=40_000)
    x, y = data.load("train")
    right = ((x[..., 1] - x[..., 0]).sum(1) > 0).long() == y
    assert right.double().mean() == pytest.approx(ideal, abs=5 * (ideal * (1 - ideal) / 40_000) ** 0.5)
    assert norm.cdf(data.evidence * (2 * steps) ** 0.5) == pytest.approx(ideal)
    assert x[y == 0][..., 0].mean() == pytest.approx(data.evidence, abs=0.04)
    assert x[y == 0].var(0).mean() == pytest.approx(1, abs=0.05) and y.sum() == 20_000


def test_the_cue_is_shown_at_first_and_asked_for_at_the_end() -> None:
    x, y = Memory(delay=5, examples=20_001, cue_sd=0.5).load("train")
    assert x.shape == (20_001, 7, 2) and y.bincount().tolist() == [10_001, 10_000]
    cue = x[:, 0, 0].clone()
    x[:, 0, 0] = 0
    assert (x[:, -1, 1] == 1).all() and x.sum() == len(x)
    rest = cue - (2 * y - 1)
    assert rest.mean().abs() < 5 * 0.5 / 141 and rest.std().item() == pytest.approx(0.5, rel=0.03)
    assert ((cue > 0).long() == y).double().mean() == pytest.approx(1 - 1 / 44, abs=0.005)
