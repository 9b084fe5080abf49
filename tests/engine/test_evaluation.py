"""Scores against scikit-learn and hand calculations; sampled and mean predictions agree as noise vanishes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import accuracy_score, log_loss
from torch.utils._python_dispatch import TorchDispatchMode

from ebayes_core.contract.likelihoods import Classification, Regression, _calibration_error
from ebayes_core.contract.registry import Registry
from ebayes_core.engine.evaluation import Predictive, evaluate, reliability_costs, sampled_weights
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.measure.collect import measure
from tests.build import DIGITS, LINEAR, cohort, trained


@pytest.fixture(scope="module")
def digits(registry: Registry):
    c = cohort(registry, DIGITS, 'sweep."cost.c"=[0.01, 1.0]', "noise.sigma_0=0.3", "training.epochs=1")
    return c, trained(c).parameters


def test_mean_scores_are_scikit_learns(digits) -> None:
    c, p = digits
    found = evaluate(c, p, generator(0, MEASURE))
    y = c.data.y_test.numpy()
    for member, outputs in enumerate(c.network.forward(c.layered(p.mu), c.data.x_test)):
        probability = outputs.softmax(-1).numpy()
        assert found["accuracy_mean"][member].item() == pytest.approx(accuracy_score(y, probability.argmax(-1)))
        assert found["nll_mean"][member].item() == pytest.approx(log_loss(y, probability, labels=range(10)))
        onehot = np.eye(10)[y]
        assert found["brier_mean"][member].item() == pytest.approx(((probability - onehot) ** 2).sum(-1).mean())


def test_ensemble_averages_probabilities(digits) -> None:
    c, p = digits
    predictive, networks = Predictive(c), sampled_weights(c, p, generator(1, MEASURE))
    outputs = [c.network.forward(c.layered(next(networks)), c.data.x_test) for _ in range(7)]
    for o in outputs:
        predictive.add(o, c.data.y_test)
    mean = torch.stack([o.softmax(-1) for o in outputs]).mean(0)
    known = -mean.gather(-1, c.data.y_test.expand(2, -1)[..., None]).log().mean((1, 2))
    torch.testing.assert_close(predictive.scores(c.data.y_test, "x")["nll_x"], known)


def test_without_noise_all_ways_of_predicting_agree(registry: Registry) -> None:
    c = cohort(registry, DIGITS, "noise.kind=none")
    found = evaluate(c, trained(c).parameters, generator(0, MEASURE))
    for score in ("accuracy", "nll", "brier", "ece"):
        for way in ("sample", "ensemble"):
            torch.testing.assert_close(found[f"{score}_{way}"], found[f"{score}_mean"])


def test_calibration_error_of_known_predictions() -> None:
    """Confidence 0.8 and accuracy 0.5: the error is 0.3; with accuracy 0.8 it is 0."""
    y = torch.arange(100) % 2
    surely = torch.tensor([[0.8, 0.2]]).expand(1, 100, 2)
    assert Classification(2).scores(surely, y)["ece"].item() == pytest.approx(0.3, abs=1e-6)
    y = (torch.arange(100) >= 80).long()
    assert Classification(2).scores(surely, y)["ece"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_calibration_of_a_network_that_overflowed_is_nan_and_of_the_others_what_it_is() -> None:
    sure = torch.tensor([[1.0, 0.0]] * 10, dtype=torch.float64)
    y = torch.tensor([0] * 7 + [1] * 3)
    found = Classification(2).scores(torch.stack([sure * torch.nan, sure]), y)["ece"]
    assert found[0].isnan() and found[1].item() == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("examples", [1, 7, 450])
def test_the_calibration_error_is_that_of_numpy_at_the_edges_of_bins_too(examples: int) -> None:
    random, edges = np.random.default_rng(examples), np.arange(16) / 15
    at_edges = random.random((5, examples)) < 0.5
    confidence = np.where(at_edges, random.choice(edges, (5, examples)), random.random((5, examples)))
    right = random.integers(2, size=(5, examples)).astype(float)
    known = np.zeros((5, 15))
    np.add.at(known, (np.arange(5)[:, None], np.minimum(np.floor(confidence * 15), 14).astype(int)), right - confidence)
    found = _calibration_error(torch.tensor(confidence), torch.tensor(right))
    np.testing.assert_allclose(found.numpy(), np.abs(known).sum(1) / examples, rtol=0, atol=1e-14)


class Recorded(TorchDispatchMode):
    """The operators that a block calls, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(func.overloadpacket.__name__.strip("_"))
        return func(*args, **(kwargs or {}))


