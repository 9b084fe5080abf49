"""Optimizers without a counterpart in torch.optim, against the published updates, in double precision."""

from __future__ import annotations

import math
import types
from typing import Literal

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Noise, hookimpl
from ebayes_core.engine import checkpoint
from ebayes_core.engine.loop import train
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, LINEAR, cohort, trained

PRIOR, RATE, RHO, BETA, STEPS = 0.7, 0.02, 0.03, 0.8, 50


class Exponential(Noise):
    """sigma = exp(phi), so that a change of log sigma is one of phi."""

    kind: Literal["exponential"] = "exponential"

    def init(self, mu):
        return {"phi": 0 * mu - 2.0}

    def sigma(self, mu, free):
        return free["phi"].exp()


@pytest.fixture(scope="module")
def exponential() -> Registry:
    return Registry.of(types.SimpleNamespace(__name__="exp", ebayes_noises=hookimpl(lambda: [Exponential])))


BAYES = f'inference={{kind="variational_bayes", prior="gaussian", scale={PRIOR}}}'


def followed(c) -> tuple[list[tuple[Tensor, Tensor, Tensor, Tensor]], Tensor, Tensor]:
    """xi and the gradient of the mean loss at each step, with mean and sigma before; then mean and sigma at the end."""
    state, seen = c.start(), []
    data, steps = c.data, train(c, state)
    for _ in range(STEPS):
        x = torch.cat([data.x, torch.ones_like(data.x[:, :1])], 1)  # the whole set is one minibatch
        w, mu, sigma = state.weights[0][0], state.parameters.mu[0][0], state.parameters.spreads[0].sigma[0]
        residual = (x @ w - data.y[:, 0]) / data.task.noise_sd**2
        seen.append((state.xi[0].clone(), residual @ x / len(x), mu.clone(), sigma.clone()))
        next(steps)
        if not state.batch:
            next(steps)
    return seen, state.parameters.mu[0][0], state.parameters.spreads[0].sigma[0]


def linear(registry: Registry, *overrides: str):
    """One step an epoch, on a linear model with a bias."""
    return cohort(registry, LINEAR, "noise={kind='exponential'}", f"training.epochs={STEPS + 1}", *overrides)


def test_ivon_is_the_published_update(exponential: Registry) -> None:
    """Shen et al. (2024), Algorithm 1: the Hessian h, with sigma = 1 / sqrt(N (h + delta)), and the mean."""
    c = linear(
        exponential, BAYES, f'optimizer={{kind="ivon", learning_rate={RATE}, learning_rate_phi={RHO}, beta1={BETA}}}'
    )
    seen, mu, sigma = followed(c)
    n = c.data.examples
    delta = 1 / (n * PRIOR**2)
    m, g, h = seen[0][2], torch.zeros_like(mu), 1 / (n * seen[0][3] ** 2) - delta
    for t, (xi, gradient, _, _) in enumerate(seen, 1):
        hess = gradient * xi * (n * (h + delta)).sqrt()  # g (theta - m) / sigma^2
        g = BETA * g + (1 - BETA) * gradient
        h = (1 - RHO) * h + RHO * hess + RHO**2 * (h - hess) ** 2 / (2 * (h + delta))
        m = m - RATE * (g / (1 - BETA**t) + delta * m) / (h + delta)
    torch.testing.assert_close(mu, m, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sigma, (n * (h + delta)) ** -0.5, rtol=1e-9, atol=1e-11)


def test_natural_steps_are_scaled_by_sigma_squared(exponential: Registry) -> None:
    """d mu = -rate N sigma^2 g; d log sigma = -rate / 2 times the gradient in log sigma, at most 0.1."""
    c = linear(exponential, BAYES, f'optimizer={{kind="natural", learning_rate={RATE}, learning_rate_phi={RHO}}}')
    seen, mu, sigma = followed(c)
    n, (m, s) = c.data.examples, seen[0][2:]
    bounded = 0
    for xi, gradient, _, _ in seen:
        in_log_sigma = n * gradient * xi * s + s**2 / PRIOR**2 - 1
        change = -RHO / 2 * in_log_sigma
        bounded += int((change.abs() > 0.1).sum())
        s = s * change.clamp(-0.1, 0.1).exp()
        m = m - RATE * s**2 * (n * gradient + m / PRIOR**2)
    assert 0 < bounded < STEPS * len(mu) / 2
    torch.testing.assert_close(mu, m, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sigma, s, rtol=1e-9, atol=1e-11)


