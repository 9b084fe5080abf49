"""Uncertainty scores of trained networks against scikit-learn on networks drawn here, and what they leave unchanged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ebayes_core.contract.compound import Several, Stepwise
from ebayes_core.contract.likelihoods import Classification, Regression
from ebayes_core.contract.registry import Registry
from ebayes_core.engine import cohort as cohorts
from ebayes_core.engine.confidence import Confidence, Doubt, flat
from ebayes_core.engine.data import shuffled
from ebayes_core.engine.evaluation import evaluate, sampled_weights
from ebayes_core.engine.randomness import MEASURE, generator
from ebayes_core.errors import DataError
from tests.build import DIGITS, LINEAR, cohort, trained

TOLD = ("aurc", "auroc_errors", "auroc_ood")
NAMES = {f"{name}_{by}" for name in TOLD for by in ("entropy", "mutual_information")}


@pytest.fixture(scope="module")
def digits(registry: Registry):
    c = cohort(
        registry, DIGITS, 'sweep."cost.c"=[1e-5, 1e-4]', "noise.sigma_0=0.05", "training.epochs=8",
        "measurement.samples=7", "measurement.sample_batch=20",
    )  # fmt: skip
    return c, trained(c).parameters


def entropies(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(-1)


def drawn(c, p, x: Tensor) -> np.ndarray:
    """Probabilities of the ensemble's networks, (samples, member, examples, classes): after the draws of `sample`."""
    networks = sampled_weights(c, p, generator(0, MEASURE))
    for _ in range(math.ceil(len(c.data.x_test) / 20)):
        next(networks)
    return np.array([c.network.forward(c.layered(next(networks)), x).softmax(-1).numpy() for _ in range(7)])


def test_scores_are_those_of_the_ensemble_that_the_other_scores_are_of(digits) -> None:
    c, p = digits
    found, y = evaluate(c, p, generator(0, MEASURE)), c.data.y_test.numpy()
    here, there = (drawn(c, p, x) for x in (c.data.x_test, shuffled(c.data.x_test)))
    whole, own = entropies(here.mean(0)), entropies(here).mean(0)
    np.testing.assert_allclose(found["entropy_ensemble"], whole.mean(1))
    np.testing.assert_allclose(found["mutual_information_ensemble"], (whole - own).mean(1))
    np.testing.assert_allclose(found["accuracy_ensemble"], (here.mean(0).argmax(-1) == y).mean(1))
    wrong = c.network.forward(c.layered(p.mu), c.data.x_test).argmax(-1).numpy() != y
    other = entropies(there.mean(0)), entropies(there.mean(0)) - entropies(there).mean(0)
    kinds = np.arange(2 * len(y)) >= len(y)
    for name, mine, theirs in zip(("entropy", "mutual_information"), (whole, whole - own), other, strict=True):
        for i in range(2):
            told = roc_auc_score(wrong[i], mine[i])
            apart = roc_auc_score(kinds, np.concatenate([mine[i], theirs[i]]))
            risk = (wrong[i][np.argsort(mine[i])].cumsum() / np.arange(1, len(y) + 1)).mean()
            assert found[f"auroc_errors_{name}"][i].item() == pytest.approx(told)
            assert found[f"auroc_ood_{name}"][i].item() == pytest.approx(apart)
            assert found[f"aurc_{name}"][i].item() == pytest.approx(risk)


def test_chunks_do_not_matter(digits, monkeypatch: pytest.MonkeyPatch) -> None:
    c, p = digits
    before = evaluate(c, p, generator(0, MEASURE))
    monkeypatch.setattr(cohorts, "CHUNK", 77)
    after = evaluate(c, p, generator(0, MEASURE))
    for name in before:
        torch.testing.assert_close(before[name], after[name])


def test_a_second_data_set_changes_no_other_score(registry: Registry, digits) -> None:
    c, p = digits
    same = "measurement.ood.kind=digits"
    other = cohort(registry, DIGITS, 'sweep."cost.c"=[1e-5, 1e-4]', "measurement.samples=7", same)
    before, after = (evaluate(each, p, generator(0, MEASURE)) for each in (c, other))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"auroc_ood_entropy", "auroc_ood_mutual_information"}
    for name in changed:
        np.testing.assert_allclose(after[name], 0.5, err_msg="the test set cannot be told from itself")


def test_without_errors_or_without_right_answers_there_is_nothing_to_detect(digits) -> None:
    c, p = digits
    right = c.network.forward(c.layered(p.mu), c.data.x_test)[0].argmax(-1)
    for y, area in ((right, 0.0), ((right + 1) % 10, 1.0)):
        all_or_none = cohorts.Cohort(c.points, replace(c.data, y_test=y), False)
        found = {name: values[0].item() for name, values in evaluate(all_or_none, p, generator(0, MEASURE)).items()}
        assert math.isnan(found["auroc_errors_entropy"]) and math.isnan(found["auroc_errors_mutual_information"])
        assert found["aurc_entropy"] == area and 0 <= found["auroc_ood_entropy"] <= 1


