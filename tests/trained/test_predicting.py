"""Predictions for new inputs: against the engine's scores, closed forms, and what their parts have to add up to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ebayes_core.errors import AbsentError, UserError
from ebayes_core.results.reader import Run
from ebayes_core.trained.predicting import predict, prepare
from ebayes_core.trained.prediction import Prediction
from ebayes_plugins.datasets import Digits
from tests.trained.runs import everything, layers, of, ran, stepwise

SPEC = """
name = "own"
dataset = {{ kind = "arrays", train = "{file}" }}
network = {{ kind = "mlp", hidden = [] }}
noise = {{ kind = "heterogeneous", sigma_0 = 0.2 }}
training = {{ epochs = 1, batch_size = 10 }}
measurement = {{ probe_examples = 20 }}
"""
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(3, 2, size=(41, 3))


def own(folder: Path, targets: list) -> Run:
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(target=targets).to_csv(folder / "own.csv", index=False)
    return ran(SPEC.format(file="own.csv"), folder)


def asked(run: Run, x=None, **options) -> Prediction:
    return predict(run, x, 0, everything(), **options)


def scores(found: Prediction, y: np.ndarray) -> tuple[float, float]:
    p = found.mean[np.arange(len(y)), y]
    return float((found.mean.argmax(1) == y).mean()), float(-np.log(p).mean())


@pytest.mark.parametrize("noise", ["heterogeneous", "log_normal", "binomial"])
def test_scores_of_the_average_are_those_of_the_engine(noise: str) -> None:
    """Up to sampling: both average 50 networks, and the spread between seeds is known."""
    run, y = of("mlp", noise), Digits().load("test")[1].numpy()
    found = np.array([scores(asked(run, samples=50, seed=seed), y) for seed in range(12)])
    for column, name in enumerate(("accuracy_ensemble", "nll_ensemble")):
        mean, spread = found[:, column].mean(), found[:, column].std(ddof=1)
        assert abs(run.metric(name)[0] - mean) < 5 * spread + 1e-6, name


def test_raw_pixels_are_prepared_as_the_training_set() -> None:
    run, raw = of("mlp"), Digits(normalise="unit").load("test")[0].numpy()
    graph = torch.tensor(raw, requires_grad=True)
    given, of_graph, known = (asked(run, x, samples=4) for x in (raw.reshape(-1, 8, 8), graph, None))
    np.testing.assert_allclose(given.mean, known.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(of_graph.mean, given.mean)
    assert given.mean.shape == (360, 10) and given.label is not None
    assert np.array_equal(given.label, given.mean.argmax(1)) and given.units["entropy"] == "nat"
    p = given.mean.astype(np.float64)
    np.testing.assert_allclose(given.entropy, -(p * np.log(p)).sum(1), rtol=1e-4)
    np.testing.assert_allclose(given.entropy, given.aleatoric + given.epistemic)


def test_a_regression_has_the_moments_of_its_synapses(tmp_path: Path) -> None:
    """Of a linear network: mean sum mu x, variance sum sigma^2 x^2, the bias's x being one."""
    run = own(tmp_path, list(X.sum(1) / 7))
    x = prepare(run, X, 0, everything()).numpy()
    mu, sigma = (layers(run, name)[0][0].astype(float) for name in ("mu", "sigma"))
    sd = np.sqrt(np.column_stack([x, np.ones(41)]) ** 2 @ sigma**2)
    found, n = asked(run, X, samples=3000), 3000
    assert (np.abs(found.mean[:, 0] - x @ mu[:-1] - mu[-1]) < 5 * sd / np.sqrt(n)).all()
    assert (np.abs(found.sd[:, 0] / sd - 1) < 5 / np.sqrt(2 * n)).all()
    np.testing.assert_allclose(found.epistemic, found.sd**2, rtol=1e-5)
    assert (found.aleatoric == 1).all() and found.entropy is None and found.label is None
    assert found.units == {
        "mean": "target",
        "sd": "target",
        **dict.fromkeys(("entropy", "aleatoric", "epistemic"), "target^2"),
    }
    assert list(found.frame().columns) == ["mean", "sd", "aleatoric", "epistemic"]


