"""Several tasks in a row: which examples are shown when, and on which data networks are measured."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Dataset
from ebayes_core.engine import checkpoint
from ebayes_core.engine.loop import train
from ebayes_core.errors import DataError, SpecError, UserError
from ebayes_core.measure.collect import measure
from ebayes_core.results.record import described
from ebayes_core.spec import digest, dumps, loads
from ebayes_core.sweeps import planning
from ebayes_core.testing import check_dataset
from ebayes_core.trained.data import examples_of
from ebayes_plugins.analyses.training import TrainingCurves, _stages
from ebayes_plugins.datasets import Cubic, Decision, Digits, Mnist5k, Permuted
from tests.build import cohort, points, trained

SPEC = """
name = "test"
dataset = { kind = "permuted", tasks = 3 }
network = { kind = "mlp", hidden = [6] }
noise = { kind = "heterogeneous", sigma_0 = 0.02 }
training = { epochs = 7, batch_size = 100, dtype = "float64" }
optimizer = { kind = "adam", learning_rate = 1e-2 }
measurement = { samples = 2, probe_examples = 50 }
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_task_shuffles_the_same_images(split: str) -> None:
    x, y = Digits().load(split)
    shuffled, labels = Permuted(tasks=3, seed=5).load(split)
    parts = shuffled.split(len(x))
    assert torch.equal(parts[0], x) and torch.equal(labels, y.repeat(3))
    for one in parts[1:]:
        varied = [i for i in range(64) if one[:, i].std() > 0.4]  # blank pixels are all alike
        places = [next(k for k in range(64) if torch.equal(one[:, i], x[:, k])) for i in varied]
        assert len(places) == len(set(places)) > 20 and places != sorted(places)
        assert torch.equal(one.sort(1).values, x.sort(1).values)
    assert not torch.equal(parts[1], parts[2])
    assert Permuted(tasks=3).stages(split).tolist() == [k for k in range(3) for _ in range(len(x))]


def test_its_fields_count_and_the_check_for_authors_accepts_it() -> None:
    one, other = (Permuted(seed=seed).load("test")[0] for seed in (0, 1))
    size = len(one) // 3
    assert torch.equal(one[:size], other[:size]) and not torch.equal(one[size:], other[size:])
    assert len(Permuted(tasks=2).load("test")[0]) == 2 * size
    assert Permuted(source=Mnist5k()).load("test")[0].shape[1] == 784
    check_dataset(Permuted, Permuted(tasks=2))


