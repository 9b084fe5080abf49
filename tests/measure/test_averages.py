"""Averages over minibatches or chunks equal those over the data set, also if these do not divide it evenly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ebayes_core.contract.registry import Registry
from ebayes_core.engine import cohort as cohorts
from ebayes_core.engine.cohort import Cohort
from ebayes_core.engine.evaluation import evaluate
from ebayes_core.engine.loop import train
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.collect import measure
from ebayes_core.measure.convergence import absolute_gradients, expected_loss, projections
from ebayes_core.measure.probes import curvature, inputs, training_chunks
from ebayes_core.results.record import MemberResult
from tests.build import DIGITS, LINEAR, cohort, trained
from tests.test_science import at, expected_nll

N, PRIOR = 101, 0.7  # a prime number
BAYES = (f"dataset.examples={N}", f'inference={{kind="variational_bayes", prior="gaussian", scale={PRIOR}}}')
BATCHES = [1, 7, 20, N - 1, N, N + 100]


def measured(c: Cohort) -> MemberResult:
    """Measurements of a network at the exact posterior, where the bound on the evidence is tight."""
    mean, covariance = c.member.dataset.posterior(PRIOR)
    state = next(train(c, c.start()))
    state.parameters = at(c, mean, np.sqrt(np.diag(covariance)))
    return measure(c, state)[0]


@pytest.mark.parametrize("batch", BATCHES)
def test_reports_of_a_known_optimum_do_not_hang_on_the_batch(registry: Registry, batch: int) -> None:
    """Loss, ELBO and balance against closed forms, each within its own standard error."""
    c = cohort(registry, LINEAR, *BAYES, f"training.batch_size={batch}")
    mean, covariance = c.member.dataset.posterior(PRIOR)
    found = measured(c).metrics
    loss, evidence = expected_nll(c, mean, np.sqrt(np.diag(covariance))).item(), c.member.dataset.log_evidence(PRIOR)
    error = found["nll_train_error"]
    assert 0 < error < 0.01 * loss
    assert abs(found["nll_train"] - loss) < 3 * error
    assert abs(found["elbo"] - evidence) < 3 * error  # equal here: the exact posterior factorises
    assert abs(found["balance"] - 1) < 3 * found["balance_error"] < 0.5


def test_what_is_reported_is_the_same_to_the_bit_for_every_batch(registry: Registry) -> None:
    """The batch size of the probes changes their noise, but nothing that is measured without noise."""
    reports = [measured(cohort(registry, LINEAR, *BAYES, f"training.batch_size={batch}")) for batch in BATCHES]
    asked = (
        "nll_train",
        "elbo",
        "balance",
        "balance_error",
        "magnitude_balance",
        "nll_mean",
        "nll_ensemble",
        "rmse_sample",
    )
    for report in reports[1:]:
        assert all(report.metrics[name] == reports[0].metrics[name] for name in asked)
    known = c_hessian(registry) / N
    for batch in BATCHES:
        layer = measured(cohort(registry, LINEAR, *BAYES, f"measurement.probe_batch={batch}")).layers[0]
        for where in ("mean", "noise"):
            np.testing.assert_allclose(layer[f"gauss_newton_{where}"][0], known, rtol=1e-12)


def c_hessian(registry: Registry) -> np.ndarray:
    return cohort(registry, LINEAR, *BAYES).member.dataset.hessian()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_standard_error_is_the_spread_of_repetitions(registry: Registry, dtype: str) -> None:
    """Forty measurements with new noise vary as much as their standard errors say."""
    c = cohort(registry, LINEAR, *BAYES, f"training.dtype={dtype}")
    mean, covariance = c.member.dataset.posterior(PRIOR)
    p = at(c, mean, np.sqrt(np.diag(covariance)))
    p = c.parameters([m.to(c.dtype) for m in p.mu], {"phi": [q.value.to(c.dtype) for q in p.free["phi"]]})
    noise = generator(0, MEASURE)
    losses, errors = np.array([expected_loss(c, projections(c, p, noise)) for _ in range(40)])[..., 0].T
    assert losses.std(ddof=1) == pytest.approx(
        errors.mean(), rel=0.35
    )  # of forty, a standard deviation is known to 11%
    known = expected_nll(c, mean, np.sqrt(np.diag(covariance))).item()
    assert abs(losses.mean() - known) < 4 * errors.mean() / 40**0.5


@pytest.mark.parametrize("probe_batch", [1, 7, 100, 1000])
def test_probes_are_averages_over_all_their_examples(registry: Registry, probe_batch: int) -> None:
    """Against one chunk that contains all of them, at the mean weights; with noise there are enough networks."""
    settings = ("measurement.probe_examples=101", "training.epochs=1", "noise.sigma_0=0.3")
    c = cohort(registry, DIGITS, *settings, f"measurement.probe_batch={probe_batch}")
    other = cohort(registry, DIGITS, *settings)
    p = trained(c).parameters
    one, two = (curvature(each, p, generator(1, MEASURE)) for each in (c, other))
    for name in ("gauss_newton_mean", "fisher_empirical_mean"):
        for a, b in zip(one[name], two[name], strict=True):
            torch.testing.assert_close(a, b)
    assert len(list(training_chunks(c))) >= 20  # networks, which an average over the noise is of
    rates = [inputs(each, p, generator(1, MEASURE))["input_square"][0] for each in (c, other)]
    torch.testing.assert_close(*rates)  # the first layer's inputs know no noise


@pytest.mark.parametrize("chunk", [1, 7, 360, 1000])
def test_scores_are_averages_over_all_test_examples(registry: Registry, chunk: int, monkeypatch) -> None:
    """Without noise, for any numbers of examples per network and per forward pass; 360 examples."""
    monkeypatch.setattr(cohorts, "CHUNK", chunk)
    c = cohort(registry, DIGITS, "noise.kind=none", f"measurement.sample_batch={chunk}", "training.epochs=1")
    p = trained(c).parameters
    found, y = evaluate(c, p, generator(0, MEASURE)), c.data.y_test
    outputs = c.network.forward(c.layered(p.mu), c.data.x_test)[0]
    known = {
        "nll": -outputs.log_softmax(-1)[range(len(y)), y].mean(),
        "accuracy": (outputs.argmax(-1) == y).double().mean(),
    }
    for way in ("mean", "sample", "ensemble"):
        for name, value in known.items():
            assert found[f"{name}_{way}"].item() == pytest.approx(value.item())


@pytest.mark.parametrize("batch", [1, 100, 1000, 1437, 2000])
def test_curves_of_training_are_averages_over_the_minibatches(registry: Registry, batch: int) -> None:
    """With a negligible learning rate: the loss and accuracy of the examples used in the epoch."""
    c = cohort(
        registry,
        DIGITS,
        "noise.kind=none",
        f"training.batch_size={batch}",
        "optimizer.learning_rate=1e-12",
        "training.epochs=1",
    )
    start = [m.clone() for m in c.start().parameters.mu]
    curve, taken = trained(c).curves[-1], c.order(0).flatten()
    outputs = c.network.forward(c.layered(start), c.data.x[taken])[0]
    y = c.data.y[taken]
    assert len(taken) == (c.data.examples if batch in (1, 2000) else batch * (c.data.examples // batch))
    assert curve["nll"].item() == pytest.approx(-outputs.log_softmax(-1)[range(len(y)), y].mean().item(), rel=1e-6)
    assert curve["accuracy_train"].item() == pytest.approx((outputs.argmax(-1) == y).double().mean().item(), abs=1e-3)


@pytest.mark.parametrize("batch", [3, 60, 100])
def test_gradients_of_minibatches_are_of_whole_ones(registry: Registry, batch: int) -> None:
    """An incomplete minibatch has larger gradients: without noise, against each minibatch of training by autograd."""
    c = cohort(registry, LINEAR, f"dataset.examples={N}", f"training.batch_size={batch}", 'noise={ kind = "none" }')
    p = c.start().parameters
    passes = max(1, -(-10 // c.batches))
    each = []
    for index in torch.cat([c.order(epoch) for epoch in range(passes)]):
        assert len(index) == batch
        w = p.mu[0].clone().requires_grad_()
        c.data.task.nll(c.network.forward(c.layered([w]), c.data.x[index]), c.data.y[index]).mean().backward()
        each.append(w.grad.abs())
    torch.testing.assert_close(absolute_gradients(c, p, generator(0, MEASURE))[0], torch.stack(each).mean(0))
