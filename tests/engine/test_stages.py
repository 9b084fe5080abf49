"""What is remembered of stages: exact answers for linear models, the Fisher information, and resumed training."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Stage
from ebayes_core.engine import checkpoint, preflight
from ebayes_core.engine.cohort import Cohort, State
from ebayes_core.engine.loop import train
from ebayes_core.engine.minibatch import ingredients
from ebayes_core.engine.native import native
from ebayes_core.engine.objective import gradients
from ebayes_core.engine.stages import _fisher, end_stage
from ebayes_core.engine.step import make_step, respread
from ebayes_core.errors import UserError
from ebayes_core.measure.collect import measure
from ebayes_plugins.noise import inverse_softplus
from ebayes_plugins.toys import LinearGaussian
from tests.build import LINEAR, cohort, trained

EWC = 'inference={kind="elastic_weight_consolidation", magnitude=0.0}'
VCL = 'inference={kind="variational_continual", scale=0.7}'
SOLVED = 'training.sigma="fixed_point"'
TASKS = """
name = "test"
dataset = { kind = "permuted", tasks = 3 }
network = { kind = "mlp", hidden = [6] }
noise = { kind = "heterogeneous", sigma_0 = 0.02 }
training = { epochs = 6, batch_size = 200, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2 }
measurement = { samples = 2, probe_examples = 50 }
"""


class Model:
    """Two data sets of one linear model, each with an orthogonal design: what each says, and both."""

    def __init__(self, prior_sd: float = np.inf) -> None:
        sets = [LinearGaussian(inputs=6, examples=200, spread=1.0, noise_sd=0.5, seed=seed) for seed in (0, 1)]
        self.data, self.prior = [d.load("train") for d in sets], 1 / prior_sd**2
        self.precisions = [np.diag(d.design().T @ d.design()) / 0.25 for d in sets]
        self.best = [np.linalg.lstsq(d.design(), d.load("train")[1].numpy()[:, 0], rcond=None)[0] for d in sets]
        x = np.concatenate([d.design() for d in sets])
        y = np.concatenate([t[1].numpy()[:, 0] for t in self.data])
        self.precision = x.T @ x / 0.25 + self.prior * np.eye(7)
        self.mean = np.linalg.solve(self.precision, x.T @ y / 0.25)

    def cohort(self, registry: Registry, *overrides: str) -> Cohort:
        """Networks that see the one, and then the other."""
        c = cohort(registry, LINEAR, *overrides)
        x, y = (torch.cat(t) for t in zip(*self.data, strict=True))
        stage = torch.arange(2).repeat_interleave(200)
        c.data = replace(c.data, x=x, y=y, x_test=x, y_test=y, stage=stage, stage_test=stage)
        return c


def test_elastic_weight_consolidation_of_a_quadratic_loss_is_least_squares_on_all_data(registry: Registry) -> None:
    """Exactly, since the Fisher information is the curvature, and springs are parabolas."""
    model = Model()
    sgd = 'optimizer={kind="sgd", learning_rate=0.05}'
    c = model.cohort(registry, EWC, 'noise={kind="none"}', sgd, "training.epochs=3000")
    state = c.start()
    for _ in train(c, state):
        if state.epoch == 1500 and state.batch == 0:
            assert state.parameters.mu[0][0].numpy() == pytest.approx(model.best[0], abs=1e-6)
    assert state.parameters.remembered["importance"][0][0].numpy() == pytest.approx(model.precisions[0], rel=1e-10)
    assert state.parameters.mu[0][0].numpy() == pytest.approx(model.mean, abs=1e-6)
    assert np.abs(model.mean - model.best[1]).max() > 0.01


def test_the_decay_of_the_springs(registry: Registry) -> None:
    model = Model()
    c = model.cohort(registry, EWC, "inference.decay=0.25", "inference.strength=2.0", 'noise={kind="none"}')
    state = c.start()
    for stage in (0, 1):
        state.parameters.remembered["importance"][0].fill_(8.0)
        state.epoch = 1
        c.stage = lambda epoch, stage=stage: stage if epoch == 0 else 2  # type: ignore[method-assign]
        end_stage(c, state)
        found = state.parameters.remembered["importance"][0][0]
        assert found.numpy() == pytest.approx(2.0 + model.precisions[stage], rel=1e-10)


def posterior(c: Cohort, state: State, mean: Tensor, precision: Tensor) -> None:
    """Set the state to normal weights of this mean and precision."""
    state.parameters.mu[0].copy_(mean[None])
    state.parameters.free["phi"][0].value.copy_(inverse_softplus(precision[None] ** -0.5))
    respread(c.formulas, state.parameters, state.alive)


def expected_slopes(c: Cohort, state: State, best: Tensor, precision: Tensor) -> list[Tensor]:
    """The gradient of the whole objective in mu and sigma, averaged over the noise: xi = 1 and -1 do, exactly."""
    totals = []
    for xi in (1.0, -1.0):
        sigma = state.parameters.spreads[0].sigma
        of_loss = precision * (state.parameters.mu[0] + xi * sigma - best) / c.data.examples
        loss, rest = gradients(c.formulas, state.parameters, [of_loss], [torch.full((1, 7), xi, dtype=torch.float64)])
        totals.append([loss[0][0] + rest[0][0], loss[1]["phi"][0] + rest[1]["phi"][0]])
    return [(a + b) / 2 for a, b in zip(*totals, strict=True)]


def test_variational_continual_learning_of_a_linear_model_is_the_posterior_of_all_data(registry: Registry) -> None:
    """The exact posterior of both data sets is stationary once that of the first has been remembered, to rounding."""
    model = Model(prior_sd=0.7)
    c = model.cohort(registry, VCL, "training.epochs=2")
    state, tensor = c.start(), torch.from_numpy
    first = tensor(model.precisions[0]) + model.prior
    posterior(c, state, tensor(model.precisions[0] * model.best[0]) / first, first)
    assert all(
        s.abs().max() < 1e-12 for s in expected_slopes(c, state, *map(tensor, (model.best[0], model.precisions[0])))
    )
    state.epoch = 1
    end_stage(c, state)
    second = tuple(map(tensor, (model.best[1], model.precisions[1])))
    assert min(float(s.abs().max()) for s in expected_slopes(c, state, *second)) > 1e-3
    posterior(c, state, tensor(model.mean), tensor(np.diag(model.precision)))
    assert all(s.abs().max() < 1e-12 for s in expected_slopes(c, state, *second))


@pytest.mark.parametrize("how", ["natural", "fixed_point"])
def test_variational_continual_learning_reaches_that_posterior(registry: Registry, how: str) -> None:
    """Within four standard deviations of what the noise of a constant rate eta leaves of both stages.

    A step of a share eta of a natural one adds eta H sigma^2 sigma xi to a mean, so that its variance ends at eta / 2
    (H sigma^2)^2 sigma^2; and eta / 2 H sigma^2 (xi^2 + d xi) to log sigma, where d sigma is how far the best mean of
    this stage is from the posterior's: a variance of eta (2 + d^2) / 8 (H sigma^2)^2. H sigma^2 is at most 1. The
    sigma of the first stage, where d is small, is the second's prior: an error e of its logarithm moves the mean by
    2 e d sigma H / P, where H is about half of the precision P of both.
    """
    model, eta = Model(prior_sd=0.7), 0.01
    rates = f'optimizer={{kind="natural", learning_rate={eta}, learning_rate_phi={eta}}}'
    solved = ('training.sigma="fixed_point"',) if how == "fixed_point" else ()
    c = model.cohort(registry, VCL, rates, "training.epochs=2400", *solved)
    state = trained(c)
    exact = np.diag(model.precision) ** -0.5
    sigma, mu = c.formulas.sigmas(state.parameters)[0][0].numpy(), state.parameters.mu[0][0].numpy()
    far = (model.best[1] - model.mean) / exact
    assert (np.abs(mu - model.mean) / exact < 4 * np.sqrt(2 * eta / 2 + far**2 * eta * 2 / 8)).all()
    assert (np.abs(np.log(sigma / exact)) < 4 * np.sqrt(eta * (4 + far**2) / 8)).all()
    assert np.abs(far).max() > 1


def test_a_posterior_that_is_solved_for_counts_every_task_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks use different inputs: the solver's running curvature forgets each, whose data the next prior holds.

    Exactly, since all examples are shown at once, and the Fisher information of a linear model is its curvature.
    """
    monkeypatch.setattr("ebayes_core.engine.minibatch.scale", lambda known, step: torch.ones_like(known.curved))
    x, y = LinearGaussian(inputs=6, examples=200, spread=2.0, noise_sd=0.5, seed=0).load("train")
    every, task = torch.cat([torch.roll(x, k, 1) for k in range(4)]).double(), torch.arange(4).repeat_interleave(200)
    c = cohort(registry, LINEAR, VCL, 'optimizer={kind="natural"}', SOLVED, "training.epochs=140")
    y = y.repeat(4, 1).double()
    c.data = replace(c.data, x=every, y=y, x_test=every, y_test=y, stage=task, stage_test=task)
    exact = torch.nn.functional.pad(every, (0, 1), value=1.0).square().sum(0) / 0.5**2 + 1 / 0.7**2
    found = c.formulas.sigmas(trained(c).parameters)[0][0] ** -2
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)