def test_a_shared_sigma_has_the_information_of_all_its_synapses(registry: Registry) -> None:
    """Natural steps of homogeneous noise: the gradient summed over M synapses, divided by the Fisher 2 M."""
    noise = 'noise={kind="homogeneous", sigma_0=0.05}'
    c = cohort(registry, LINEAR, BAYES, noise, 'optimizer={kind="natural", learning_rate=1e-9, learning_rate_phi=1e-3}')
    state = c.start()
    s, m = state.parameters.spreads[0].sigma.item(), state.parameters.mu[0][0]
    x = torch.cat([c.data.x, torch.ones_like(c.data.x[:, :1])], 1)
    gradient = (x @ state.weights[0][0] - c.data.y[:, 0]) @ x / len(x) / c.data.task.noise_sd**2
    total = (len(x) * gradient * state.xi[0] * s + s**2 / PRIOR**2 - 1).sum().item()
    next(train(c, state))
    moved = state.parameters.free["phi"][0].value.item() - math.log(math.expm1(s))
    assert moved == pytest.approx(-1e-3 * total / (2 * len(m)) * s / -math.expm1(-s), rel=1e-6)


def test_exponentiated_gradient_moves_the_logarithm_and_keeps_signs(registry: Registry) -> None:
    c = cohort(registry, LINEAR, "noise={kind='none'}", 'optimizer={kind="exponentiated_gradient", learning_rate=0.02}')
    state = c.start()
    m = state.parameters.mu[0][0].clone()
    steps, x = train(c, state), torch.cat([c.data.x, torch.ones_like(c.data.x[:, :1])], 1)
    for _ in range(2):
        gradient = (x @ m - c.data.y[:, 0]) @ x / len(x) / c.data.task.noise_sd**2
        gradient = gradient + c.member.inference.magnitude * m.sign() / len(x)
        m = m * (-0.02 * m.sign() * gradient).exp()
        next(steps), next(steps)
    torch.testing.assert_close(state.parameters.mu[0][0], m, rtol=1e-9, atol=1e-11)


KINDS = ["adam", "sgd", "rmsprop", "natural", "natural_shuffled", "ivon", "exponentiated_gradient"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solve", [False, True])
def test_training_is_resumed_to_the_bit_and_measured(registry: Registry, kind: str, solve: bool) -> None:
    noise = ["noise={kind='log_normal'}"] if kind == "exponentiated_gradient" else ["noise.sigma_0=0.05"]
    options = ['training.sigma="fixed_point"'] * solve
    rate = "optimizer.learning_rate=1e-3"
    c = cohort(registry, DIGITS, f"optimizer={{kind='{kind}'}}", rate, *noise, *options, "sweep.'cost.c'=[1e-3, 1e-4]")
    whole = trained(c)
    resumed = trained(c, checkpoint.unpack(checkpoint.pack(trained(c, steps=17)), c))
    assert not whole.died
    for a, b in zip(whole.parameters.tensors(), resumed.parameters.tensors(), strict=True):
        assert torch.equal(a, b)
    rate = torch.from_numpy(measure(c, whole)[0].layers[0]["learning_rate_rms"])
    n, mu, sigma = c.data.examples, whole.parameters.mu[0][0], c.formulas.sigmas(whole.parameters)[0][0]
    known = {"sgd": 1e-3 / 0.1 + 0 * mu, "natural": 1e-3 * n * sigma**2, "ivon": 1e-3 * n * sigma**2,
             "exponentiated_gradient": 1e-3 * mu.abs()}  # fmt: skip
    if kind == "natural_shuffled":
        known[kind] = 1e-3 * n * sigma[c.others[0]] ** 2
    if kind in known:
        torch.testing.assert_close(rate.flatten(), known[kind])
