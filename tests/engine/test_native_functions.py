"""The functions of the step in C against torch's in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.functions import softplus
from tests.engine.native_cases import computed

#: powers of ten of both signs, what lies near them, and the numbers that are none
SIZES = torch.logspace(-37, 37, 1487, dtype=torch.float64)
ALL = torch.cat(
    [
        SIZES,
        -SIZES,
        torch.linspace(-100, 100, 2001, dtype=torch.float64),
        torch.tensor([0.0, torch.inf, -torch.inf, torch.nan]),
    ]
)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp, "log": torch.log, "expm1": torch.expm1, "log1p": torch.log1p, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "sqrt": torch.sqrt, "abs": torch.abs, "sgn": torch.sgn, "floor": torch.floor,
    "reciprocal": torch.reciprocal, "rsqrt": torch.rsqrt, "square": torch.square, "softplus": softplus,
    "power 3": lambda x: x**3, "power 13": lambda x: x**13, "power 0.5": lambda x: x**0.5,
    "power -1.5": lambda x: x**-1.5,
    "cos": lambda x: x.clamp(-100, 100).cos(), "sin": lambda x: x.clamp(-100, 100).sin(),
    "clamp": lambda x: x.clamp(-1, 2), "clamp_min": lambda x: x.clamp_min(-3), "clamp_max": lambda x: x.clamp_max(3),
    "relu": torch.relu, "maximum": lambda x: x.maximum(0.5 - x), "minimum": lambda x: x.minimum(0.5 - x),
    "where": lambda x: torch.where((x > 0) & ~(x > 3), x, -1.0), "lerp": lambda x: x.lerp(x * 2, 0.25),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_function_in_c(name: str, dtype: torch.dtype) -> None:
    x = ALL.to(dtype)[None]
    ours, theirs = computed(FUNCTIONS[name], x), FUNCTIONS[name](x.double())
    smallest, rtol = torch.finfo(dtype).tiny, 5e-7 if dtype == torch.float32 else 2e-15
    theirs = torch.where(theirs.abs() > torch.finfo(dtype).max, theirs.sign() * torch.inf, theirs)
    torch.testing.assert_close(ours.double(), theirs, rtol=rtol, atol=2 * smallest, equal_nan=True)


def test_erf_in_c() -> None:
    x = ALL.float()[None]
    torch.testing.assert_close(computed(torch.erf, x).double(), x.double().erf(), rtol=0, atol=5e-7, equal_nan=True)