@pytest.mark.parametrize("source", [Digits(layout="image"), Decision(steps=6, examples=30)])
def test_any_classification_is_shuffled_over_all_of_its_axes(source: Dataset) -> None:
    x, y = source.load("train")
    shuffled, labels = Permuted(source=source, tasks=2).load("train")
    assert shuffled.shape == (2 * len(x), *x.shape[1:]) and torch.equal(labels, y.repeat(2))
    assert torch.equal(shuffled[: len(x)], x) and not torch.equal(shuffled[len(x) :], x)
    assert torch.equal(shuffled[len(x) :].flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    if isinstance(source, Decision):  # whose inputs are not scaled
        assert torch.equal(Permuted(source=source, tasks=2).prepare(x), shuffled[len(x) :])


def test_a_source_is_a_name_or_a_table_and_a_spec_keeps_it(registry: Registry) -> None:
    for text, wanted in (
        ('"mnist5k"', Mnist5k()),
        ('{ kind = "decision", steps = 3 }', Decision(steps=3)),
        ('{ kind = "digits", layout = "rows" }', Digits(layout="rows")),
    ):
        experiment = loads(f'name = "x"\ndataset = {{ kind = "permuted", source = {text} }}', registry)
        assert experiment.members()[0].member.dataset.source == wanted
        assert loads(dumps(experiment), registry) == experiment


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"digit"', r"\[dataset\] source\.kind = 'digit': unknown kind; did you mean 'digits'"),
        ('{ kind = "permuted" }', r"source\.kind = 'permuted': unknown kind; .*registered are mnist,"),
        ('{ kind = "digits", layot = "rows" }', r"source\.layot: unknown field; did you mean 'layout'"),
        ("3", r"source = 3: must be a table"),
    ],
)
def test_a_source_that_is_none_is_named(registry: Registry, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        loads(f'name = "x"\ndataset = {{ kind = "permuted", source = {text} }}', registry)


def test_a_source_without_labels_or_with_tasks_of_its_own_is_refused() -> None:
    for source, told in (
        (Cubic(), "source 'cubic' does not have one label for each example; take a classification"),
        (Permuted(), "source 'permuted' has several tasks of its own"),
    ):
        with pytest.raises(DataError, match=told):
            planning.load_data.__wrapped__(Permuted(source=source), "float32", torch.device("cpu"))


def test_the_files_of_a_source_identify_what_is_trained_and_their_place_does_not(
    registry: Registry, tmp_path: Path
) -> None:
    text = 'name = "x"\ndataset = { kind = "permuted", source = { kind = "arrays", train = "own.csv" } }'
    found = {}
    for folder, more in (("here", ""), ("there", ""), ("else", "2,1\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.csv").write_text("a,b\n" + "1,0\n3,1\n" * 5 + more)
        experiment = loads(text, registry, folder=str(tmp_path / folder))
        found[folder] = digest(experiment), experiment.members()[0].setting.digest
        assert experiment.members()[0].member.dataset.source.folder == str(tmp_path / folder)
    assert found["here"] == found["there"]
    assert all(a != b for a, b in zip(found["here"], found["else"], strict=True))


def test_epochs_are_divided_among_the_tasks(registry: Registry) -> None:
    c = cohort(registry, SPEC)
    assert c.data.examples == 1437 == len(Digits().load("train")[0]) and c.batches == 14
    shown = []
    for epoch in range(7):
        order = c.order(epoch)
        assert order.shape == (14, 100) and len(order.unique()) == 1400
        (stage,) = c.data.stage[order].unique().tolist()
        assert torch.equal(c.data.stage[order].unique(), order.unique().div(1437, rounding_mode="floor").unique())
        shown.append(stage)
    assert shown == [0, 0, 0, 1, 1, 2, 2]


def test_training_is_that_of_one_task_after_the_other(registry: Registry) -> None:
    """The data of the other tasks are made useless, one at a time: what is not shown cannot matter."""
    c = cohort(registry, SPEC)
    state, reached = c.start(), []
    for _ in train(c, state):
        if state.batch == 0 and state.epoch in (3, 5, 7) and len(reached) < (3, 5, 7).index(state.epoch) + 1:
            reached.append([m.clone() for m in state.parameters.mu])
    for stage, ends in ((1, 3), (2, 5)):
        other = cohort(registry, SPEC)
        x = torch.where((other.data.stage >= stage)[:, None], 0, other.data.x)
        other.data = replace(other.data, x=x)
        state = other.start()
        for _ in train(other, state):
            if state.epoch == ends and state.batch == 0:
                break
        assert all(torch.equal(a, b) for a, b in zip(state.parameters.mu, reached[stage - 1], strict=True))
        for _ in train(other, state):
            pass
        assert not torch.equal(state.parameters.mu[0], reached[-1][0])


def test_networks_are_measured_on_the_last_task_and_scored_on_each(registry: Registry) -> None:
    c = cohort(registry, SPEC)
    state = trained(c)
    (found,) = measure(c, state)
    alone = cohort(registry, SPEC)
    alone.data = alone.data.parts[-1]
    (wanted,) = measure(alone, state)
    for name, value in wanted.metrics.items():
        assert found.metrics[name] == pytest.approx(value, nan_ok=True, abs=0), name
    assert found.metrics["n_examples"] == 1437
    for k in range(3):
        x, y = (t.view(3, -1, *t.shape[1:])[k] for t in (c.data.x_test, c.data.y_test))
        outputs = c.network.forward(c.layered(state.parameters.mu), x)[0]
        right = (outputs.argmax(-1) == y).double().mean().item()
        assert found.metrics[f"accuracy_mean_stage_{k + 1}"] == pytest.approx(right)
        assert found.curves[f"accuracy_test_stage_{k + 1}"][-1] == pytest.approx(right)
    stage = [0, 0, 0, 0, 1, 1, 2, 2]  # before the first epoch, and at the end of each
    by_stage = [found.curves[f"accuracy_test_stage_{k + 1}"] for k in range(3)]
    assert found.curves["accuracy_test"].tolist() == [by_stage[k][epoch] for epoch, k in enumerate(stage)]
    assert by_stage[0][3] > 0.5 > by_stage[2][3]


def test_an_interrupted_run_goes_on_with_the_task_it_was_at(registry: Registry) -> None:
    c = cohort(registry, SPEC)
    state = c.start()
    for step, _ in enumerate(train(c, state)):
        if step == 65:
            break
    again = checkpoint.unpack(copy.deepcopy(checkpoint.pack(state)), c)
    assert c.stage(again.epoch) == 1 and again.batch
    resumed = list(train(c, again))[-1]
    whole = trained(cohort(registry, SPEC))
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters.mu, whole.parameters.mu, strict=True))
    assert resumed.curves[-1].keys() == whole.curves[-1].keys()


