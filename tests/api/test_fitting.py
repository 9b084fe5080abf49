"""Own data and own networks: every form trains the same network, and bad input is named before anything trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ebayes
from ebayes_core.errors import DataError, SpecError, UserError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(203, 7))
Y = (X @ RNG.normal(size=(7, 3))).argmax(1)
NAMES = [f"f{i}" for i in range(7)]
TABLE = pd.DataFrame(X, columns=NAMES).assign(cell=np.array(["basket", "pyramid", "stellate"])[Y])
SHORT = {"network": {"kind": "mlp", "hidden": [5]}, "training": {"epochs": 2}, "progress": False}


class Pairs(torch.utils.data.Dataset):
    """The examples as a data set of torch."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int):
        return torch.tensor(X[i]), int(Y[i])


def test_every_form_of_the_data_trains_the_same_network(tmp_path: Path) -> None:
    csv = tmp_path / "cells.csv"
    TABLE.to_csv(csv, index=False)
    forms = {
        "arrays": (X, Y), "tensors": (torch.tensor(X), torch.tensor(Y)), "lists": (X.tolist(), Y.tolist()),
        "table": (TABLE, "cell"), "targets": (TABLE[NAMES], TABLE["cell"]), "pairs": (Pairs(), None),
        "file": (csv, "cell"),
    }  # fmt: skip
    found = {name: ebayes.fit(*data, out=tmp_path / f"{name}.h5", **SHORT) for name, data in forms.items()}
    for name, run in found.items():
        np.testing.assert_allclose(run.layer(0, 1, "mu"), found["arrays"].layer(0, 1, "mu"), rtol=1e-5, err_msg=name)


def test_the_data_are_standardised_and_split_as_told(tmp_path: Path) -> None:
    run = ebayes.fit(X, Y, test_fraction=0.3, split_seed=5, out=tmp_path / "a.h5", **SHORT)
    assert run.metric("n_examples") == [203 - round(0.3 * 203)]
    table = run.spec["dataset"]
    assert (table["standardise"], table["test_fraction"], table["split_seed"]) == ("each", 0.3, 5)
    images = ebayes.fit(X.reshape(29, 7, 7, 1)[:, None, :, :, 0], Y[:29], out=tmp_path / "b.h5", **SHORT)
    assert images.spec["dataset"]["standardise"] == "all"
    given = ebayes.fit(X[:100], Y[:100], test=(X[100:], Y[100:]), out=tmp_path / "c.h5", **SHORT)
    assert given.metric("n_examples") == [100]
    as_table = ebayes.fit(TABLE[:100], "cell", test=TABLE[100:], out=tmp_path / "d.h5", **SHORT)
    assert as_table.metric("accuracy_mean") == given.metric("accuracy_mean")


def test_a_regression_and_a_sweep(tmp_path: Path) -> None:
    run = ebayes.fit(
        X, X[:, :2].sum(1), noise_sd=0.5, sweep={"cost.c": np.logspace(-2, -1, 2)}, seeds=(0, 1), cost="actin",
        analysis=["training"], out=tmp_path / "r.h5", **SHORT,
    )  # fmt: skip
    assert len(run.members) == 4 and run.members["rmse_mean"].notna().all()
    assert run.member_spec(0)["cost"]["kind"] == "actin" and run.analyses == ["training"]


def test_other_data_under_the_same_name_replace_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    ebayes.fit(X, Y, out=out, **SHORT)
    before = set(tmp_path.iterdir())
    ebayes.fit(X, Y, out=out, **SHORT)
    assert set(tmp_path.iterdir()) == before
    with pytest.raises(UserError, match="result of another spec"):
        ebayes.fit(-X, Y, out=out, **SHORT)
    assert before < set(tmp_path.iterdir())


def spoilt(value: float) -> np.ndarray:
    """The inputs with a number that cannot be trained on."""
    x = X.copy()
    x[17, 3] = value
    return x


MISTAKES = {
    "lengths": ((X, Y[:-1]), {}, "203 inputs x and 202 targets y: give one target for each"),
    "nan": ((spoilt(np.nan), Y), {}, "x: example 17, counted from 0, is nan .1 such example.: remove or replace it"),
    "column": ((TABLE.assign(f2=np.inf), "cell"), {}, "is inf in column 'f2' .203 such examples"),
    "target": ((TABLE, "cel"), {}, "y = 'cel': the table has no such column; did you mean 'cell'"),
    "no target": ((TABLE,), {}, "give the name of the target column, one of f0, f1"),
    "no y": ((X,), {}, "the targets y are missing"),
    "texts": ((TABLE, "f3"), {}, "column 'cell' of the table is not numeric"),
    "width": (
        (X, Y),
        {"test": (X[:, :3], Y)},
        r"test inputs x have shape \(3,\) per example, those for training \(7,\)",
    ),
    "test nan": ((X, Y), {"test": (spoilt(-np.inf), Y)}, "test x: example 17, counted from 0, is -inf"),
    "label": ((X, Y), {"classes": 2}, "x and y: .* has the label 2: labels are integers from 0 to 1"),
    "negative": ((X, Y - 1), {"classes": 3}, "x and y: example .*, counted from 0, has the label -1"),
    "no integers": ((X, X[:, 0]), {"likelihood": "classification"}, "x and y: labels are integers or texts"),
    "one class": ((X, 0 * Y), {}, "x and y: all labels are 0"),
    "nan target": ((X, np.where(Y == 1, np.nan, X[:, 0])), {}, "y: example .*, counted from 0, is nan"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_bad_data_are_named_before_anything_trains(name: str, tmp_path: Path) -> None:
    data, how, says = MISTAKES[name]
    with pytest.raises(DataError, match=says) as error:
        ebayes.fit(*data, out=tmp_path / "bad.h5", progress=False, **how)
    assert "\n" not in str(error.value) and not (tmp_path / "bad.h5").exists()


def test_bad_fields_are_those_of_a_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"'membran'.*did you mean 'membrane'"):
        ebayes.fit(X, Y, cost="membran", out=tmp_path / "bad.h5")
    with pytest.raises(SpecError, match=r"there is no file .*nowhere\.csv"):
        ebayes.fit(tmp_path / "nowhere.csv", "cell", out=tmp_path / "bad.h5")


def test_a_run_that_failed_at_once_does_not_stand_in_the_way(tmp_path: Path) -> None:
    out = tmp_path / "again.h5"
    with pytest.raises(DataError):
        ebayes.fit(X, 0 * Y, out=out, **SHORT)
    assert ebayes.fit(X, Y, out=out, **SHORT).n_members == 1


def test_labels_need_not_show_every_class(tmp_path: Path) -> None:
    run = ebayes.fit(X, Y, classes=5, out=tmp_path / "five.h5", **SHORT)
    assert run.layer(0, 2, "mu").shape == (5, 6)
