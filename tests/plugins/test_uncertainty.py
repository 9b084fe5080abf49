"""What noise foretells, on networks whose predictive variance and loss are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import norm, spearmanr
from sklearn.metrics import roc_auc_score

import ebayes
from ebayes_core.contract.likelihoods import Classification, Regression
from ebayes_core.errors import UserError
from ebayes_core.report.figures import house_figure
from ebayes_core.trained.network import Trained
from ebayes_plugins.analyses._foretelling import (
    SOFTER,
    TEMPERATURES,
    Questions,
    heated,
    held_out,
    patterned,
    selective,
)
from ebayes_plugins.analyses._uncertainty_words import finding
from ebayes_plugins.analyses.uncertainty import Uncertainty, gain
from ebayes_plugins.networks import Mlp
from ebayes_plugins.noise import Heterogeneous
from tests.drawn import words

DRAWS = 20_000
RANDOM = torch.Generator().manual_seed(0)
#: a linear network of five inputs and a bias
MU = torch.randn(1, 6, generator=RANDOM, dtype=torch.float64)
SIGMA = torch.rand(1, 6, generator=RANDOM, dtype=torch.float64)
X = torch.randn(31, 5, generator=RANDOM, dtype=torch.float64)
Y = torch.randn(31, 1, generator=RANDOM, dtype=torch.float64)
NET = Trained(Mlp(hidden=()), Heterogeneous(), [MU], [{"sigma": SIGMA}])


def linear(noise_sd: float = 0.5) -> Questions:
    return Questions(Regression(1, noise_sd), X, Y, X + 9, DRAWS, DRAWS, 1)


def with_one() -> np.ndarray:
    return np.column_stack([X.numpy(), np.ones(len(X))])


def test_the_variance_of_a_linear_network_is_the_sum_of_its_inputs_squared() -> None:
    known = with_one() ** 2 @ SIGMA.numpy()[0] ** 2
    np.testing.assert_allclose(linear()._variance(NET, X), known, rtol=0.05)
    found = linear().answers(NET, "own")
    error = (with_one() @ MU.numpy()[0] - Y.numpy()[:, 0]) ** 2
    assert found["rank"] == pytest.approx(spearmanr(known, error)[0], abs=0.03)
    assert found["ood"] == 1 and np.isnan(found["aurc"])


def test_the_loss_at_a_temperature_is_that_of_the_gaussian_and_the_best_is_held_out() -> None:
    variance, mean = with_one() ** 2 @ SIGMA.numpy()[0] ** 2, with_one() @ MU.numpy()[0]
    known = np.array([-norm(mean, np.sqrt(t * variance + 4)).logpdf(Y.numpy()[:, 0]) for t in TEMPERATURES])
    found = linear(2.0).answers(NET, "own")
    nll, temperature = held_out(known, TEMPERATURES)
    assert found["nll"] == pytest.approx(nll, rel=0.01) and found["temperature"] == pytest.approx(temperature)
    at_one = -norm(mean, np.sqrt(variance + 4)).logpdf(Y.numpy()[:, 0])
    assert linear(2.0)._losses(NET).mean() == pytest.approx(at_one.mean(), rel=0.01)


def test_the_temperature_of_one_half_is_chosen_on_the_other() -> None:
    """Even examples prefer the first temperature, odd ones the last: each half pays for the other's choice."""
    losses = np.array([[0.0, 5.0, 0.0, 7.0, 0.0], [9.0, 0.0, 9.0, 0.0, 9.0]])
    nll, temperature = held_out(losses, np.array([0.1, 10.0]))
    assert nll == pytest.approx((3 * 9 + 5 + 7) / 5) and temperature == pytest.approx(1)


def test_patterns_keep_what_they_say() -> None:
    own, equal, shuffled = (patterned(NET, p, 3).free[0]["sigma"] for p in ("own", "equal", "shuffled"))
    assert torch.equal(own, SIGMA) and torch.equal(shuffled.sort().values, SIGMA.sort().values)
    assert not torch.equal(shuffled, SIGMA)
    torch.testing.assert_close(equal.square().sum(), SIGMA.square().sum())
    assert (equal == equal[0, 0]).all()
    torch.testing.assert_close(heated(NET, 4.0).free[0]["sigma"], 2 * SIGMA)


