"""The update of a population against a plain loop: one network, autograd, torch.optim.Adam, float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import philox
from ebayes_core.engine.compiler import compiled as compile_step
from ebayes_core.engine.minibatch import ingredients
from ebayes_core.engine.native import NoCompiler, build, native
from ebayes_core.engine.objective import gradients
from ebayes_core.engine.parameters import layered
from ebayes_core.engine.randomness import NOISE
from ebayes_core.engine.step import make_step
from ebayes_core.sweeps.job import flushed_denormals
from tests.build import DIGITS, cohort, trained

COSTS = [
    '{kind="calcium", c=0.1}', '{kind="membrane", c=0.2}', '{kind="actin", c=1e-3}', '{kind="trafficking", s=0.01}',
    '{kind="power_law", c=0.3, rho=1.0}', '{kind="entropic"}',
    '{kind="mixture", c=2.0, costs=[{kind="calcium", c=0.1}, {kind="actin", s=0.01}]}',
]  # fmt: skip
INFERENCES = [
    '{kind="energy_efficient", magnitude=0.3}',
    '{kind="variational_bayes", prior="laplace", scale=0.5}',
    '{kind="variational_bayes", prior="gaussian", scale=0.5}',
]
NOISES = ['{kind="heterogeneous", sigma_0=0.05}', '{kind="homogeneous", sigma_0=0.05}', '{kind="none"}']


DRAWS = [
    '{kind="multiplicative", k_0=0.3}', '{kind="multiplicative", k_0=0.3, per="network"}',
    '{kind="log_normal", cv_0=0.5}', '{kind="bernoulli", p_0=0.7}', '{kind="binomial", n=3, p_0=0.4}',
]  # fmt: skip
OTHERS = [
    '{kind="cv", c=0.1, rho=0.5}', '{kind="quantal", c=0.1, membrane=0.2, actin=0.1}',
    '{kind="quantal_turnover", c=0.1}',
]  # fmt: skip


def known(cost: dict, sigma: torch.Tensor) -> torch.Tensor:
    """Each cost from its formula in the paper, independent of the plugins."""
    rho = {"calcium": 1 / 2, "membrane": 2 / 3, "actin": 4 / 3, "trafficking": 2.0}.get(cost["kind"], cost.get("rho"))
    if cost["kind"] == "entropic":
        return -(cost["c"] or 1.0) * sigma.log()
    if cost["kind"] == "mixture":
        return cost["c"] * sum(known(part, sigma) for part in cost["costs"])
    c = (cost["c"] or 1.0) if cost["s"] is None else cost["s"] ** rho / rho
    return c * sigma.pow(-rho)


def reference_penalty(member, mu, sigma, noisy):
    """Everything except the loss, from torch.distributions if possible."""
    inference = member.inference
    if inference.kind == "energy_efficient":
        reliability = known(member.cost.model_dump(), sigma).sum() if noisy else 0.0
        return inference.magnitude * mu.abs().sum() + reliability
    if inference.prior == "gaussian":
        prior = Normal(0.0, inference.scale)
        return kl_divergence(Normal(mu, sigma), prior).sum() if noisy else -prior.log_prob(mu).sum()
    if not noisy:
        return -torch.distributions.Laplace(0.0, inference.scale).log_prob(mu).sum()
    folded = sigma * math.sqrt(2 / math.pi) * torch.exp(-(mu**2) / 2 / sigma**2)
    folded = folded + mu * torch.erf(mu / sigma / math.sqrt(2))
    prior = folded / inference.scale + math.log(2 * inference.scale)
    return prior.sum() - Normal(mu, sigma).entropy().sum()


TORCH = {
    "adam": lambda o, p: torch.optim.Adam(p, lr=o.learning_rate, betas=(o.beta1, o.beta2), eps=o.epsilon),
    "sgd": lambda o, p: torch.optim.SGD(p, lr=o.learning_rate, momentum=o.momentum, nesterov=o.nesterov),
    "rmsprop": lambda o, p: torch.optim.RMSprop(p, lr=o.learning_rate, alpha=o.alpha, eps=o.epsilon),
}


def reference(c, index=0):
    """Parameters of one network as a textbook loop trains them: alone, in double precision, by torch.optim."""
    member, state = c.points[index].member, c.start()
    mu = [t[index].double().requires_grad_() for t in state.parameters.mu]
    phi = [t.value[index].double().requires_grad_() for t in state.parameters.free.get("phi", [])]
    optimiser = TORCH[member.optimizer.kind](member.optimizer, [*mu, *phi])
    schedule = None
    if member.training.schedule == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, member.training.epochs * c.batches)
    draws = itertools.count(0)
    for epoch in range(member.training.epochs):
        for batch in c.order(epoch):
            draw = torch.tensor(next(draws))
            xi = philox.normal(sum(c.sizes), philox.key(c.seed, NOISE), draw, c.dtype).double().split(c.sizes)
            sigma = [F.softplus(phi[i % len(phi)]).expand_as(m) if phi else 0 * m for i, m in enumerate(mu)]
            h = c.data.x[batch].double()
            for i, (m, s, z, shape) in enumerate(zip(mu, sigma, xi, c.shapes, strict=True)):
                w = (m + s * z).view(shape)
                h = h @ w[:, :-1].T + w[:, -1]
                h = h.relu() if i < len(mu) - 1 else h
            loss = F.cross_entropy(h, c.data.y[batch])
            for m, s in zip(mu, sigma, strict=True):
                loss = loss + reference_penalty(member, m, s, bool(phi)) / c.data.examples
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if schedule:
                schedule.step()
    return [t.detach() for t in (*mu, *phi)]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("inference", INFERENCES)
@pytest.mark.parametrize("cost", COSTS)
def test_update_is_adam_on_the_objective(registry: Registry, cost: str, inference: str, noise: str) -> None:
    c = cohort(registry, DIGITS, f"cost={cost}", f"inference={inference}", f"noise={noise}")
    state = trained(c)
    for ours, theirs in zip([p.value for p in state.parameters.all()], reference(c), strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    "optimizer",
    [
        '{kind="sgd", learning_rate=0.02}', '{kind="sgd", learning_rate=0.02, momentum=0.7, nesterov=true}',
        '{kind="sgd", learning_rate=0.02, momentum=0.0}', '{kind="rmsprop", learning_rate=1e-3, alpha=0.9}',
        '{kind="adam", learning_rate=1e-2, beta1=0.0, beta2=0.9, epsilon=1e-3}',
    ],
)  # fmt: skip
def test_optimizers_are_those_of_torch(registry: Registry, optimizer: str, noise: str) -> None:
    c = cohort(registry, DIGITS, f"optimizer={optimizer}", f"noise={noise}", 'cost={kind="calcium", c=0.1}')
    assert c.batches * c.training.epochs >= 50
    state = trained(c)
    for ours, theirs in zip([p.value for p in state.parameters.all()], reference(c), strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("noise", NOISES)
def test_a_falling_rate_is_that_of_torch(registry: Registry, noise: str) -> None:
    c = cohort(registry, DIGITS, 'training.schedule="cosine"', f"noise={noise}", "training.epochs=3")
    state = trained(c)
    for ours, theirs in zip([p.value for p in state.parameters.all()], reference(c), strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-9, atol=1e-11)


def assert_close_to_reference(c, state) -> None:
    """float32 against float64 to 5e-5 over some fifty steps, in which a parameter travels up to half a unit.

    A mean that |mu| holds at its kink crosses it a step earlier or later: those within two steps of zero are held to
    the length of a step.
    """
    assert c.dtype == torch.float32 and c.batches * c.training.epochs >= 50
    for k in range(len(c)):
        rate = c.points[k].member.optimizer.learning_rate
        for ours, theirs in zip([p.value for p in state.parameters.all()], reference(c, k), strict=True):
            error = (ours[k].double() - theirs).abs() / theirs.abs().clamp_min(1)
            assert error.max() <= rate
            assert error[theirs.abs() > 2 * rate].max() <= 5e-5


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("inference", INFERENCES)
@pytest.mark.parametrize("cost", COSTS)
def test_fifty_steps_in_single_precision(registry: Registry, cost: str, inference: str, noise: str) -> None:
    single = 'training.dtype="float32"'
    c = cohort(registry, DIGITS, f"cost={cost}", f"inference={inference}", f"noise={noise}", single)
    assert_close_to_reference(c, trained(c))


MECHANISMS = ", ".join(f'{{kind="{m}", c=0.1}}' for m in ("calcium", "membrane", "actin", "trafficking"))
COMPILED = {
    **{f"cost {i}": [f"cost={cost}", f"noise={NOISES[0]}"] for i, cost in enumerate(COSTS)},
    "one sigma": [f"noise={NOISES[1]}"],
    "no noise": [f"noise={NOISES[2]}"],
    "laplace": [f"inference={INFERENCES[1]}", f"noise={NOISES[0]}"],
    "gaussian": [f"inference={INFERENCES[2]}", f"noise={NOISES[0]}"],
    "a falling rate": ['training.schedule="cosine"'],
    "small sigma": ["noise.sigma_0=1e-4"],
    "large sigma": ["noise.sigma_0=10.0"],
    "largest c": ['cost={kind="calcium", c=1e12}', "noise.sigma_0=10.0"],
    "c that float32 holds as a denormal": ["cost.c=1e-40"],
    "squared gradients that are denormals": ["inference.magnitude=1e-18", "cost.c=1e-18"],
    "mixed mechanisms": [f"sweep.cost=[{MECHANISMS}]", f"noise={NOISES[0]}"],
}


@pytest.mark.parametrize("overrides", COMPILED.values(), ids=COMPILED)
def test_fifty_compiled_steps_at_the_bounds(registry: Registry, overrides: list[str]) -> None:
    """As a run computes them: compiled, in single precision, denormals flushed."""
    c = cohort(registry, DIGITS, 'training.dtype="float32"', *overrides, compile=True)
    with flushed_denormals():
        state = trained(c)
    assert_close_to_reference(c, state)


@pytest.mark.parametrize("compile", [False, True])
def test_a_member_whose_moments_overflow_is_frozen_and_reported(registry: Registry, compile: bool) -> None:
    """A squared gradient beyond float32 stops Adam for good; this must be reported, and not affect the others."""
    base = ('cost={kind="power_law", rho=3.0}', "noise.sigma_0=1e-4", 'training.dtype="float32"')
    sick = cohort(registry, DIGITS, *base, 'sweep."cost.c"=[1e-9, 1e12, 1e-3]', compile=compile)
    well = cohort(registry, DIGITS, *base, 'sweep."cost.c"=[1e-9, 1e-6, 1e-3]', compile=compile)
    a, b = trained(sick), trained(well)
    assert set(a.died) == {1} and not b.died
    assert a.died[1] == f"at step {sick.batches}: the squared gradient of reliability (cost 'power_law') is not finite"
    for x, y in zip(a.parameters.tensors() + a.weights, b.parameters.tensors() + b.weights, strict=True):
        assert torch.equal(x[[0, 2]], y[[0, 2]])


@pytest.mark.parametrize("cost", [COSTS[1], *OTHERS])
@pytest.mark.parametrize("noise", [*NOISES[:2], *DRAWS])
def test_gradient_against_finite_differences(registry: Registry, noise: str, cost: str) -> None:
    """The gradient of the objective in every parameter, with the loss itself in it, in float64.

    A discrete weight counts as mean + sd xi with its xi held, as the surrogate says.
    """
    c = cohort(registry, DIGITS, f"noise={noise}", f"cost={cost}", "network.activations=['tanh','tanh','linear']")
    state, (x, y) = c.start(), (c.data.x[:30], c.data.y[:30])
    xi, p, f = c.by_layer(state.xi), state.parameters, c.formulas
    discrete = f.noise.base == "uniform"
    held = [(w - m) / s for w, m, s in zip(state.weights, p.mu, f.sigmas(p), strict=True)]

    def objective(p):
        p = c.parameters(p.mu, {name: [q.value for q in parts] for name, parts in p.free.items()})
        mu, free = f.place(p)
        draws = f.drawn(mu, layered(free, len(mu)), xi)
        draws = [m + s * h for m, s, h in zip(mu, f.sigmas(p), held, strict=True)] if discrete else draws
        outputs = c.network.forward(c.layered(draws), x)
        rest = sum(
            f.penalty(m, s, True, f.quanta(m, free)).sum()
            for m, s, free in zip(mu, f.sigmas(p), p.freely(), strict=True)
        )
        return c.data.task.nll(outputs, y).mean() + rest / c.data.examples

    slopes = [torch.zeros_like(w) for w in state.weights]
    residual = lambda o: c.data.task.residual(o, y) / len(x)
    c.network.gradients(c.layered(state.weights), x, residual, c.layered(slopes))
    loss, rest = gradients(f, p, slopes, xi)
    in_free = [a + b for a, b in zip(loss[1]["phi"], rest[1]["phi"], strict=True)]
    if f.carries:
        in_free = [g * s.derivative for g, s in zip(in_free, p.spreads, strict=True)]
    in_mu = [a + b for a, b in zip(loss[0], rest[0], strict=True)]
    for parameter, g in zip(p.all(), [*in_mu, *in_free], strict=True):
        at, h = g.abs().flatten().argmax().item(), 1e-6
        values = []
        for by in (h, -h):
            parameter.value.view(-1)[at] += by
            values.append(objective(p))
            parameter.value.view(-1)[at] -= by
        difference = (values[0] - values[1]) / (2 * h)
        assert g.flatten()[at].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-8)


def registered_costs():
    """One stacked cohort per registered cost: a cost that is not listed above fails the test below."""
    return sorted(Registry.load().kinds("cost"))


def test_every_registered_cost_is_compared_with_its_formula() -> None:
    for kind in registered_costs():
        assert len([text for text in (*COSTS, *OTHERS) if f'"{kind}"' in text.split(",")[0]]) == 1


@pytest.mark.parametrize("compiler", ["C", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", registered_costs())
@pytest.mark.parametrize("noise", NOISES[:2])
def test_compiled_step_is_the_eager_step(registry: Registry, kind: str, noise: str, compiler: str) -> None:
    """Speed must not change a gradient: after a step, state and weights agree to float32 rounding."""
    (cost,) = (text for text in (*COSTS, *OTHERS) if f'"{kind}"' in text.split(",")[0])
    c = cohort(registry, DIGITS, f"cost={cost}", f"noise={noise}", 'training.dtype="float32"', "network.hidden=[5]")
    step = make_step(c.formulas)

    def arguments():
        state = c.start()
        given, next_xi = ingredients(c, state)
        for slopes in given.gradient:
            slopes.copy_(torch.sin(torch.arange(slopes.numel(), dtype=slopes.dtype)).view_as(slopes))
        c.noise.fill(next_xi, given.clock.fill_(1))
        return state, (state.parameters, state.weights, given, state.alive)

    (one, eager), (two, fused) = arguments(), arguments()
    step(*eager)
    if compiler == "C":
        native(step, two.parameters, two.weights, two.alive, fused[2])(fused[2])
    else:
        kernel = compile_step(step, *arguments()[1])
        assert kernel is not None, "no compiler here, or the step does not trace"
        kernel(*fused)
    for a, b in zip(one.parameters.tensors() + one.weights, two.parameters.tensors() + two.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-7)


def test_without_a_compiler_the_eager_step_goes_on(registry: Registry, monkeypatch, caplog) -> None:
    """One warning in the log, and the same results."""

    def no_compiler(*_, **__):
        raise RuntimeError("no C++ compiler found\nand a page of advice")

    def no_c(*_):
        raise NoCompiler("none")

    monkeypatch.setattr(torch._inductor, "compile", no_compiler)
    monkeypatch.setattr(build, "load", no_c)
    c = cohort(registry, DIGITS, "training.epochs=1", compile=True)
    plain = cohort(registry, DIGITS, "training.epochs=1", compile=False)
    for a, b in zip(trained(c).parameters.mu, trained(plain).parameters.mu, strict=True):
        assert torch.equal(a, b)
    (record,) = caplog.records
    assert "no C++ compiler found" in record.message and "advice" not in record.message


def test_calibration_for_compilation_follows_the_work(registry: Registry) -> None:
    """Auto compiles a run of the paper's size, but not a small one."""
    small = cohort(registry, DIGITS)
    large = cohort(registry, DIGITS, "training.epochs=100000")
    from ebayes_core.engine.cohort import Cohort

    assert not Cohort(small.points, small.data).compile
    assert Cohort(large.points, large.data).compile