def few(registry: Registry, examples: int, *overrides: str) -> Cohort:
    """Networks with a few examples of the second task."""
    c = cohort(registry, TASKS, *overrides).at_stage(1)
    c.data = replace(c.data, x=c.data.x[:examples], y=c.data.y[:examples])
    return c


def exact_fisher(c: Cohort, means: list[Tensor]) -> list[Tensor]:
    """Squares of log-likelihood gradients in the means, one by one, expected over labels and summed over examples."""
    wanted = [torch.zeros_like(mu) for mu in means]
    for x in c.data.x:
        leaves = [mu.clone().requires_grad_() for mu in means]
        logs = c.network.forward(c.layered(c.repeated(leaves)), x[None])[0, 0].log_softmax(-1)
        for k in range(10):
            slopes = torch.autograd.grad(logs[k], leaves, retain_graph=True)
            for total, s in zip(wanted, slopes, strict=True):
                total += logs[k].exp().detach() * s.square()
    return wanted


ROWS, IMAGE = (f'dataset.source={{kind="digits", layout="{name}"}}' for name in ("rows", "image"))
KERNELS = 'network={{kind="convolutional", layers=[{{channels=2, size=3}}], noise_per="{}"}}'.format


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (ROWS, 'network={kind="recurrent", hidden=4, noise="fresh"}'),
        (ROWS, 'network={kind="recurrent", hidden=4, noise="frozen"}'),
        (IMAGE, KERNELS("position")),
        (IMAGE, KERNELS("kernel")),
    ],
)
def test_springs_are_the_fisher_information_of_the_means(
    registry: Registry, overrides: tuple[str, ...], traced: bool
) -> None:
    """A mean that several draws share has one precision, and the springs of all copies add up to it."""
    c = few(registry, 6, EWC, *overrides)
    p, inference = c.start().parameters, c.formulas.inference
    if not traced:
        c.network = SimpleNamespace(forward=c.network.forward, draws=c.network.draws, trace=lambda *_: None)
    for mu, fisher, wanted, n in zip(p.mu, _fisher(c, p, 0), exact_fisher(c, p.mu), c.copies, strict=True):
        springs = inference.remember(inference.nothing_yet(mu), Stage(mu, 0 * mu, fisher))
        found = n * inference.consolidation_cost(mu + 1, 0 * mu, springs)
        torch.testing.assert_close(2 * found, wanted, rtol=1e-9, atol=1e-13)


