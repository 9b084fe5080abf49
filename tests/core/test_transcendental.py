"""Functions written for speed, against double precision over the whole range of float32, in value and in slope."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.transcendental import softplus

RANGES = {
    "where sigma starts": torch.linspace(-20, 0, 200_001),
    "about zero": torch.linspace(-1e-3, 1e-3, 20_001),
    "far below": torch.linspace(-87, -20, 100_001),
    "far above": torch.cat([torch.linspace(0, 100, 100_001), torch.logspace(2, 38, 10_001)]),
}


@pytest.mark.parametrize("phi", RANGES.values(), ids=RANGES.keys())
def test_softplus_and_its_slope_are_exact_to_float32(phi: torch.Tensor) -> None:
    leaf = phi.clone().requires_grad_()
    value = softplus(leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    exact = torch.logaddexp(phi.double(), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(value.detach().double(), exact, rtol=4e-7, atol=0)
    torch.testing.assert_close(slope.double(), phi.double().sigmoid(), rtol=4e-7, atol=0)


def test_softplus_at_the_ends() -> None:
    ends = torch.tensor([-torch.inf, torch.inf, torch.nan])
    torch.testing.assert_close(softplus(ends), torch.tensor([0.0, torch.inf, torch.nan]), equal_nan=True)


def test_softplus_in_double_precision_keeps_its_digits() -> None:
    phi = torch.linspace(-30, 30, 10_001, dtype=torch.float64)
    torch.testing.assert_close(softplus(phi), torch.nn.functional.softplus(phi, threshold=50), rtol=1e-14, atol=0)
