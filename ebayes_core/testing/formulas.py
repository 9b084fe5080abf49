"""What the engine requires of every formula of a synapse, for costs, noises and inferences alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ebayes_core.engine.fixed_point import LARGEST
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Formula, attempt, keeps_arguments
from ebayes_core.testing.elementwise import DISTINCT, FREE, SHAPE, elementwise, keeps_the_form
from ebayes_core.testing.gradients import finite_at, slope_of, slopes, slopes_hold
from ebayes_core.testing.strategies import mus, sigmas, tensor


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


#: round numbers, which are often the thresholds of formulas
_ROUND = [m * 10.0**k for k in range(-6, 3) for m in (1, 2, 5)]
USUAL = {
    "sigma": _column([*_ROUND, 1e3]),
    "mu": _column([0.0, 1e-3, -0.05, 0.1, -1.0, 3.0]),
    "n": _column([1.0, 2.0, 5.0, 100.0]),
    "p": _column([1e-4, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 0.9999]),
    "q": _column([0.0, 1e-3, -0.05, 0.1, -1.0, 3.0]),
    "normal": _column([-4.0, -1.0, 0.0, 0.5, 4.0]),
    "uniform": _column([0.0, 1e-3, 0.3, 0.5, 0.9, 1 - 2.0**-24]),
}
#: numbers of values of each free parameter of a noise, by how many there are
_COUNTS = {1: 41, 2: 21, 3: 9}
FAR, END = 10.0, 20.0  #: how far training is followed along a free parameter from where it starts, and from 0

sigma_tensors = tensor(sigmas(), *SHAPE)
mu_tensors = tensor(mus(), *SHAPE)


def distinct(*names: str) -> dict[str, Tensor]:
    """Values of these arguments in which all synapses differ; a name that is not known is a free parameter's."""
    return {name: DISTINCT.get(name, FREE.roll(k, 1)) for k, name in enumerate(names)}


def usual(*names: str, start: Mapping[str, float] = MappingProxyType({})) -> dict[str, Tensor]:
    """Values of these arguments that are common in training; a name that is not known is a free parameter's.

    start: where a free parameter begins, 0 if it is not said.
    """
    count = _COUNTS.get(len([n for n in names if n not in USUAL]), 5)
    along = torch.linspace(-FAR, FAR, count, dtype=torch.float64)
    return {name: USUAL[name] if name in USUAL else (start.get(name, 0.0) + along).clamp(-END, FAR) for name in names}


def formula_holds(name: str, formula: Formula, pair: list[Any], **arguments: Tensor) -> None:
    """Check everything that the engine requires of an elementwise formula; the messages say what."""
    apart = distinct(*arguments)
    keeps_the_form(name, formula, pair, **apart)
    finite_at(name, formula, pair, **usual(*arguments))
    together, values = stack(pair, torch.float64), list(arguments.values())
    value = keeps_arguments(name, lambda *a: attempt(name, formula, together, *a), *values)
    finite = f"{name} is not finite within the bounds of its fields: {pair[0]!r}, at {[a.tolist() for a in values]}"
    assert bool(value.isfinite().all()), finite
    elementwise(name, formula, pair, value, *values)
    for places in (apart, arguments):
        slopes_hold(name, formula, together, **places)
    if "sigma" in arguments:
        slopes_hold(f"{name} differentiated", slope_of(formula), together, **apart)


def falls(name: str, formula: Formula, together: Any) -> None:
    """Check that reliability costs energy: it never increases with sigma and decreases wherever training may lead.

    formula: of the plugins and sigma, (member, values).
    """
    sigma = torch.logspace(-6, 3, 91, dtype=torch.float64).expand(SHAPE[0], -1)
    value, slope = slopes(name, formula, together, [sigma])
    rises = value.diff() > 1e-12 * value[:, 1:].abs()
    assert not bool(rises.any()), f"{name} increases with sigma somewhere: reliability must cost energy everywhere"
    assert bool((value[:, 0] > value[:, -1]).all()), f"{name} does not depend on sigma: it must decrease as sigma grows"
    flat = sigma[(slope >= 0) & (sigma <= LARGEST)]
    where = f"from sigma = {flat.min():.3g} to {flat.max():.3g}" if len(flat) else ""
    assert not len(flat), (
        f"{name} is constant {where}: there nothing drives sigma, which starts near 1e-4 and may reach {LARGEST:g}; "
        "it must decrease as sigma grows"
    )