def test_the_fisher_information_of_many_outputs_is_sampled(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    c = few(registry, 40)
    state = c.start()
    wanted = exact_fisher(c, state.parameters.mu)
    monkeypatch.setattr("ebayes_core.engine.per_example.MOST_ROOTS", 5)
    sampled = torch.stack([torch.cat(_fisher(c, state.parameters, k), 1) for k in range(200)]).mean(0)
    assert sampled.sum().item() == pytest.approx(sum(w.sum().item() for w in wanted), rel=0.05)


@pytest.mark.parametrize("overrides", [(EWC, 'noise={kind="none"}'), (EWC,), (VCL,)])
def test_gradients_in_c_are_those_of_autograd(registry: Registry, overrides: tuple[str, ...]) -> None:
    c = cohort(registry, TASKS, *overrides, 'training.dtype="float32"')

    def ready() -> tuple[State, object]:
        state = trained(c, steps=7 * 2 + 2 + 3)
        given, next_xi = ingredients(c, state)
        for slopes in given.gradient:
            slopes.copy_(torch.sin(torch.arange(slopes.numel(), dtype=slopes.dtype)).view_as(slopes))
        c.noise.fill(next_xi, given.clock.fill_(20))
        return state, given

    (one, given), (two, same) = ready(), ready()
    assert one.epoch == 2 and one.batch > 0 and all(t.any() for ts in one.parameters.remembered.values() for t in ts)
    step = make_step(c.formulas)
    with torch.no_grad():
        step(one.parameters, one.weights, given, one.alive)
    native(step, two.parameters, two.weights, two.alive, same)(same)
    for a, b in zip(one.parameters.tensors() + one.weights, two.parameters.tensors() + two.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("overrides", [(EWC,), (VCL,), (VCL, SOLVED), ('optimizer={kind="natural_shuffled"}',)])
def test_it_is_resumed_to_the_bit(registry: Registry, overrides: tuple[str, ...], compile: bool) -> None:
    make = lambda: cohort(registry, TASKS, *overrides, 'training.dtype="float32"', compile=compile)
    whole = trained(make())
    assert make().compiled == ("yes" if compile else "no: --compile off")
    for steps in (17, 32):  # within the second stage, and where the third begins
        state = checkpoint.unpack(copy.deepcopy(checkpoint.pack(trained(make(), steps=steps))), make())
        resumed = trained(make(), state)
        for a, b in zip(resumed.parameters.tensors(), whole.parameters.tensors(), strict=True):
            assert torch.equal(a, b)
        assert all(torch.equal(resumed.curves[-1][k], v) or v.isnan().all() for k, v in whole.curves[-1].items())


def test_a_stopped_network_keeps_its_memory_and_others_are_as_alone(registry: Registry) -> None:
    rates = 'sweep={"optimizer.learning_rate"=[1e-2, 2e-2]}'
    both = cohort(registry, TASKS, EWC, rates)
    state = trained(both, steps=19)
    state.alive[0] = False
    state.epoch, before = 2, [t.clone() for t in state.parameters.remembered["anchor"]]
    end_stage(both, state)
    for old, new in zip(before, state.parameters.remembered["anchor"], strict=True):
        assert torch.equal(old[0], new[0]) and not torch.equal(old[1], new[1])
    alone = trained(cohort(registry, TASKS, EWC, "optimizer.learning_rate=2e-2"))
    together = trained(cohort(registry, TASKS, EWC, rates))
    for a, b in zip(alone.parameters.mu, together.parameters.mu, strict=True):
        torch.testing.assert_close(a[0], b[1], rtol=1e-10, atol=1e-12)


def test_the_cost_is_a_curve_of_its_own_and_there_is_no_elbo(registry: Registry) -> None:
    c = cohort(registry, TASKS, VCL)
    (found,) = measure(c, trained(c))
    curve = found.curves["consolidation"]
    assert (curve[:2] == 0).all() and (curve[3:] != 0).all() and np.isnan(found.metrics["elbo"])
    assert "consolidation" not in trained(cohort(registry, TASKS)).curves[-1]
    assert not cohort(registry, LINEAR, VCL).start().parameters.remembered


def test_all_stages_may_be_shown_together(registry: Registry) -> None:
    c = cohort(registry, TASKS, 'training.stages="together"', "training.epochs=2")
    assert c.data.examples == 3 * 1437 and c.data.stages == 1
    assert len(c.order(0).unique()) == 4200 and len(set((c.order(0) // 1437).flatten().tolist())) == 3
    state = trained(c)
    for k in range(3):
        x, y = (t.view(3, -1, *t.shape[1:])[k] for t in (c.data.x_test, c.data.y_test))
        right = (c.network.forward(c.layered(state.parameters.mu), x)[0].argmax(-1) == y).double().mean()
        assert state.curves[-1][f"accuracy_test_stage_{k + 1}"].item() == pytest.approx(right.item())


def test_what_means_nothing_is_refused(registry: Registry) -> None:
    for overrides, told in (
        ((VCL, 'noise={kind="none"}'), "variational_continual' means nothing .* without noise, and the noise 'none'"),
        (('noise={kind="binomial"}', 'optimizer={kind="release_gated"}'), "single release site, and .* 'bernoulli'"),
    ):
        c = cohort(registry, TASKS, *overrides)
        with pytest.raises(UserError, match=told):
            preflight.check(c, c.start())


class Poisson(Likelihood):
    """Counts with log rates: it can be neither sampled nor differentiated twice."""

    outputs, shape = 10, (10,)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The negative log-likelihood but for a constant."""
        return (outputs.exp() - outputs * y[:, None]).sum(-1)


def test_a_likelihood_without_fisher_information_is_refused_where_that_is_remembered(registry: Registry) -> None:
    for inference, refused in ((EWC, True), (VCL, False)):
        c = cohort(registry, TASKS, inference)
        c.data = replace(c.data, task=Poisson())
        if refused:
            with pytest.raises(UserError, match=r"Fisher information .* Poisson .* 'permuted' defines no sample"):
                preflight.check(c, c.start())
        else:
            preflight.check(c, c.start())


def test_springs_that_are_too_stiff_are_blamed_for_a_network_that_diverges(registry: Registry) -> None:
    stiff = (EWC, "inference.strength=1e9", 'noise={kind="none"}', 'optimizer={kind="sgd"}')
    state = trained(cohort(registry, TASKS, *stiff, 'training.dtype="float32"'))
    assert "consolidation (inference 'elastic_weight_consolidation') is not finite" in state.died[0]
