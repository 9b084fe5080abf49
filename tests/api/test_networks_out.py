"""The networks of a run, taken out of it from Python; `tests/trained` has the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ebayes
from ebayes_core.errors import AbsentError, UserError

RNG = np.random.default_rng(0)
X, NAMES = RNG.normal(3.0, 5.0, size=(150, 4)), ["a", "b", "c", "d"]
TABLE = pd.DataFrame(X, columns=NAMES).assign(cell=np.where(X[:, 0] > X[:, 1], "on", "off"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ebayes.Run:
    out = tmp_path_factory.mktemp("out") / "cells.h5"
    how = {"network": {"kind": "mlp", "hidden": [6]}, "training": {"epochs": 20}, "progress": False}
    how["optimizer"] = {"kind": "adam", "learning_rate": 1e-2}
    return ebayes.fit(TABLE, "cell", test=TABLE[:40], out=out, **how)


def test_raw_inputs_are_prepared_as_those_for_training(run: ebayes.Run) -> None:
    x, y = run.examples("train")
    torch.testing.assert_close(run.prepare(X), x)
    torch.testing.assert_close(run.prepare(torch.tensor(X)), x)
    torch.testing.assert_close(run.prepare(TABLE[NAMES]), x)
    assert y.tolist() == [int(cell == "on") for cell in TABLE["cell"]]


def test_columns_of_a_table_are_found_by_name(run: ebayes.Run) -> None:
    shuffled = TABLE[["c", "cell", "a", "d", "b"]]
    torch.testing.assert_close(run.prepare(shuffled), run.prepare(X))
    with pytest.raises(UserError, match="'b'"):
        run.prepare(TABLE.drop(columns="b"))


def test_predictions_name_the_classes(run: ebayes.Run) -> None:
    found = run.predict(TABLE, samples=30)
    assert set(found.label) == {"on", "off"} and found.classes == ("off", "on")
    assert (found.label == TABLE["cell"]).mean() > 0.8
    np.testing.assert_allclose(found.entropy, found.aleatoric + found.epistemic)
    assert run.predict().mean.shape == (40, 2)
    assert list(found.frame())[:3] == ["label", "mean.off", "mean.on"]


def test_the_module_agrees_with_the_measured_accuracy(run: ebayes.Run) -> None:
    x, y = run.examples("test")
    with torch.no_grad():
        right = (run.module()(x).argmax(1) == y).float().mean().item()
    assert right == pytest.approx(run.metric("accuracy_mean")[0])


def test_what_does_not_fit_is_named(run: ebayes.Run) -> None:
    with pytest.raises(AbsentError, match="no network 3; there are 1"):
        run.module(3)
    with pytest.raises(UserError, match=r"inputs x have shape \(150, 3\)|\(4,\)"):
        run.predict(X[:, :3])
    with pytest.raises(UserError, match=r"no split .validation.: choose train or test"):
        run.examples("validation")


def test_a_network_can_be_taken_where_its_data_are_not(tmp_path: Path) -> None:
    run = ebayes.fit(X, TABLE["cell"], out=tmp_path / "a.h5", training={"epochs": 1}, progress=False)
    x = run.examples("test")[0]
    before = run.module()(x)
    (data,) = tmp_path.glob("*.npz")
    data.unlink()
    alone = ebayes.open(tmp_path / "a.h5")
    torch.testing.assert_close(alone.module()(x), before)
    assert alone.module().sample()(x).shape == before.shape
    with pytest.raises(UserError, match="there is no file"):
        alone.module().ensemble(3)
    with pytest.raises(UserError, match="there is no file"):
        alone.predict(X)
