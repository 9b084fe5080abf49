"""Draws besides mu + sigma xi: their moments, their quanta, and the optima that are known in closed form."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import VesicleCost, hookimpl
from ebayes_core.engine import checkpoint
from ebayes_core.engine.objective import Formulas, gradients
from ebayes_core.engine.parameters import Parameter, Parameters
from ebayes_core.engine.stacking import stack
from ebayes_core.errors import SpecError
from ebayes_core.measure.collect import measure
from ebayes_plugins.costs import Cv, PowerLaw, Quantal
from ebayes_plugins.inference import EnergyEfficient
from ebayes_plugins.noise import Bernoulli, Binomial, Heterogeneous, LogNormal, Multiplicative, quantile
from ebayes_plugins.optimizers import Adam
from tests.build import DIGITS, cohort, trained

H, W, DRAWS = 3.0, 1.2, 400_000


def spread_evenly(base: str) -> Tensor:
    """Draws at the centres of equally likely intervals: averages over them are integrals over xi."""
    u = (np.arange(DRAWS) + 0.5) / DRAWS
    return torch.from_numpy(stats.norm.ppf(u) if base == "normal" else u)[None]


def slopes(noise, cost, mu: float, phi: float) -> tuple[float, float]:
    """Gradient of E[H (w - W)^2 / 2] + cost in mu and phi, through the engine's step: every synapse has a draw."""
    noise, cost, inference, optimizer = (
        stack([p], torch.float64) for p in (noise, cost, EnergyEfficient(magnitude=0.0), Adam())
    )
    f = Formulas(cost, noise, inference, optimizer, examples=1, copies=(1,), synapses=1)
    means, free = (torch.full((1, DRAWS), v, dtype=torch.float64) for v in (mu, phi))
    p = Parameters([Parameter(means, ())], {"phi": [Parameter(free, ())]}, [])
    xi = spread_evenly(noise.base)
    (w,) = f.drawn(p.mu, p.freely(), [xi])
    loss, rest = gradients(f, p, [H * (w - W)], [xi])
    return tuple(float((a + b).mean()) for a, b in ((loss[0][0], rest[0][0]), (loss[1]["phi"][0], rest[1]["phi"][0])))


def softplus_inverse(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def b_of(cv: float) -> float:
    return softplus_inverse(math.sqrt(math.log1p(cv**2)))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


SD = {1 / 2: 0.0773997, 2 / 3: 0.1011685, 4 / 3: 0.1969451, 2.0: 0.2857440}
CV = {1 / 2: (0.0671362, 1.1946155), 2.0: (0.2702018, 1.1183503)}
ANSWERS = {
    **{f"location-scale, rho {r:.2g}": (Heterogeneous(), PowerLaw(rho=r, c=0.01), W, softplus_inverse(s))
       for r, s in SD.items()},
    **{f"multiplicative, rho {r:.2g}": (Multiplicative(), Cv(rho=r, c=0.01, delta=1e-6), mu, softplus_inverse(k))
       for r, (k, mu) in CV.items()},
    **{f"log-normal, cost on sd, rho {r:.2g}": (LogNormal(), PowerLaw(rho=r, c=0.01), W, b_of(s / W))
       for r, s in SD.items()},
    **{f"log-normal, cost on cv, rho {r:.2g}": (LogNormal(), Cv(rho=r, c=0.01, delta=1e-6), mu, b_of(k))
       for r, (k, mu) in CV.items()},
    "bernoulli": (Bernoulli(), Quantal(calcium=0.1), 0.9712667 * W, logit(0.9712667)),
    "binomial": (Binomial(n=2), Quantal(calcium=0.1), 2 * 0.9513040 * 0.6149734, logit(0.9513040)),
}  # fmt: skip


@pytest.mark.parametrize("noise, cost, mu, phi", ANSWERS.values(), ids=ANSWERS)
def test_the_optimum_of_a_quadratic_loss_is_the_known_one(noise, cost, mu: float, phi: float) -> None:
    """There both gradients are 0, as exactly as the answer is given; a little beside it they point back."""
    in_mu, in_phi = slopes(noise, cost, mu, phi)
    assert abs(in_mu) < 2e-5 and abs(in_phi) < 2e-5
    for by in (0.05, -0.05):
        assert math.copysign(1, slopes(noise, cost, mu, phi + by)[1]) == math.copysign(1, by)
        assert math.copysign(1, slopes(noise, cost, mu + by, phi)[0]) == math.copysign(1, by)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.77, 0.999])
def test_released_vesicles_have_the_binomial_distribution(n: int, p: float, dtype: torch.dtype) -> None:
    """The share of each count among evenly spread draws is its probability, to the width of a draw and rounding."""
    u = spread_evenly("uniform")[0].to(dtype)
    counts = quantile(u, torch.full_like(u, p), n)
    found = np.bincount(counts.long().numpy(), minlength=n + 1) / DRAWS
    assert len(found) == n + 1
    np.testing.assert_allclose(found, stats.binom.pmf(np.arange(n + 1), n, p), atol=2e-5)