#: what torch.use_deterministic_algorithms lists as different from run to run on a GPU, of what anybody would call here
#: (the median's index is, too; its value is not)
BY_CHANCE = {
    "scatter_add", "scatter_reduce", "index_add", "index_reduce", "index_put", "index_copy", "put", "bincount", "histc",
    "cumsum", "kthvalue", "embedding_dense_backward", "nll_loss2d_forward",
}  # fmt: skip


@pytest.mark.parametrize("text", [DIGITS, LINEAR])
def test_no_operator_differs_from_run_to_run_on_a_gpu(registry: Registry, text: str) -> None:
    """Training with the fixed point, and measuring: a resumed run must end with the same bits there too."""
    with Recorded() as seen:
        c = cohort(registry, text, "training.sigma=fixed_point", "training.epochs=1")
        assert len(measure(c, trained(c))) == 1
    assert {"bmm", "where"} & seen.names, "nothing was recorded"
    assert not seen.names & BY_CHANCE


def test_regression_scores(registry: Registry) -> None:
    task = Regression(1, 0.5)
    y, f = torch.randn(50, 1, dtype=torch.float64), torch.randn(2, 50, 1, dtype=torch.float64)
    known = -norm(loc=f.numpy(), scale=0.5).logpdf(y.numpy()).sum(-1)
    np.testing.assert_allclose(task.nll(f, y).numpy(), known)
    assert task.scores(f, y)["rmse"][0].item() == pytest.approx(np.sqrt(((f[0] - y) ** 2).mean()))
    c = cohort(registry, LINEAR)
    found = evaluate(c, trained(c).parameters, generator(0, MEASURE))
    assert {"rmse_mean", "rmse_sample", "rmse_ensemble", "nll_ensemble"} <= set(found)


@pytest.mark.parametrize("task", [Classification(4), Regression(3, 0.7)])
def test_residual_and_curvature_are_derivatives_of_the_nll(task) -> None:
    """The closed forms against autograd: gradient, and Hessian as the sum of outer products of its roots."""
    random = torch.Generator().manual_seed(0)
    outputs = torch.randn(1, 5, task.outputs, generator=random, dtype=torch.float64)
    y = torch.tensor([0, 3, 1, 2, 2]) if isinstance(task, Classification) else torch.randn(5, 3, dtype=torch.float64)
    residual = torch.func.grad(lambda o: task.nll(o, y).sum())(outputs)
    torch.testing.assert_close(task.residual(outputs, y), residual)
    roots = torch.stack(list(task.curvature_roots(outputs)))
    for i in range(5):
        hessian = torch.func.hessian(lambda o, i=i: task.nll(o[None, None], y[i : i + 1]).sum())(outputs[0, i])
        torch.testing.assert_close(torch.einsum("ka,kb->ab", roots[:, 0, i], roots[:, 0, i]), hessian)


@pytest.mark.parametrize("task", [Classification(3), Regression(1, 0.7)])
def test_samples_follow_the_model(task) -> None:
    outputs = torch.tensor([[[0.0, 1.0, -1.0]]]) if isinstance(task, Classification) else torch.tensor([[[0.4]]])
    drawn = task.sample(outputs.expand(1, 20000, -1), torch.Generator().manual_seed(0))
    if isinstance(task, Classification):
        shares = torch.bincount(drawn[0], minlength=3) / 20000
        torch.testing.assert_close(shares, outputs[0, 0].softmax(-1), atol=0.015, rtol=0.0)
    else:
        assert drawn.mean().item() == pytest.approx(0.4, abs=0.02)
        assert drawn.std().item() == pytest.approx(0.7, abs=0.02)


def test_bill_at_the_rms_is_never_above_the_true_one(registry: Registry) -> None:
    """Jensen's inequality: sigma -> (sigma^2)^(-rho/2) is convex, so spreading sigma at one RMS can only cost more."""
    c = cohort(registry, LINEAR, 'cost={kind="membrane", c=0.3}', 'sweep."inference.magnitude"=[0.1, 0.2, 0.3]')
    sigma = torch.rand(3, c.sizes[0], dtype=torch.float64) + 0.01
    paid = reliability_costs(c, c.parameters([0 * sigma], {"phi": [sigma.expm1().log()]}))
    assert (paid["reliability_cost"] >= paid["reliability_cost_at_rms"]).all()
    torch.testing.assert_close(paid["reliability_cost"], 0.3 * sigma.pow(-2 / 3).sum(-1))
