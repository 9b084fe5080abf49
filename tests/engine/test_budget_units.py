"""Energy budgets of several networks at once, with one free parameter for all synapses, and with energies below 0."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import preflight
from ebayes_core.engine.budget import excess
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.minibatch import ingredients
from ebayes_core.engine.multipliers import EVERY, keep
from ebayes_core.errors import UserError
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, LINEAR, cohort, trained
from tests.engine.test_budget import ENDS, closed_form
from tests.engine.test_fixed_point import exact_curvature

SMALL = ("training.epochs=2", "network.hidden=[5, 3]")


def build(registry: Registry, inference: str, *more: str) -> Cohort:
    return cohort(registry, DIGITS, f'inference={{kind="budget", {inference}}}', *SMALL, *more)


def test_networks_of_a_cohort_keep_their_own_budgets_by_descent(registry: Registry) -> None:
    sweep = 'sweep={"inference.energy"=[2.0, 4.0, 9.0]}'
    budget = 'inference={kind="budget", energy=1.0, per="neuron"}'
    c = cohort(registry, LINEAR, *ENDS, budget, sweep, 'cost={kind="calcium"}', compile=True)
    p = trained(c).parameters
    h = (c.formulas.examples * exact_curvature(c)).ravel().numpy()
    for i, energy in enumerate((2.0, 4.0, 9.0)):
        multiplier, sigma = closed_form(h, energy * len(h), 0.5)
        np.testing.assert_allclose(p.spreads[0].sigma[i], sigma, rtol=0.04)
        np.testing.assert_allclose(p.multipliers[0][i], multiplier, rtol=0.04)
        np.testing.assert_allclose(excess(c, p)[0][i], 1, rtol=1e-3)


@pytest.mark.parametrize("cost", ["calcium", "quantal_turnover"])
def test_one_ratio_for_all_synapses_keeps_a_budget(registry: Registry, cost: str) -> None:
    """k of sigma = k |mu| is one number, although the sigmas differ; E ~ k^-rho."""
    noise = 'noise={kind="multiplicative", per="network"}'
    c = build(registry, "energy=3.0", f'cost={{kind="{cost}"}}', noise)
    np.testing.assert_allclose(excess(c, c.start().parameters)[0], 1, rtol=2e-4)
    np.testing.assert_allclose(excess(c, trained(c).parameters)[0], 1, atol=0.1)


@pytest.mark.parametrize("per", ["layer", "neuron", "synapse"])
@pytest.mark.parametrize("noise", ['{kind="homogeneous"}', '{kind="multiplicative", per="network"}'])
def test_one_sigma_cannot_keep_many_budgets(registry: Registry, per: str, noise: str) -> None:
    c = build(registry, f'energy=3.0, per="{per}"', 'cost={kind="quantal_turnover"}', f"noise={noise}")
    with pytest.raises(UserError, match=rf"one number for all synapses.*each {per}; set  inference.per"):
        c.start()


def test_units_whose_energy_is_below_0_pay_less_until_they_spend(registry: Registry) -> None:
    """-log sigma is below 0 where sigma is above 1; of its ratio to the budget there is no logarithm."""
    noise = 'noise={kind="heterogeneous", sigma_0=2.0}'
    c = build(registry, 'energy=2.0, per="synapse"', 'cost={kind="entropic"}', noise)
    state = c.start()
    np.testing.assert_allclose(np.concatenate([t[0] for t in excess(c, state.parameters)]), 1, atol=1e-3)
    for part in state.parameters.free["phi"]:
        part.value.fill_(2.0)
    keep(c, state, ingredients(c, state)[0])
    assert all(((t > 0.5) & (t < 1)).all() for t in state.parameters.multipliers)


def test_where_every_step_corrects_it_corrects_by_as_much_in_all(registry: Registry) -> None:
    """On a GPU all steps are the same; multipliers that rise ten times as fast overshoot."""
    c = build(registry, "energy=3.0", 'cost={kind="quantal_turnover"}', 'training.sigma="fixed_point"')
    state = c.start()
    given, _ = ingredients(c, state)
    for part in state.parameters.free["phi"]:
        part.value.sub_(1.0)
    keep(c, state, given)
    once = state.parameters.multipliers[0].clone()
    assert once > 1.01
    elsewhere = copy.copy(c)
    elsewhere.device = torch.device("cuda")
    state.parameters.multipliers[0].fill_(1.0)
    for _ in range(EVERY):
        keep(elsewhere, state, given)
    np.testing.assert_allclose(state.parameters.multipliers[0], once, rtol=1e-9)


@pytest.mark.parametrize("cost", ['{kind="power_law", rho=8.0}', '{kind="quantal", membrane=0.3, actin=0.2}'])
def test_budgets_are_met_at_the_start_by_steep_and_by_flat_costs(registry: Registry, cost: str) -> None:
    c = build(registry, 'energy=40.0, per="neuron"', f"cost={cost}")
    for t in excess(c, c.start().parameters):
        np.testing.assert_allclose(t, 1, rtol=2e-4)


@pytest.mark.parametrize("noise, least", [('{kind="binomial", n=30}', 1.5), ('{kind="binomial", n=7}', 0.0)])
def test_a_budget_below_what_release_sites_cost_is_warned_of(
    registry: Registry, noise: str, least: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Each site costs 0.05, whether it releases or not."""
    c = build(registry, "energy=1.0", 'cost={kind="quantal_turnover"}', f"noise={noise}")
    preflight.check(c, c.start())
    found = re.findall(r"budget of 1 per network cannot be met.*spend ([\d.]+) at least", caplog.text)
    assert len(found) == bool(least)
    assert all(least < float(spent) < 1.1 * least for spent in found)


def test_sigma_stays_near_the_cheapest_where_that_exceeds_a_budget(registry: Registry) -> None:
    """The energy of one vesicle rises again beyond a sigma: the start would end at the largest."""
    options = ('cost={kind="quantal", membrane=0.3, actin=0.2, n_min=1}', 'noise={kind="homogeneous"}')
    c = build(registry, "energy=0.1", *options)
    spent = float(excess(c, c.start().parameters)[0]) * 0.1
    p = c.start().parameters
    tried = []
    for sigma in np.geomspace(1e-3, 10, 400):
        free = {"phi": torch.full((1, 1), sigma + math.log(-math.expm1(-sigma)), dtype=torch.float64)}
        tried.append(sum(c.formulas.cost(c.formulas.sigma(mu, free), mu).sum() for mu in p.mu) / sum(c.sizes))
    assert spent == pytest.approx(float(min(tried)), rel=1e-3) and spent < 0.1 * float(tried[-1])


def test_the_start_of_sigma_under_a_budget_is_not_that_of_the_noise(registry: Registry) -> None:
    """A budget for each synapse holds sigma still; that is no sign of too low a learning rate."""
    c = build(registry, 'energy=3.0, per="synapse"', 'cost={kind="quantal_turnover"}', 'training.means="held"')
    (result,) = measure(c, trained(c))
    assert math.isnan(result.metrics["stuck_fraction"])