def test_networks_are_evaluated_again_on_what_they_were_measured_on() -> None:
    """The last task, or if all were trained together, all; networks of both kinds have no examples in common."""
    shown = [{}, {"stages": "in_turn"}, {"stages": "together"}]
    run, dataset = SimpleNamespace(member_spec=lambda i: {"training": shown[i]}), Permuted(tasks=3)
    x, _ = dataset.load("train")
    assert torch.equal(examples_of(run, [0, 2], Digits(), "train")[0], Digits().load("train")[0])
    assert torch.equal(examples_of(run, [0, 1], dataset, "train")[0], x[2 * 1437 :])
    assert torch.equal(examples_of(run, [2], dataset, "train")[0], x)
    assert len(examples_of(run, [2], dataset, "test")[1]) == 3 * 360
    with pytest.raises(UserError, match="were measured on different examples"):
        examples_of(run, [1, 2], dataset, "train")


def test_the_training_figure_shows_what_is_forgotten() -> None:
    run = {f"accuracy_test_stage_{k}": np.zeros((1, 3)) for k in range(1, 6)} | {"accuracy_test": np.zeros((1, 3))}
    assert [panel[3][-1] for panel in _stages(run)] == ["1", "3", "5"] and not _stages({"accuracy_test": run})
    curves = (
        "nll_sum",
        "magnitude",
        "reliability",
        "accuracy_train",
        "sigma_median",
        "sigma_rms",
        "mu_travelled",
        "mu_moved",
    )
    about = {"value": np.zeros(1), "field": np.array(["member"]), "group": np.array(["a"]), "label": np.array(["a"])}
    figure = Figure()
    TrainingCurves().draw({**run, **dict.fromkeys(curves, np.ones((1, 3))), **about}, figure)
    assert [ax.get_title() for ax in figure.axes][6:] == [f"test accuracy, stage {k}" for k in (1, 3, 5)]


def test_the_training_figure_says_how_far_the_loss_falls_from_the_first_epoch_that_has_one() -> None:
    loss, sigma = np.array([[np.nan, 8, 2], [np.nan, 8, 4], [np.nan, 8, 6.0]]), np.array([[1, 2, 3.0]] * 3)
    told = TrainingCurves().headline({"nll_sum": loss, "sigma_rms": sigma, "value": np.zeros(3)})
    assert "the loss falls to 0.5 times its first value" in told and "grows to 3 times" in told


def test_fewer_epochs_than_tasks_are_refused(registry: Registry) -> None:
    (point,) = points(registry, SPEC, "training.epochs=2")
    told = r"'permuted' has 3 stages, and training\.epochs = 2 .* set  training\.epochs = 3  or more"
    with pytest.raises(UserError, match=told):
        planning.member_data(point, torch.device("cpu"))


class Staged(Digits):
    """Stages that are wrong."""

    kind: Literal["staged"] = "staged"  # type: ignore[assignment]
    found: ClassVar[dict[str, Tensor | None]] = {}

    def stages(self, split: str) -> Tensor | None:
        return self.found[split]


HALVES = {"train": torch.arange(1437) % 3, "test": torch.arange(360) % 3}
UNFIT = {
    "a stage with more": ({"train": torch.arange(1437) % 2}, r"stages\('train'\) gives the stages 719, 718 examples"),
    "a stage without any": ({"train": torch.arange(1437) % 3 // 2 * 2}, r"has no example of stage 1"),
    "too few": ({"test": torch.arange(350) % 3}, r"stages\('test'\) must be \(360,\) int64 from 0, or None"),
    "numbers": ({"train": HALVES["train"].float()}, r"must be \(1437,\) int64"),
    "negative": ({"train": HALVES["train"] - 1}, "int64 from 0"),
    "one split only": ({"test": None}, "train and test differ in their stages"),
    "another number": ({"test": torch.arange(360) % 2}, "train and test differ in their stages"),
}


@pytest.mark.parametrize(("change", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_stages_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch, change: dict, why: str) -> None:
    monkeypatch.setattr(Staged, "found", HALVES)
    assert planning.load_data.__wrapped__(Staged(), "float32", torch.device("cpu")).stages == 3
    monkeypatch.setattr(Staged, "found", HALVES | change)
    with pytest.raises(DataError, match=f"the data set 'staged' .*{why}"):
        planning.load_data.__wrapped__(Staged(), "float32", torch.device("cpu"))


def test_its_numbers_are_described() -> None:
    units, text = described("accuracy_mean_stage_2")
    assert units == "1" and text.endswith("with the mean weights, on the data of stage 2, counted from 1")
    units, text = described("rmse_readout_3_ensemble")
    assert units == "target" and "sampled networks, of read-out 3, counted from 1" in text
