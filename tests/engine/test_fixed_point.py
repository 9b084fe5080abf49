"""sigma from the fixed point: against closed forms, against bisection, and in networks of known curvature."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.fixed_point import (
    FAR,
    LARGEST,
    MEMORY,
    MOST,
    PRIOR,
    WIDE,
    Along,
    Condition,
    along,
    ceiling,
    learn,
    newest,
    newton,
    scale,
)  # fmt: skip
from ebayes_core.engine.loop import train
from ebayes_core.engine.parameters import Spread, unsolved
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.convergence import balance, projections
from tests.build import DIGITS, LINEAR, cohort, trained

SOLVE = 'training.sigma="fixed_point"'
COSTS = {
    "calcium": '{kind="calcium", c=0.5}',
    "trafficking": '{kind="trafficking", s=0.3}',
    "power_law": '{kind="power_law", rho=1.0, c=2.0}',
    "entropic": '{kind="entropic", c=1.5}',
    "quantal": '{kind="quantal", c=0.5, membrane=0.3, actin=0.2}',
    "quantal_turnover": '{kind="quantal_turnover", c=0.5}',
    "mixture": '{kind="mixture", costs=[{kind="calcium", c=0.1}, {kind="trafficking", c=0.01}]}',
}
INFERENCES = {
    "energy_efficient": '{kind="energy_efficient"}',
    "laplace": '{kind="variational_bayes", prior="laplace", scale=0.5}',
    "gaussian": '{kind="variational_bayes", prior="gaussian", scale=0.5}',
}


def solved(c: Cohort, mu: Tensor, sigma: Tensor, curvature: Tensor, steps: int = 300, limited: bool = False) -> Tensor:
    """The fixed point of the steps; if limited, with the ceiling that a layer has in training."""
    for _ in range(steps):
        highest = ceiling(sigma, c.rests) if limited else torch.full_like(sigma, LARGEST)
        known = Condition(Spread(sigma, sigma), curvature, highest)
        (change,) = newton(c.formulas, c.parameters([mu], {"phi": [sigma]}), [known])
        assert change.abs().max() <= MOST
        sigma = sigma * change.exp()
    return sigma


def excess(c: Cohort, mu: Tensor, sigma: Tensor, curvature: Tensor) -> Tensor:
    """d objective / d sigma relative to the derivative of the costs, by autograd: 0 at the optimum."""
    s = sigma.clone().requires_grad_()
    (g,) = torch.autograd.grad(c.formulas.penalty(mu, s, True).sum(), s)
    return (c.formulas.examples * curvature * sigma + g) / g.abs().clamp_min(1e-6)


@pytest.mark.parametrize("inference", INFERENCES.values(), ids=INFERENCES)
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("start", [1e-4, 1.0, 9.0])
def test_the_steps_end_where_the_objective_is_stationary(
    registry: Registry, cost: str, inference: str, start: float
) -> None:
    c = cohort(registry, LINEAR, f"cost={cost}", f"inference={inference}")
    mu = torch.linspace(-1, 1, 9, dtype=torch.float64)[None]
    curvature = torch.logspace(-2, 3, 9, dtype=torch.float64)[None]
    sigma = solved(c, mu, torch.full_like(mu, start), curvature)
    assert excess(c, mu, sigma, curvature).abs().max() < 1e-6


@pytest.mark.parametrize("start", [1e-3, 0.4, 9.0])
def test_a_single_vesicle_has_a_cheapest_sigma(registry: Registry, start: float) -> None:
    """The energy rises beyond it: also a silent synapse, and one of hardly any curvature, come to rest."""
    c = cohort(registry, LINEAR, 'cost={kind="quantal", c=0.5, turnover=0.1, membrane=0.3, actin=0.2, n_min=1}')
    h = torch.tensor([[0.0, 1e-9, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0]], dtype=torch.float64).repeat(1, 3)
    mu = torch.tensor([0.02, 0.3, -1.4], dtype=torch.float64).repeat_interleave(9)[None]
    sigma = solved(c, mu, torch.full_like(mu, start), h)
    u = torch.linspace(-9, 2, 22_001, dtype=torch.float64)[:, None].exp()
    loss = c.formulas.examples * h * u**2 / 2 + c.formulas.cost(u.expand(-1, 27), mu.expand(len(u), -1))
    best = u[loss.argmin(0), 0]
    assert (best > 1e-3).all() and (best < LARGEST / 2).all()
    torch.testing.assert_close(sigma[0], best, rtol=3e-4, atol=0)  # half a step of the search


@pytest.mark.parametrize(("prices", "rests"), [("membrane=0.3, actin=0.2", True), ("membrane=0.0", False)])
def test_a_vesicle_that_matters_is_not_limited_by_those_that_do_not(
    registry: Registry, prices: str, rests: bool
) -> None:
    """Most means are tiny and have a tiny cheapest sigma, so that the layer's mean says nothing of what others need.

    If vesicles of all sizes cost the same there is none, and flat synapses are limited by the others.
    """
    c = cohort(registry, LINEAR, f'cost={{kind="quantal", c=0.5, turnover=0.1, {prices}, n_min=1}}')
    mu = torch.tensor([[1.4, -0.3] + [1e-4] * 300], dtype=torch.float64)
    free, limited = (solved(c, mu, torch.full_like(mu, 0.1), 0.03 * mu.abs(), limited=is_) for is_ in (False, True))
    assert c.rests.tolist() == [[rests]] and (free[0, 0] > WIDE * free.mean()) == rests
    if rests:
        torch.testing.assert_close(limited, free)
    else:
        assert limited.max() <= WIDE * limited.mean()


@given(rho=st.floats(0.1, 8), c=st.floats(1e-3, 1e3), curvature=st.floats(1e-3, 1e4), start=st.floats(1e-4, LARGEST))
@example(rho=1.0, c=306.0, curvature=1 / 128, start=5.25)  # the solution, 5.81, is further off than the bound
@example(rho=1.0, c=306.0, curvature=1 / 128, start=5.5)  # here it is within
@example(rho=1.0, c=1e3, curvature=1e-3, start=LARGEST)  # and here beyond the largest
def test_a_power_law_has_its_closed_form(
    registry: Registry, rho: float, c: float, curvature: float, start: float
) -> None:
    """sigma**(rho + 2) = c rho / N H (Eq. 29): one step reaches it, or goes as far toward it as a step may.

    So the number of steps is the distance divided by the largest step.
    """
    built = cohort(registry, LINEAR, f'cost={{kind="power_law", rho={rho}, c={c}}}')
    h = torch.full((1, 1), curvature, dtype=torch.float64)
    known = min((c * rho / (built.formulas.examples * curvature)) ** (1 / (rho + 2)), LARGEST)
    way = math.log(known / start)
    one = solved(built, 0 * h, torch.full_like(h, start), h, 1).item()
    assert math.log(one / start) == pytest.approx(max(-MOST, min(way, MOST)), rel=1e-6, abs=1e-9)
    end = solved(built, 0 * h, torch.full_like(h, start), h, math.ceil(abs(way) / MOST))
    assert end.item() == pytest.approx(known, rel=1e-6)


def test_the_gaussian_posterior_has_its_closed_form(registry: Registry) -> None:
    """1 / sigma**2 = N H + 1 / prior variance."""
    c = cohort(registry, LINEAR, f"inference={INFERENCES['gaussian']}")
    h = torch.logspace(-3, 1, 5, dtype=torch.float64)[None]
    sigma = solved(c, 0 * h, 0 * h + 0.1, h)
    torch.testing.assert_close(sigma**-2, c.formulas.examples * h + 1 / 0.5**2)


def test_a_synapse_without_curvature_stops_at_the_largest(registry: Registry) -> None:
    c = cohort(registry, LINEAR)
    h = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    sigma = solved(c, 0 * h, 0 * h + 1e-4, h)
    assert sigma[0, 0] == pytest.approx(LARGEST) and sigma[0, 1] < 1


def test_a_sigma_far_above_its_limit_returns_in_steps(registry: Registry) -> None:
    """With multiplicative noise a mean that has crossed zero leaves sigma far above; k must survive the way back."""
    rest = ("optimizer.learning_rate=1e-12", "training.epochs=30")
    c = cohort(registry, LINEAR, SOLVE, 'noise={kind="multiplicative", k_0=9.9}', *rest)
    state, mu = c.start(), torch.linspace(0.5, 2, 7, dtype=torch.float64)[None]
    state.parameters.means[0].value.copy_(mu)
    state.parameters.means[0].value[0, 0] = 300.0
    for _ in zip(range(60), train(c, state), strict=False):
        sigma = c.formulas.sigmas(state.parameters)[0]
        assert bool((sigma > 1e-3).all())
    assert sigma[0, 0] <= LARGEST * 1.01


def test_none_goes_far_above_its_layers_mean() -> None:
    sigma = torch.tensor([[0.1, 0.2, 0.3], [5.0, 6.0, 7.0]])
    falls, rests = torch.tensor([[False], [False]]), torch.tensor([[False], [True]])
    torch.testing.assert_close(ceiling(sigma, falls), torch.tensor([[WIDE * 0.2], [LARGEST]]))
    torch.testing.assert_close(ceiling(sigma / 100, rests), torch.tensor([[WIDE * 0.002], [LARGEST]]))


def followed(
    sigma: Callable[[Tensor], Tensor], curvature: Tensor, squares: Tensor, running: Tensor, noise: float
) -> Tensor:
    """The scale after 20,000 steps; sigma depends on the scale, squares and running Fisher are constant."""
    torch.manual_seed(0)
    known = unsolved(running)
    for step in range(1, 20_001):
        s = sigma(scale(known, max(step - 1, 1)))
        slope = s * curvature + noise * torch.randn_like(curvature)
        learn(known, along(s, slope, squares, running), step)
        assert known.log_fresh.abs().max() <= FAR and scale(known, step).log().abs().max() <= 2 * FAR
    return scale(known, 20_000)


def test_the_scale_makes_the_layers_condition_exact() -> None:
    """The Fisher lacks or exceeds a part of the curvature, and its running mean lags behind it."""
    torch.manual_seed(0)
    sigma, curvature = torch.rand(2, 50, dtype=torch.float64) + 0.1, torch.rand(2, 50, dtype=torch.float64)
    lacks, lags = (torch.tensor(t, dtype=torch.float64)[:, None] for t in ((1.3, 1 / 1.3), (0.9, 1.2)))
    found = followed(lambda _: sigma, curvature, curvature / lacks, curvature / lacks / lags, noise=1.0)
    torch.testing.assert_close(found, lacks * lags, rtol=0.03, atol=0)


def test_the_scale_undoes_what_sigma_owes_to_chance() -> None:
    """sigma is large where the running Fisher happens to be small: the condition still holds, summed over the layer."""
    torch.manual_seed(0)
    curvature = torch.rand(1, 2000, dtype=torch.float64) + 0.1
    running = curvature * (0.1 + 1.8 * torch.rand_like(curvature))
    optimal = lambda scale: (scale * running) ** (-1 / 2.5)  # rho = 1/2, c rho = 1
    found = followed(optimal, curvature, curvature, running, noise=0.0)
    sigma = optimal(found)
    met, charged = (sigma**2 * curvature).sum(), (sigma ** (-1 / 2)).sum()
    assert met / charged == pytest.approx(1, rel=1e-3)
    assert found.log().item() > 0.1


def test_at_first_the_curvature_is_taken_for_the_fisher() -> None:
    """A step whose measurement errs by several times the curvature moves the scale by as many shares of the prior."""
    one = torch.ones(1, 1, dtype=torch.float64)
    known = unsolved(one)
    learn(known, Along(-5 * one, one, one), 1)
    assert scale(known, 1).item() == pytest.approx((PRIOR - 5) / (PRIOR + 1))


def test_a_running_mean_remembers_its_share_of_the_steps() -> None:
    """It starts at the first value, and the mean age of the values in it is a share of the steps so far."""
    assert newest(1) == 1
    mean = 0.0
    for step in range(1, 10_001):
        mean += newest(step) * (step - mean)
    assert 1 - mean / 10_000 == pytest.approx(MEMORY / (1 + MEMORY), rel=1e-3)


def exact_curvature(c: Cohort) -> Tensor:
    """E[x^2] / noise variance of each weight of a linear readout, the bias last."""
    x = torch.cat([c.data.x, torch.ones(len(c.data.x), 1, dtype=c.dtype)], 1)
    return x.square().mean(0) / c.data.task.noise_sd**2


@pytest.mark.parametrize(
    ("noise", "compile"),
    [
        ("heterogeneous", True),
        *(
            pytest.param(noise, compile, marks=pytest.mark.slow)
            for noise, compile in (("heterogeneous", False), ("homogeneous", False), ("homogeneous", True))
        ),
    ],
)  # fmt: skip
def test_a_linear_readout_is_trained_to_its_optimum(registry: Registry, noise: str, compile: bool, caplog) -> None:
    """Its curvature is known and constant: sigma to 2%, the error from a thousand steps' sampled labels."""
    options = (SOLVE, "training.epochs=3000", f"noise.kind={noise}", f"cost={COSTS['calcium']}")
    c = cohort(registry, LINEAR, *options, compile=compile)
    h = exact_curvature(c)
    h = h.mean() if noise == "homogeneous" else h
    known = (0.5 * 0.5 / (c.formulas.examples * h)) ** (1 / 2.5)
    sigma = trained(c).parameters.spreads[0].sigma[0]
    assert not [r for r in caplog.records if r.name == "ebayes"], "the step was not compiled"
    torch.testing.assert_close(sigma, known.expand_as(sigma), rtol=0.02, atol=0)


