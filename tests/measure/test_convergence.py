"""The balance is 1 at the optimum, and the identity that it is based on: E[g xi] = sigma E[H]."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.parameters import Parameters
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.convergence import balance, motion, projections
from tests.build import DIGITS, LINEAR, cohort, trained
from tests.engine.test_step import COSTS

SMOOTH = ("network.hidden=[3]", "training.epochs=10", 'network.activations=["tanh", "linear"]', "noise.sigma_0=0.2")


MANY = "measurement.balance_passes=80"


def at(c: Cohort, mu: list[torch.Tensor], sigma: list[torch.Tensor]) -> Parameters:
    """Parameters of given means and standard deviations, phi = softplus^-1(sigma)."""
    return c.parameters(mu, {"phi": [s + torch.log(-torch.expm1(-s)) for s in sigma]})


def test_stein_on_a_small_smooth_network(registry: Registry) -> None:
    """E[g_i xi_i] = sigma_i E[H_ii], both by Monte Carlo with independent draws, summed over each layer.

    With the full diagonal of the Hessian, by torch.func, not Gauss-Newton, to which the identity does not apply.
    """
    c = cohort(registry, DIGITS, *SMOOTH)
    p, noise = trained(c).parameters, generator(1, MEASURE)
    found = torch.cat([projections(c, p, noise).along_sigma for _ in range(20)])
    x, y = c.data.x[::7], c.data.y[::7]
    sigma = c.formulas.sigmas(p)

    def loss(flat):
        weights = c.layered([w[None] for w in flat.split(c.sizes)])
        return c.data.task.nll(c.network.forward(weights, x), y).mean()

    mean = torch.cat(p.mu, 1)[0]
    spread = torch.cat(sigma, 1)[0]
    curved = []
    for _ in range(40):
        w = mean + spread * c.draw(noise)[0]
        hessian = torch.func.hessian(loss)(w).diagonal()
        curved.append(torch.stack([part.sum() for part in (spread**2 * hessian).split(c.sizes)]))
    curved = torch.stack(curved)
    left, right = found.mean(0)[:, 0], curved.mean(0)
    error = (found.var(0)[:, 0] / len(found) + curved.var(0) / len(curved)).sqrt()
    # 200 of the examples stand for all: their layer sums differ from the whole set's by a few per cent
    assert ((left - right).abs() < 4 * error + 0.06 * right.abs()).all()
    assert (right > 10 * error).all()


@pytest.mark.parametrize("cost", COSTS)
def test_balance_is_one_at_the_optimum_of_the_linear_model(registry: Registry, cost: str) -> None:
    """sigma solves N H sigma = -E'(sigma) exactly there (Eq. 27), so B = 1 within its own standard error."""
    c = cohort(registry, LINEAR, f"cost={cost}", MANY)
    h = torch.as_tensor(c.member.dataset.hessian(), dtype=torch.float64)[None]
    sigma = solve(lambda s: h * s, lambda s: c.formulas.cost(s, s))
    check_balance(c, at(c, [torch.zeros_like(sigma)], [sigma]))


@pytest.mark.parametrize("prior", ["gaussian", "laplace"])
def test_balance_is_one_for_variational_bayes(registry: Registry, prior: str) -> None:
    """Gaussian prior: sigma^-2 = H + 1/scale^2 in closed form; Laplace at mu = 0: its folded normal adds a slope."""
    inference = f'inference={{kind="variational_bayes", prior="{prior}", scale=0.3}}'
    c = cohort(registry, LINEAR, inference, MANY)
    h = torch.as_tensor(c.member.dataset.hessian(), dtype=torch.float64)[None]
    if prior == "gaussian":
        sigma = (h + 1 / 0.3**2) ** -0.5
    else:  # H sigma + sqrt(2/pi)/scale = 1/sigma, a quadratic
        b = (2 / torch.pi) ** 0.5 / 0.3
        sigma = (-b + (b**2 + 4 * h).sqrt()) / (2 * h)
    check_balance(c, at(c, [torch.zeros_like(sigma)], [sigma]))


def solve(loss_slope, energy):
    """Root of loss_slope(sigma) = -energy'(sigma) by bisection on log sigma, elementwise."""
    like = loss_slope(torch.ones(1, 1, dtype=torch.float64))
    low, high = torch.full_like(like, -30.0), torch.full_like(like, 20.0)
    for _ in range(100):
        s = ((low + high) / 2).exp().requires_grad_()
        slope = torch.autograd.grad(energy(s).sum(), s)[0]
        rising = (loss_slope(s) + slope).detach() > 0
        low, high = torch.where(rising, low, (low + high) / 2), torch.where(rising, (low + high) / 2, high)
    return low.exp()


def check_balance(c: Cohort, p: Parameters) -> None:
    found = projections(c, p, generator(3, MEASURE))
    report = balance(c, p, found)
    error = report["balance_error"][-1, 0].item()
    assert error < 0.2
    assert abs(report["balance"][-1, 0].item() - 1) < 4 * error
    assert report["balance"].shape == (2, 1)


def test_balance_measures_the_distance_to_the_optimum(registry: Registry) -> None:
    """At sigma = k sigma* of the power law the balance is k^(rho + 2): below 1 while sigma still grows."""
    c = cohort(registry, LINEAR, 'cost={kind="trafficking", c=0.1}', "training.batch_size=20")
    h = torch.as_tensor(c.member.dataset.hessian(), dtype=torch.float64)[None]
    star = (0.2 / h) ** (1 / 4)
    for factor in (0.5, 2.0):
        p = at(c, [torch.zeros_like(h)], [factor * star])
        report = balance(c, p, projections(c, p, generator(3, MEASURE)))
        known = factor**4
        assert abs(report["balance"][-1, 0].item() - known) < 4 * report["balance_error"][-1, 0].item()


def test_every_pass_sees_every_example_once_and_there_are_pairs_enough(registry: Registry) -> None:
    """With the mean weights the loss of each pass is that of the whole set, whatever the sizes of the chunks."""
    for examples, passes, pairs in ((203, 1, 10 * 11), (203, 12, 12 * 11), (7, 1, 100), (4001, 1, 201)):
        c = cohort(registry, LINEAR, f"dataset.examples={examples}", f"measurement.balance_passes={passes}")
        p = c.start().parameters
        found = projections(c, p, generator(0, MEASURE))
        whole = c.data.task.nll(c.network.forward(c.layered(p.mu), c.data.x), c.data.y).mean(-1)
        torch.testing.assert_close(found.nll_mean, whole)
        assert len(found.share) == pairs and found.share.sum().item() == pytest.approx(1)


def test_motion_reads_the_last_tenth() -> None:
    line = torch.linspace(0, 5, 51)[:, None]
    assert motion(line).item() == pytest.approx(0.5, rel=1e-5)
    assert motion(torch.tensor([[0.0], [1.0]])).item() == pytest.approx(0.1, rel=1e-5)
    assert motion(torch.full((11, 2), 3.0)).tolist() == [0.0, 0.0]


def test_nothing_to_balance_without_noise(registry: Registry) -> None:
    c = cohort(registry, DIGITS, "noise.kind=none", "training.epochs=1")
    state: State = trained(c)
    report = balance(c, state.parameters, projections(c, state.parameters, generator(0, MEASURE)))
    assert report["balance"].isnan().all()
    assert report["magnitude_balance"].isfinite().all()