def test_without_noise_nothing_is_due_to_the_weights(registry: Registry) -> None:
    c = cohort(registry, DIGITS, "noise.kind=none", "training.dtype=float32")
    found = evaluate(c, trained(c).parameters, generator(0, MEASURE))
    assert found["mutual_information_ensemble"].item() == 0
    assert found["auroc_errors_mutual_information"].item() == found["auroc_ood_mutual_information"].item() == 0.5
    assert found["aurc_mutual_information"].item() == pytest.approx(1 - found["accuracy_mean"].item())


def test_a_regression_has_no_such_scores(registry: Registry) -> None:
    c = cohort(registry, LINEAR)
    found = evaluate(c, trained(c).parameters, generator(0, MEASURE))
    assert not NAMES & set(found) and "entropy_ensemble" not in found


def test_a_network_that_overflowed_has_nan_and_the_others_what_they_have(digits) -> None:
    c, p = digits
    broken = p._replace(means=[m._replace(value=m.value * torch.tensor([[math.nan], [1.0]])) for m in p.means])
    found, sound = (evaluate(c, q, generator(0, MEASURE)) for q in (broken, p))
    for name in NAMES:
        assert found[name][0].isnan()
        torch.testing.assert_close(found[name][1], sound[name][1])


def test_only_steps_with_a_target_count() -> None:
    """Two sequences of three steps: of the first the last step, of the second the last two."""
    task, random = Stepwise(Classification(3), 3), torch.Generator().manual_seed(0)
    outputs = torch.randn(4, 1, 2, 3, 3, generator=random, dtype=torch.float64)
    y = torch.tensor([[-1, -1, 0], [-1, 2, 1]])
    doubt = Doubt(task)
    for one in outputs:
        doubt.add(one)
    p = outputs.softmax(-1).numpy()[:, 0]
    kept = np.array([entropies(p.mean(0))[k] for k in ((0, 2), (1, 1), (1, 2))])
    np.testing.assert_allclose(doubt.scored(y)["entropy"], kept[None])
    assert doubt.scored(None)["mutual_information"].shape == (1, 6)
    wrong = flat(task, task.label(task.predict(outputs[0])) != y, y)
    assert wrong.shape == (1, 3)


def test_no_likelihood_but_of_classes_has_an_entropy() -> None:
    assert Regression(2, 1.0).entropy(torch.zeros(1, 2, 2)) is None
    assert Several((Classification(3), Classification(2))).entropy(torch.zeros(1, 2, 5)) is None
    assert Stepwise(Regression(2, 1.0), 3).entropy(torch.zeros(1, 2, 3, 2)) is None


@pytest.mark.parametrize("shape", [(5, 7), (3, 1, 4, 4), (2, 6, 3), (4, 2), (4, 1)])
def test_shuffled_examples_keep_their_numbers_and_no_number_stays(shape: tuple[int, ...]) -> None:
    x = torch.arange(math.prod(shape), dtype=torch.float32).view(shape)
    found = shuffled(x)
    assert found.shape == x.shape and torch.equal(found.flatten(1).sort(1).values, x.flatten(1))
    source = found.flatten(1) - x.flatten(1)[:, :1]
    assert torch.equal(source, source[:1].expand_as(source)), "the same way in all examples"
    assert math.prod(shape[1:]) == 1 or (found != x).all()


def test_a_second_data_set_of_another_shape_is_refused(registry: Registry) -> None:
    with pytest.raises(DataError, match=r"measurement\.ood: .*'mnist5k'.* shape \(784,\), and .* trained on \(64,\)"):
        cohort(registry, DIGITS, "measurement.ood.kind=mnist5k")


def test_targets_of_another_kind_hide_no_example_of_the_second_data_set(registry: Registry) -> None:
    c = cohort(registry, DIGITS, 'measurement.ood={kind="linear_gaussian", inputs=64, examples=100}')
    assert c.data.unfamiliar[1] is None and len(c.data.unfamiliar[0]) == 100
    found = Confidence(c, c.start().parameters)
    found.add(c.layered(c.start().weights), c.outputs_of(c.layered(c.start().weights), c.data.x_test))
    assert 0 <= found.scores()["auroc_ood_entropy"].item() <= 1


def test_stages_keep_the_second_data_set(registry: Registry) -> None:
    text = DIGITS.replace('{ kind = "digits" }', '{ kind = "permuted", source = "digits", tasks = 2 }')
    alone = cohort(registry, text).at_stage(1)
    assert torch.equal(alone.data.unfamiliar[0], shuffled(alone.data.x_test))
    named = cohort(registry, text, "measurement.ood.kind=digits").at_stage(1)
    assert len(named.data.unfamiliar[0]) == 360
