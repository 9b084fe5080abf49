"""Fast elementwise functions against double precision over the whole range of float32, values and derivatives.

Each is tested as torch runs it and as the compiled step does.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.functions import power, softplus
from tests.engine.native_cases import run_in_c

PHI = {
    "where sigma starts": torch.linspace(-20, 0, 200_001),
    "about zero": torch.linspace(-1e-3, 1e-3, 20_001),
    "far below": torch.linspace(-86, -20, 100_001),
    "far above": torch.cat([torch.linspace(0, 100, 100_001), torch.logspace(2, 38, 10_001)]),
}
NORMAL = torch.cat([torch.logspace(-37.9, 38.5, 400_001), torch.linspace(0.5, 2, 100_001)])
EXPONENTS = (-1 / 2, -2 / 3, -4 / 3, -2.0, -8.0)


def value_and_slope(function: Callable[[Tensor], Tensor], x: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """The function and its derivative at x: by torch, or in a kernel as the update is compiled."""

    def step(x: Tensor, value: Tensor, slope: Tensor) -> None:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            y = function(leaf)
            slope.copy_(torch.autograd.grad(y.sum(), leaf)[0])
        value.copy_(y.detach())

    found = x, torch.empty_like(x), torch.empty_like(x)
    if how == "eager":
        step(*found)
    else:
        run_in_c(step, [t[None] for t in found])
    return found[1:]


HOW = pytest.mark.parametrize("how", ["eager", "C"])


@HOW
def test_softplus_and_its_slope_are_exact_to_float32(how: str) -> None:
    phi = torch.cat(list(PHI.values()))
    value, slope = value_and_slope(softplus, phi, how)
    exact = torch.logaddexp(phi.double(), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(value.double(), exact, rtol=5e-7, atol=0)
    torch.testing.assert_close(slope.double(), phi.double().sigmoid(), rtol=5e-7, atol=0)


@HOW
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_power_and_its_slope(how: str, exponent: float) -> None:
    """exp turns the absolute error of a log x into a relative one: half an ulp each from a, the log and the product."""
    exponent = float(torch.tensor(exponent))
    x = NORMAL.double()
    value, slope = value_and_slope(lambda x: power(x, exponent), NORMAL, how)
    for found, exact, a in ((value, x**exponent, exponent), (slope, exponent * x ** (exponent - 1), exponent - 1)):
        inside = (exact.abs() > 1e-36) & (exact.abs() < 3e37)
        error = (found.double() / exact - 1).abs()[inside]
        assert (error <= 4e-7 + 1.8e-7 * (a * x.log()).abs()[inside]).all()
        assert (found[exact.abs() > 3.5e38].isinf()).all()


@HOW
def test_exp_and_log(how: str) -> None:
    """To two units in the last place, from where exp becomes 0 (a little before float32 ends) to where it overflows."""
    x = torch.linspace(-86.9, 88.7, 400_001)
    value, slope = value_and_slope(torch.exp, x, how)
    torch.testing.assert_close(value.double(), x.double().exp(), rtol=2.5e-7, atol=0)
    torch.testing.assert_close(slope, value)
    value, slope = value_and_slope(torch.log, NORMAL, how)
    torch.testing.assert_close(value.double(), NORMAL.double().log(), rtol=2.5e-7, atol=1e-9)
    torch.testing.assert_close(slope.double(), 1 / NORMAL.double(), rtol=2.5e-7, atol=0)


@HOW
def test_erf_and_its_slope(how: str) -> None:
    """The formula is accurate to 1.5e-7; near zero it is a difference of ones, which adds a few rounding errors of
    6e-8.
    """
    x = torch.linspace(-12, 12, 400_001)
    value, slope = value_and_slope(torch.erf, x, how)
    torch.testing.assert_close(value.double(), x.double().erf(), rtol=0, atol=5e-7)
    torch.testing.assert_close(slope.double(), 2 / torch.pi**0.5 * (-(x.double() ** 2)).exp(), rtol=2e-5, atol=1e-37)


@HOW
def test_the_ends(how: str) -> None:
    """Beyond the range the result is never a finite wrong number."""
    inf, nan = torch.inf, torch.nan
    ends = torch.tensor([-inf, inf, nan, -1000.0, 1000.0]).repeat(20)
    expected = torch.tensor([0.0, inf, nan, 0.0, 1000.0]).repeat(20)
    torch.testing.assert_close(value_and_slope(softplus, ends, how)[0], expected, equal_nan=True)
    expected[4::5] = inf
    torch.testing.assert_close(value_and_slope(torch.exp, ends, how)[0], expected, equal_nan=True)
    logs = value_and_slope(torch.log, torch.tensor([0.0, -1.0, nan]).repeat(20), how)[0]
    assert not logs.isfinite().any()
    assert (value_and_slope(lambda x: power(x, -0.5), torch.zeros(40), how)[0] == inf).all()


def test_in_double_precision_they_keep_their_digits() -> None:
    phi = torch.linspace(-30, 60, 10_001, dtype=torch.float64)
    exact = torch.logaddexp(phi, torch.zeros((), dtype=torch.float64))
    for how in ("eager", "C"):
        torch.testing.assert_close(value_and_slope(softplus, phi, how)[0], exact, rtol=1e-14, atol=0)
        found = value_and_slope(lambda x: power(x, -2 / 3), phi.exp(), how)[0]
        torch.testing.assert_close(found, phi.exp() ** (-2 / 3), rtol=1e-13, atol=0)