@pytest.mark.parametrize("noise", [Bernoulli(p_0=0.3), Binomial(n=4, p_0=0.6)])
def test_quanta_have_the_moments_of_the_weight(noise) -> None:
    together = stack([noise], torch.float64)
    mu = torch.tensor([[0.4, -1.1, 1e-3]], dtype=torch.float64)
    free = together.init(mu)
    n, p, q = together.quanta(mu, free)
    torch.testing.assert_close(n * p * q, mu)
    torch.testing.assert_close((n * p * (1 - p)).sqrt() * q.abs(), together.sigma(mu, free))


KINDS = {
    "multiplicative": 'noise={kind="multiplicative"}',
    "one k": 'noise={kind="multiplicative", per="network"}',
    "log_normal": 'noise={kind="log_normal"}',
    "bernoulli": 'noise={kind="bernoulli"}',
    "binomial": 'noise={kind="binomial", n=3}',
}


@pytest.mark.parametrize("noise", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("solve", [False, True])
def test_a_network_trains_is_resumed_to_the_bit_and_measured(registry: Registry, noise: str, solve: bool) -> None:
    if solve and "network" in noise:
        pytest.skip("the solver needs a free parameter of each synapse")
    options = ['training.sigma="fixed_point"'] * solve
    c = cohort(registry, DIGITS, noise, 'cost={kind="cv", c=1e-4}', 'sweep."cost.c"=[1e-5, 1e-3]', *options)
    whole = trained(c)
    again = checkpoint.unpack(checkpoint.pack(trained(c, steps=17)), c)
    resumed = trained(c, again)
    for a, b in zip(whole.parameters.tensors(), resumed.parameters.tensors(), strict=True):
        assert torch.equal(a, b)
    assert not whole.died
    for result in measure(c, whole):
        assert math.isfinite(result.metrics["balance"]) and math.isfinite(result.metrics["reliability_cost"])
        assert math.isnan(result.metrics["elbo"]) == ("multiplicative" not in noise)


def test_signs_of_log_normal_weights_stay_those_of_the_start(registry: Registry) -> None:
    c = cohort(registry, DIGITS, KINDS["log_normal"], "optimizer.learning_rate=0.1", 'cost={kind="cv", c=1e-4}')
    before = [m.sign().clone() for m in c.start().parameters.mu]
    after = trained(c)
    for sign, mu, w in zip(before, after.parameters.mu, after.weights, strict=True):
        assert torch.equal(mu.sign(), sign) and torch.equal(w.sign(), sign)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (['optimizer={kind="exponentiated_gradient"}'], "keeps the signs.*: 'none', 'log_normal'"),
        (
            ['optimizer={kind="ivon"}', KINDS["multiplicative"]],
            "optimizer 'ivon' needs normal.*: 'heterogeneous', 'homogeneous'$",
        ),
        (
            ['inference={kind="variational_bayes"}', KINDS["bernoulli"]],
            "needs normal weights.*'none', 'multiplicative'$",
        ),
        (["network.noise_per=position"], "unknown field.*it is a field of the kind convolutional"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_names_that_would_do(
    registry: Registry, overrides: list[str], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        cohort(registry, DIGITS, *overrides)


class Vesicles(VesicleCost):
    """A cost that sigma and mu do not determine."""

    kind: Literal["test_vesicles"] = "test_vesicles"

    def vesicle_energy(self, n, p, q):
        return n * (p / (1 - p)) ** 0.25


class Provider:
    @staticmethod
    @hookimpl
    def ebayes_costs():
        return [Vesicles]


NEEDY = '{kind="test_vesicles"}'


@pytest.mark.parametrize("cost", [NEEDY, f'{{kind="mixture", costs=[{{kind="calcium"}}, {NEEDY}]}}'])
def test_a_cost_that_needs_n_p_and_q_asks_for_a_noise_that_has_them(cost: str) -> None:
    with pytest.raises(SpecError, match=r"needs n, p and q.*'heterogeneous'.*: 'bernoulli', 'binomial'"):
        cohort(Registry.of(Provider), DIGITS, f"cost={cost}")


@pytest.mark.parametrize("logit_p", [-12.0, 0.5, 12.0, 20.0, 24.0])
def test_calcium_is_paid_exactly_where_release_is_nearly_certain(logit_p: float) -> None:
    """In single precision 1 - p is 0 from a logit of 17; the price exp(logit / 4) and its gradient must not notice."""
    noise, cost = (stack([p], torch.float32) for p in (Binomial(n=3), Quantal(calcium=2.0)))
    phi = torch.tensor([[logit_p]], requires_grad=True)
    mu = torch.tensor([[0.3]])
    price = cost.given(noise.quanta(mu, {"phi": phi}))(noise.sigma(mu, {"phi": phi}), mu)
    (slope,) = torch.autograd.grad(price.sum(), phi)
    assert price.dtype == torch.float32
    assert price.item() == pytest.approx(2 * math.exp(logit_p / 4) + 3 * 0.05, rel=1e-5)
    assert slope.item() == pytest.approx(math.exp(logit_p / 4) / 2, rel=1e-5)