def test_classes_have_their_names_and_columns_theirs(tmp_path: Path) -> None:
    run = own(tmp_path, list(np.array(["dog", "ape", "cat"])[np.arange(41) % 3]))
    turned = pd.DataFrame(X, columns=["a", "b", "c"])[["c", "a", "b"]].assign(other="text")
    found = asked(run, turned, samples=5)
    np.testing.assert_allclose(found.mean, asked(run, X, samples=5).mean)
    assert found.classes == ("ape", "cat", "dog") and set(found.label) <= {"ape", "cat", "dog"}
    table = found.frame()
    assert list(table.columns) == [
        "label", "mean.ape", "mean.cat", "mean.dog", "sd.ape", "sd.cat", "sd.dog", "entropy", "aleatoric", "epistemic",
    ]  # fmt: skip
    assert (table[[f"mean.{name}" for name in found.classes]].idxmax(axis=1) == "mean." + table["label"]).all()
    assert table.attrs["units"]["mean.cat"] == "1" and table.attrs["units"]["aleatoric"] == "nat"


def test_each_step_is_predicted(tmp_path: Path) -> None:
    run = stepwise(tmp_path)
    found = asked(run, samples=6)
    assert found.mean.shape == (8, 6, 2) and found.label.shape == found.entropy.shape == (8, 6)
    table = found.frame()
    assert len(table) == 48 and list(table.loc[3, "step"]) == [0, 1, 2, 3, 4, 5]
    assert table["mean.1"].iloc[6 * 3 + 2] == found.mean[3, 2, 1]


def test_many_examples_are_predicted_by_the_same_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asked(of("recurrent"), samples=3, seed=4)
    monkeypatch.setattr("ebayes_core.trained.predicting.CHUNK", 100)
    parts = asked(of("recurrent"), samples=3, seed=4)
    np.testing.assert_allclose(parts.sd, whole.sd, rtol=1e-4, atol=1e-6)
    assert not np.allclose(asked(of("recurrent"), samples=3, seed=5).mean, whole.mean)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (X[:, :2], r"the data set 'arrays' cannot take the inputs x: an example has shape \(2,\), and those for"),
        (np.where(X[5, 1] == X, np.nan, X), r"inputs x: example 5, counted from 0, is not finite \(1 such\)"),
        (X[:0], r"inputs x have shape \(0, 3\): give at least one example of shape \(3,\)"),
        (X.astype(str), "inputs are numbers, not <U"),
        (
            pd.DataFrame(X, columns=["a", "bb", "c"]),
            "the table has no column 'b', an input of the network; did you mean 'bb'",
        ),
        (pd.DataFrame(X, columns=["a", "b", "c"]).astype({"b": str}), r"column 'b' is not numeric \("),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, x, why: str) -> None:
    with pytest.raises(UserError, match=why):
        asked(own(tmp_path, list(X.sum(1) / 7)), x)


def test_other_mistakes_are_refused(tmp_path: Path) -> None:
    run = own(tmp_path, list(X.sum(1) / 7))
    with pytest.raises(AbsentError, match="no network 4; there are 1"):
        predict(run, X, 4, everything())
    with pytest.raises(UserError, match="samples = 1: a standard deviation over sampled networks needs at least two"):
        asked(run, X, samples=1)
    with pytest.raises(UserError, match=r"pixels are in \[0, 1\], not up to 255: divide bytes by 255"):
        asked(of(), np.full((2, 64), 255))
    with pytest.raises(UserError, match=r"images are numbers of shape \(examples, 64\) or .* not \(2, 63\)"):
        asked(of(), np.ones((2, 63)))
    (tmp_path / "own.csv").write_text("a,b,c,target\n1,2,3,4.5\n2,3,4,5.5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"predict evaluates networks on the training set again: .* has changed"):
        asked(run, X)


def test_a_deterministic_network_is_certain_of_itself() -> None:
    found = asked(of("mlp", "none"), samples=3)
    assert found.sd.max() < 1e-6 and found.epistemic.max() < 1e-6