def test_the_errors_of_a_classifier_are_those_of_its_mean_weights() -> None:
    mu = torch.randn(3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    net, y = replace(NET, mu=[mu], free=[{"sigma": 0.3 + 0 * mu}]), torch.arange(31) % 3
    asked = Questions(Classification(3), X, y, X, 200, 50, 1)
    logits = with_one() @ mu.numpy().T
    own, found = asked.baseline(net), asked.answers(net, "own")
    wrong = logits.argmax(1) != y.numpy()
    assert own["error"] == pytest.approx(wrong.mean())
    losses = np.array([-log_softmax(logits / t, 1)[np.arange(31), y] for t in SOFTER])
    assert own["nll_mean"] == pytest.approx(losses[8].mean()) and SOFTER[8] == 1
    assert own["nll_tempered"] == pytest.approx(held_out(losses, SOFTER)[0])
    outputs = torch.cat(list(asked._outputs(heated(net, 0.25), X, 50)))
    mean = outputs.softmax(-1).mean(0).numpy()
    powers = np.array(
        [-np.log(mean ** (1 / t) / (mean ** (1 / t)).sum(1, keepdims=True))[np.arange(31), y] for t in SOFTER]
    )
    np.testing.assert_allclose(asked._losses(heated(net, 0.25)), powers)
    variance = asked._variance(net, X)
    assert found["auroc"] == pytest.approx(roc_auc_score(wrong, variance))
    risk = wrong[np.argsort(variance)].cumsum() / np.arange(1, 32)
    assert found["aurc"] == pytest.approx(risk.mean()) and found["risk"][-1] == pytest.approx(wrong.mean())
    assert found["ood"] == pytest.approx(0.5), "the second data set is the first"


def test_the_risk_at_a_coverage_is_that_of_the_examples_it_takes() -> None:
    found = selective(np.arange(40.0), np.arange(40) >= 38)
    np.testing.assert_allclose(found["risk"][-2:], [0, 2 / 40])  # of 95%, 38 examples


def of_numbers() -> dict[str, np.ndarray]:
    """Two seeds of a network that predicts numbers, whose variance tells nothing of its errors."""
    no, names = np.full(4, np.nan), ("ood", "nll", "nll_mean", "nll_tempered", "temperature", "balance", "c")
    return {
        "arm": np.full(4, "membrane"), "pattern": np.repeat(["own", "shuffled"], 2), "seed": np.tile([0, 1], 2),
        "rank": np.array([0.03, -0.03, 0.01, 0.03]), "error": no, "aurc": no, "auroc": no,
        "risk": np.full((4, 20), np.nan), "coverage": np.linspace(0.05, 1, 20), "tone": np.full(4, "0.3"),
        "n": np.full(4, 50), "others": np.full(4, 50),
        **{name: np.ones(4) for name in names},
    }  # fmt: skip


def test_the_finding_claims_no_relation_that_is_not_there() -> None:
    assert "foretell" not in finding(of_numbers()) and "0 under energies" in finding(of_numbers())


def test_predictions_of_numbers_have_no_error_rate_and_one_temperature() -> None:
    with house_figure() as figure:
        Uncertainty().draw(of_numbers(), figure)
        said = words(figure)
    assert len(figure.axes) == 3 and "nan" not in said and "error rate" not in said and "First panel" not in said
    assert "one multiplies every σ²; chosen on one half" in said


SPEC = """
name = "u"
seeds = [0, 1]
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [6] }
training = { epochs = 4, batch_size = 50, sigma = "fixed_point" }
measurement = { samples = 2, probe_examples = 100 }
[sweep]
"inference, noise" = [
    [{ kind = "energy_efficient" }, { kind = "heterogeneous" }],
    [{ kind = "energy_efficient" }, { kind = "homogeneous" }],
    [{ kind = "variational_bayes" }, { kind = "heterogeneous" }],
]
"dataset.examples, cost.c" = [[300, 0.01], [900, 0.01], [900, 0.1]]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    return ebayes.run(SPEC, out=tmp_path_factory.mktemp("u") / "u.h5", progress=False)


def test_networks_of_the_most_data_and_the_common_price_are_compared(run) -> None:
    arrays = Uncertainty(samples=5, ensemble=2).measure(run)
    chosen = run.members.iloc[sorted(set(arrays["member"].tolist()))]
    assert set(chosen["dataset.examples"]) == {900} and set(chosen["cost.c"]) == {0.01} and len(chosen) == 6
    patterns = {(a, p) for a, p in zip(arrays["arm"], arrays["pattern"], strict=True)}
    assert {p for a, p in patterns if a == "membrane, homogeneous"} == {"own"}, "equal sigmas cannot be shuffled"
    assert {p for a, p in patterns if a == "membrane"} == {"own", "equal", "shuffled"}
    np.testing.assert_allclose(arrays["error"], 1 - chosen["accuracy_mean"].loc[arrays["member"]], atol=1e-6)
    np.testing.assert_allclose(gain(arrays, "membrane", "own", "nll"), 0)
    figure = run.figure("uncertainty", samples=5, ensemble=2)
    assert [t.get_text() for t in figure.axes[1].get_yticklabels()][-1] == "Bayes, Laplace prior"


def test_networks_without_noise_foretell_nothing(tmp_path) -> None:
    silent = SPEC[: SPEC.index("[sweep]")].replace("seeds = [0, 1]", 'noise = { kind = "none" }')
    with ebayes.run(silent, out=tmp_path / "n.h5", progress=False) as found, pytest.raises(UserError, match="has any"):
        found.figure("uncertainty")
