"""Layers that are drawn several times: each draw is that of the formula alone, whatever fields it uses."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
import torch
from pydantic import Field

from ebayes_core.contract.slots import Noise
from ebayes_core.engine.objective import Formulas
from ebayes_core.engine.stacking import stack
from ebayes_plugins.costs import PowerLaw
from ebayes_plugins.inference import EnergyEfficient
from ebayes_plugins.optimizers import Adam

MEMBERS = DRAWS = 3  # equal, so that a field that meets the wrong axis goes unnoticed


class Ratio(Noise):
    """A noise with a field in its formula, and a parameter of the whole network beside that of each synapse."""

    kind: Literal["ratio"] = "ratio"
    own_sigma: ClassVar[bool] = False
    least: float = Field(0.1, gt=0, le=1, description="least ratio of sigma and the mean")

    def init(self, mu):
        return {"own": 0 * mu, "shared": mu.new_zeros(len(mu), 1)}

    def sigma(self, mu, free):
        return (self.least + free["own"].exp() * free["shared"].exp()) * (mu * mu + 1e-8).sqrt()


@pytest.mark.parametrize("synapses", [1, 4])
def test_each_draw_of_each_network_is_that_of_the_formula_alone(synapses: int) -> None:
    chance = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=chance, dtype=torch.float64)
    plugins = [Ratio(least=value) for value in (0.1, 0.4, 0.9)]
    of_adam = stack([Adam()] * MEMBERS, torch.float64)
    f = Formulas(PowerLaw(), stack(plugins, torch.float64), EnergyEfficient(), of_adam, 10, (1,), synapses)
    mu, free = draw(MEMBERS, synapses), {"own": draw(MEMBERS, synapses), "shared": draw(MEMBERS, 1)}
    xi = draw(1, DRAWS, synapses)
    (found,) = f.drawn([mu], [free], [xi])
    assert found.shape == (MEMBERS, DRAWS, synapses)
    for i, plugin in enumerate(plugins):
        for k in range(DRAWS):
            alone = {name: value[i] for name, value in free.items()}
            torch.testing.assert_close(found[i, k], plugin.draw(mu[i], alone, xi[0, k]))
