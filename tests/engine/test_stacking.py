"""Networks trained together equal networks trained alone, and random numbers depend on the seed."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.objective import gradients
from ebayes_core.engine.stacking import cohorts, key, stack
from ebayes_plugins.costs import Actin, Calcium, Entropic, Membrane, Mixture, PowerLaw
from tests.build import DIGITS, cohort, data_of, points, trained

SWEEP = ('sweep."cost.c"=[0.01, 0.1, 1.0, 10.0]', "network.hidden=[6]")


def final(state):
    return state.parameters.tensors()


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("noise", ["heterogeneous", "homogeneous", "none"])
def test_alone_is_as_in_a_crowd(registry: Registry, noise: str, dtype: str, tolerance: float) -> None:
    options = (*SWEEP, f"noise.kind={noise}", f"training.dtype={dtype}")
    crowd = cohort(registry, DIGITS, *options)
    together = final(trained(crowd))
    for i, point in enumerate(crowd.points):
        alone = final(trained(Cohort([point], crowd.data, compile=False)))
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i], b[0], rtol=tolerance, atol=tolerance * 1e-2)


def test_same_cohort_again_is_bit_for_bit(registry: Registry) -> None:
    runs = [final(trained(cohort(registry, DIGITS, *SWEEP, "training.dtype=float32"))) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_permuting_members_permutes_results(registry: Registry) -> None:
    crowd = cohort(registry, DIGITS, *SWEEP)
    order = [2, 0, 3, 1]
    moved = Cohort([crowd.points[i] for i in order], crowd.data, compile=False)
    for a, b in zip(final(trained(crowd)), final(trained(moved)), strict=True):
        torch.testing.assert_close(a[order], b, rtol=1e-10, atol=1e-12)


def test_members_of_one_seed_share_draws_and_seeds_differ(registry: Registry) -> None:
    """Initial means, minibatches and noise depend on the seed alone: sweeps are paired comparisons."""
    members = points(registry, DIGITS, *SWEEP, "seeds=[1, 2]")
    one, two = (
        Cohort([p for p in members if p.member.seed == seed], data_of(members[0]), compile=False) for seed in (1, 2)
    )
    first, second = one.start(), two.start()
    assert all((m == m[:1]).all() for m in first.parameters.mu)
    assert not torch.equal(first.parameters.mu[0], second.parameters.mu[0])
    assert not torch.equal(one.order(0), two.order(0))
    assert not torch.equal(one.order(0), one.order(1))
    assert not torch.equal(first.xi, second.xi)


def test_mechanisms_share_a_cohort_and_formulas_do_not_mix() -> None:
    assert key(Calcium(c=1.0)) == key(Membrane(c=2.0)) == key(Actin(c=3.0))
    assert key(Calcium(c=1.0)) != key(Entropic(c=1.0))
    assert key(Calcium(c=1.0)) != key(Calcium(s=1.0))
    assert key(Mixture(costs=(Calcium(c=1.0),))) != key(Mixture(costs=(Calcium(c=1.0), Actin(c=1.0))))


def test_a_stack_computes_each_members_formula() -> None:
    costs = [PowerLaw(rho=0.3, c=2.0), PowerLaw(rho=1.7, c=0.5)]
    sigma = torch.rand(2, 5, dtype=torch.float64) + 0.1
    together = stack(costs, torch.float64)(sigma, sigma)
    for i, cost in enumerate(costs):
        torch.testing.assert_close(together[i], cost(sigma[i], sigma[i]))


def test_mixtures_stack(registry: Registry) -> None:
    mixtures = ('{kind="mixture", costs=[{kind="actin", c=1.0}]}', '{kind="mixture", costs=[{kind="calcium", c=3.0}]}')
    text = f"sweep.cost=[{', '.join(mixtures)}]"
    crowd = cohort(registry, DIGITS, text)
    sigma = torch.rand(2, 5, dtype=torch.float64) + 0.1
    found = crowd.formulas.cost(sigma, sigma)
    torch.testing.assert_close(found, torch.stack([sigma[0] ** (-4 / 3), 3 * sigma[1] ** (-1 / 2)]))


def test_every_member_is_in_one_cohort_and_large_ones_are_cut(registry: Registry) -> None:
    members = points(registry, DIGITS, 'sweep."cost.c"={logspace=[-3, 0, 40]}', "seeds=[0, 1]")
    groups = cohorts(members, lambda _: 200_000, most=2_900_000)
    assert sorted(p.index for group in groups for p in group) == list(range(80))
    assert all(len({p.member.seed for p in group}) == 1 for group in groups)
    assert max(map(len, groups)) <= 14


def test_a_member_that_diverges_leaves_the_others_alone(registry: Registry) -> None:
    """One network's cost overflows float32 at the start; the others end with the same bits as beside a healthy one."""
    base = ('cost={kind="power_law", rho=8.0}', "noise.sigma_0=1e-3", "training.dtype=float32")
    sick = cohort(registry, DIGITS, *base, 'sweep."cost.c"=[1e-9, 1e-4, 1e12]')
    well = cohort(registry, DIGITS, *base, 'sweep."cost.c"=[1e-9, 1e-4, 1e-5]')
    a, b = trained(sick), trained(well)
    assert set(a.died) == {2} and a.alive[:, 0].tolist() == [True, True, False]
    assert not b.died
    for x, y in zip(final(a), final(b), strict=True):
        assert torch.equal(x[:2], y[:2])


def test_scaling_of_the_costs_does_not_depend_on_the_batch_size(registry: Registry) -> None:
    """c and lambda are relative to the loss of the whole data set: the penalty's share of the gradient is the same."""
    for size in (1, 20, 97):
        c = cohort(registry, DIGITS, f"training.batch_size={size}")
        state = c.start()
        xi, p = c.by_layer(state.xi), state.parameters
        of_loss, rest = (by["phi"] for _, by in gradients(c.formulas, p, [torch.zeros_like(m) for m in p.mu], xi))
        slope = torch.cat([a + b for a, b in zip(of_loss, rest, strict=True)], 1)
        sigma = torch.cat([s.sigma for s in p.spreads], 1).requires_grad_()
        (known,) = torch.autograd.grad(c.formulas.cost(sigma, sigma).sum(), sigma)
        torch.testing.assert_close(slope * c.data.examples, known)


def test_networks_with_different_optimizers_are_not_computed_as_one(registry: Registry) -> None:
    sweep = 'sweep={ optimizer = [{ kind = "adam" }, { kind = "sgd" }, { kind = "adam", learning_rate = 0.1 }] }'
    found = cohorts(points(registry, DIGITS, sweep), lambda _: 1)
    assert [[point.member.optimizer.kind for point in group] for group in found] == [["adam", "adam"], ["sgd"]]