@pytest.mark.parametrize("cost", [pytest.param("quantal", marks=pytest.mark.slow), "quantal_turnover"])
def test_a_linear_readout_ends_at_the_least_energy(registry: Registry, cost: str) -> None:
    """Calcium and turnover: N H sigma^2 = 2/5 c 1.6494 f^(1/5) (|mu| / sigma)^(2/5) at the means that were trained."""
    schedule = (SOLVE, 'training.schedule="cosine"', "training.epochs=4000")  # the means come to rest
    c = cohort(registry, LINEAR, *schedule, f'cost={{kind="{cost}", c=0.5, turnover=0.1}}', compile=True)
    p = trained(c).parameters
    driven = 0.4 * 0.5 * 1.6493848884661 * 0.1**0.2 * (p.mu[0][0] ** 2 + 1e-8) ** 0.2
    known = (driven / (c.formulas.examples * exact_curvature(c))) ** (1 / 2.4)
    torch.testing.assert_close(p.spreads[0].sigma[0], known, rtol=0.01, atol=0)


@pytest.mark.slow
@torch.no_grad()
def test_a_network_of_relus_ends_in_balance(registry: Registry) -> None:
    """No closed form is known: each layer's B, on 2,000 new draws, is 1 once the means are constant."""
    training = (SOLVE, 'training.schedule="cosine"', "training.epochs=3000", "measurement.balance_passes=2000")
    network = ('dataset={kind="cubic"}', "network.hidden=[20]", f"cost={COSTS['trafficking']}")
    c = cohort(registry, LINEAR, *network, *training)
    p = trained(c).parameters
    found = balance(c, p, projections(c, p, generator(0, MEASURE)))
    assert found["balance_error"].max() < 0.05
    torch.testing.assert_close(found["balance"], torch.ones_like(found["balance"]), rtol=0, atol=0.1)


def test_members_with_and_without_the_solver_share_a_sweep(registry: Registry) -> None:
    """They compute different formulas, so they train in separate cohorts; noise and initial means are the same."""
    from ebayes_core.engine.stacking import cohorts
    from tests.build import points

    members = points(registry, DIGITS, 'sweep."training.sigma"=["descent", "fixed_point"]', "sweep.'cost.c'=[0.1, 1.0]")
    groups = cohorts(members, lambda _: 1)
    assert sorted(len(g) for g in groups) == [2, 2]
    assert all(len({p.member.training.sigma for p in g}) == 1 for g in groups)


def test_without_noise_there_is_nothing_to_solve(registry: Registry) -> None:
    plain = trained(cohort(registry, DIGITS, "noise.kind=none"))
    solving = trained(cohort(registry, DIGITS, "noise.kind=none", SOLVE))
    for a, b in zip(plain.parameters.mu, solving.parameters.mu, strict=True):
        assert torch.equal(a, b)


def test_the_first_steps_are_bounded(registry: Registry) -> None:
    """After the first minibatch most synapses have no gradient yet; none may diverge."""
    c = cohort(registry, DIGITS, SOLVE)
    state = c.start()
    before = [s.sigma.clone() for s in state.parameters.spreads]
    next(train(c, state))
    for a, b in zip(before, [s.sigma for s in state.parameters.spreads], strict=True):
        assert (b / a).log().abs().max() <= MOST * 1.01
