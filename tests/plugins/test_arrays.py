"""Data in files of one's own: what is read, what is refused and how it is said, and what identifies a result."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from ebayes_core import spec as specs
from ebayes_core.contract.compound import Stepwise
from ebayes_core.contract.likelihoods import Classification, Regression
from ebayes_core.contract.registry import Registry
from ebayes_core.engine.data import load
from ebayes_core.errors import DataError, SpecError, UserError
from ebayes_core.results.reader import Run
from ebayes_core.sweeps.folder import Folder
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.run import begin, run
from ebayes_core.sweeps.worker import work
from ebayes_core.testing import check_dataset
from ebayes_plugins.analyses._rebuilt import dataset_of
from ebayes_plugins.datasets import Arrays

RANDOM = np.random.default_rng(0)
X, LABELS = RANDOM.normal(3, 2, size=(23, 3)), np.array(["cat", "ape", "dog"])[np.arange(23) % 3]
Y = X.sum(1) / 7


def written(path: Path, header: str, *columns: Any) -> Path:
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def csv_of(path: Path, targets: Any = LABELS) -> Path:
    return written(path, "a,b,c,kind", *X.T, targets)


def whole(dataset: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Both splits together, in the order of the file: inputs are told apart by their values."""
    x, y = (torch.cat(parts).numpy() for parts in zip(dataset.load("train"), dataset.load("test"), strict=True))
    return x, y


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".h5", ".HDF5"])
def test_every_format_gives_the_same_examples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    if suffix == ".csv":
        csv_of(path)
    elif suffix == ".npz":
        np.savez(path, x=X, y=LABELS)
    else:
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = X, LABELS.astype("S3")
    dataset = Arrays(train=str(path), standardise="none", test_fraction=0.3)
    assert dataset.task() == Classification(3)
    x, y = whole(dataset)
    order = [int(np.flatnonzero((row == X).all(1)).item()) for row in x]
    assert sorted(order) == list(range(23)) and len(dataset.load("test")[0]) == 7
    assert (np.array(["ape", "cat", "dog"])[y] == LABELS[order]).all()
    assert sorted(np.bincount(dataset.load("test")[1])) == [2, 2, 3]  # a share of each class


def test_a_file_of_one_array_has_its_targets_in_the_last_column(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.column_stack([X, Y]))
    np.save(tmp_path / "b.npy", np.column_stack([X[:5], Y[:5]]))
    dataset = Arrays(train=str(tmp_path / "a.npy"), test=str(tmp_path / "b.npy"), standardise="none", noise_sd=0.3)
    assert dataset.task() == Regression(1, 0.3)
    assert (dataset.load("train")[1].numpy() == Y[:, None]).all() and (dataset.load("test")[0].numpy() == X[:5]).all()
    np.save(tmp_path / "c.npy", np.column_stack([X, np.arange(23) % 4 + 2]))
    assert Arrays(train=str(tmp_path / "c.npy")).task() == Classification(4)


@pytest.mark.parametrize(
    ("targets", "options", "task"),
    [
        (np.arange(23) % 4, {}, Classification(4)),
        (np.arange(23) % 2 * 2 - 1, {}, Classification(2)),
        (np.arange(23) % 2 == 0, {}, Classification(2)),
        (np.arange(23) % 4 * 1.0, {}, Regression(1, 1.0)),
        (np.arange(23) % 4 * 1.0, {"likelihood": "classification"}, Classification(4)),
        (np.arange(23)[:, None] % 4, {}, Classification(4)),
        (np.arange(23) % 4, {"likelihood": "regression", "noise_sd": 2.0}, Regression(1, 2.0)),
        (X[:, :2], {}, Regression(2, 1.0)),
        (np.tile(np.arange(23)[:, None] % 3 - 1, (1, 4)) + 0 * np.arange(4), {}, None),
        (X[:, :2, None] * np.ones(5), {"noise_sd": 0.5}, Stepwise(Regression(5, 0.5), 2)),
    ],
)
def test_the_likelihood_follows_from_the_targets(tmp_path: Path, targets: Any, options: dict, task: Any) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=targets)
    dataset = Arrays(train=str(tmp_path / "a.npz"), **options)
    if task is None:  # a third of the examples has no label at any step
        with pytest.raises(DataError, match="every example needs a target at one step"):
            load(dataset, dataset.task())
        return
    assert dataset.task() == task
    load(dataset, dataset.task())


def test_sequences_have_a_loss_at_every_step_that_has_a_label(tmp_path: Path) -> None:
    steps = np.where(np.arange(6) > np.arange(23)[:, None] % 6, -1, 5 * (np.arange(23)[:, None] % 2) + 5)
    np.savez(tmp_path / "a.npz", x=np.ones((23, 6, 2)) * np.arange(6)[:, None], y=steps)
    dataset = Arrays(train=str(tmp_path / "a.npz"), standardise="none")
    assert dataset.task() == Stepwise(Classification(2), 6)
    assert load(dataset, dataset.task())[0].shape[1:] == (6, 2)
    (_, y), (_, y_test) = dataset.load("train"), dataset.load("test")
    known = np.sort(np.where(steps == -1, -1, steps // 5 - 1).ravel())
    assert (np.sort(torch.cat([y, y_test]).numpy().ravel()) == known).all()


def test_inputs_are_standardised_with_the_training_set(tmp_path: Path) -> None:
    x = np.column_stack([X, np.full(23, 7.3)])
    np.savez(tmp_path / "a.npz", x=x, y=LABELS), np.savez(tmp_path / "b.npz", x=x[:9] + 1, y=LABELS[:9])
    files = {"train": str(tmp_path / "a.npz"), "test": str(tmp_path / "b.npz")}
    each, every = Arrays(**files), Arrays(**files, standardise="all")
    mean, sd = X.mean(0), X.std(0)
    for found, wanted in ((each.load("train")[0], (X - mean) / sd), (each.load("test")[0], (X[:9] + 1 - mean) / sd)):
        assert np.allclose(found[:, :3], wanted) and not found[:, 3].any()
    assert np.allclose(every.load("test")[0], (x[:9] + 1 - x.mean()) / x.std())


def test_columns_of_a_table_are_chosen_by_name(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv")
    dataset = Arrays(train=str(path), inputs="c, a", targets="b", standardise="none", noise_sd=1.0)
    x, y = whole(dataset)
    order = [int(np.flatnonzero(X[:, 2] == row[0]).item()) for row in x]
    assert (x == X[order][:, [2, 0]]).all() and (y == X[order][:, 1:2]).all()
    both = Arrays(train=str(path), inputs="a", targets="b,c")
    assert both.task() == Regression(2, 1.0)


def test_a_table_with_a_mark_quotes_and_blank_lines_is_read(tmp_path: Path) -> None:
    lines = ['\ufeff"a","b,c",y', *(f'{i / 8},"{-i}","x{i % 2}"' for i in range(9))]
    (tmp_path / "a.csv").write_text("\r\n\r\n".join(lines), encoding="utf-8")
    x, _ = whole(Arrays(train=str(tmp_path / "a.csv"), inputs="a", targets="y", standardise="none"))
    assert sorted(x[:, 0]) == [i / 8 for i in range(9)]


def test_the_check_for_authors_accepts_it(tmp_path: Path) -> None:
    check_dataset(Arrays, Arrays(train=str(csv_of(tmp_path / "a.csv"))))


HEAD = "a,b,y\n"
BAD_TABLES = {
    "a row too short": (HEAD + "1,2,3\n1,2\n", "line 3 has 2 cells, and the first line names 3 columns"),
    "a row too long": (HEAD + "\n1,2,3,4\n", "line 3 has 4 cells"),
    "a word": (HEAD + "1,2,3\n1,two,3\n", "line 3, column 'b': 'two' is not a finite number"),
    "an empty cell": (HEAD + "1,,3\n", "line 2, column 'b': '' is not a finite number"),
    "an underscore": (HEAD + "1_0,2,3\n", "line 2, column 'a': '1_0' is not"),
    "NaN": (HEAD + "1,2,3\n4,nan,3\n", "line 3, column 'b': 'nan' is not a finite number"),
    "a word among numbers": (HEAD + "1,2,0.5\n1,2,x\n", "line 3, column 'y': 'x' is not a finite number"),
    "no label": (HEAD + "1,2,u\n1,2,\n", "line 3, column 'y': '' is empty"),
    "no names": ("1,2,3\n4,5,6\n", "line 1 has to name the columns, and contains numbers"),
    "a name twice": ("a,a,y\n1,2,3\n", "two columns are called 'a'"),
    "no rows": (HEAD, "it has 0 inputs and 0 targets"),
    "nothing": ("", "it is empty"),
    "one column": ("y\n1\n2\n", "a column is an input or a target"),
    "one class": (HEAD + "1,2,u\n3,4,u\n", "all labels are u: a classification needs two classes"),
    "counts": (
        HEAD + "".join(f"1,2,{i}\n" for i in range(9)),
        'classes or numbers: set  likelihood = "classification"',
    ),
    "a class with one example": (HEAD + "1,2,u\n" + 6 * "1,2,v\n", "a share of 0.2 cannot be held out"),
    "an open quote": (HEAD + '1,2,"u\n', "line 2 is not CSV"),
}


@pytest.mark.parametrize(("text", "why"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_mistake_in_a_table_is_named_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{re.escape(why)}"):
        Arrays(train=str(path)).task()


BAD_ARRAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another name": ({"x": X, "label": LABELS}, {"targets": "labels"}, "no array 'labels'; did you mean 'label'"),
    "no such name": ({"q": X, "r": LABELS}, {}, "no array 'x'; arrays are q, r; set inputs to one of them"),
    "lengths": ({"x": X, "y": LABELS[:9]}, {}, "it has 23 inputs and 9 targets"),
    "no examples": ({"x": X[:0], "y": LABELS[:0]}, {}, "it has 0 inputs and 0 targets"),
    "NaN": ({"x": np.where(X[4, 1] == X, np.nan, X), "y": LABELS}, {}, "example 4, counted from 0, has the input nan"),
    "texts": ({"x": LABELS, "y": LABELS}, {}, "inputs are numbers of shape (examples, ...), not (23,) <U3"),
    "objects": ({"x": X, "y": np.array([[1], None], dtype=object)}, {}, "Object arrays cannot be loaded"),
    "half a label": ({"x": X, "y": Y}, {"likelihood": "classification"}, "labels are integers or texts"),
    "complex": ({"x": X, "y": Y + 1j}, {}, "targets of a regression are numbers"),
    "text to fit": ({"x": X, "y": LABELS}, {"likelihood": "regression"}, "targets of a regression are numbers"),
    "noise of classes": ({"x": X, "y": LABELS}, {"noise_sd": 1.0}, "its targets are classes: leave out noise_sd"),
}


@pytest.mark.parametrize(("arrays", "options", "why"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_a_mistake_in_an_array_is_named(tmp_path: Path, arrays: dict, options: dict, why: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{re.escape(why)}"):
        Arrays(train=str(path), **options).task()


def test_no_file_can_run_code(tmp_path: Path) -> None:
    """A pickle may run anything when it is loaded."""

    class Harm:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return (tmp_path / "harm").touch, ()

    harmful = np.array([[Harm()], [1]], dtype=object)
    np.save(tmp_path / "a.npy", harmful, allow_pickle=True), np.savez(tmp_path / "a.npz", x=harmful, y=harmful)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="allow_pickle=False"):
            Arrays(train=str(tmp_path / name)).task()
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
@pytest.mark.parametrize("change", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"nonsense" * 99])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, change: Callable) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = X, LABELS.astype("S3")
    else:
        held = io.BytesIO()
        np.savez(held, x=X, y=LABELS) if suffix == ".npz" else np.save(held, np.column_stack([X, Y]))
        path.write_bytes(held.getvalue())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: "):
        Arrays(train=str(path)).task()


def test_train_and_test_have_to_fit_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=LABELS), np.savez(tmp_path / "b.npz", x=X[:, :2], y=LABELS)
    np.savez(tmp_path / "c.npz", x=X, y=np.where(LABELS == "cat", "cow", LABELS))
    both = lambda name: Arrays(train=str(tmp_path / "a.npz"), test=str(tmp_path / name))
    with pytest.raises(DataError, match=r"b.npz: its examples have shape \(2,\), those for training \(3,\)"):
        both("b.npz").load("train")
    with pytest.raises(DataError, match=r"c.npz: example 0, counted from 0, has the label cow, which no training"):
        both("c.npz").load("train")


# --- in a spec -------------------------------------------------------------------------------------------------------

SPEC = """
name = "own"
dataset = { kind = "arrays", train = "own.csv" }
network = { kind = "mlp", hidden = [3] }
training = { epochs = 1, batch_size = 5 }
measurement = { samples = 2 }
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def laid(folder: Path, text: str = SPEC) -> Path:
    folder.mkdir(exist_ok=True)
    csv_of(folder / "own.csv")
    (folder / "own.toml").write_text(text)
    return folder / "own.toml"


def test_files_are_found_beside_the_spec_and_their_content_identifies_the_networks(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (specs.load(laid(tmp_path / name), registry) for name in ("here", "there"))
    identity = lambda e: (specs.digest(e), e.members()[0].setting.digest)
    assert identity(here) == identity(there)
    assert here.members()[0].member.dataset.folder == str(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert identity(specs.load("own.toml", registry)) == identity(here)
    monkeypatch.chdir(tmp_path)
    assert identity(specs.load("here/own.toml", registry)) == identity(here)
    content = (tmp_path / "there" / "own.csv").read_text().replace("cat", "dog", 1)
    (tmp_path / "there" / "own.csv").write_text(content)
    changed = identity(specs.load(tmp_path / "there" / "own.toml", registry))
    assert all(a != b for a, b in zip(changed, identity(here), strict=True))


def test_every_file_of_a_sweep_counts(tmp_path: Path, registry: Registry) -> None:
    path = laid(tmp_path, SPEC + '[sweep]\n"dataset.train" = ["own.csv", "more.csv"]\n')
    csv_of(tmp_path / "more.csv", np.roll(LABELS, 1))
    before = specs.load(path, registry)
    digests = {p.member.dataset.digest for p in before.members()}
    assert len(digests) == 2
    csv_of(tmp_path / "more.csv", np.roll(LABELS, 2))
    assert specs.digest(specs.load(path, registry)) != specs.digest(before)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('train = "won.csv"', "dataset: there is no file .*won.csv; did you mean 'own.csv'"),
        ('train = "own.txt"', "train = 'own.txt': must be a file ending in .csv, .npz, .npy, .h5, .hdf5"),
        (f'train = "own.csv", digest = "{64 * "0"}"', "dataset: digest is 000.*, and that of own.csv is [0-9a-f]{64}$"),
        ('train = "own.csv", test = "own.csv", split_seed = 1', "test_fraction and split_seed split a single file"),
        ('train = "own.csv", likelihood = "classification", noise_sd = 1', "noise_sd belongs to a regression"),
        ("", "train: is required but missing"),
    ],
)
def test_mistakes_of_the_table_are_told_when_the_spec_is_read(
    tmp_path: Path, registry: Registry, table: str, why: str
) -> None:
    text = SPEC.replace(', train = "own.csv"', f", {table}" if table else "")
    with pytest.raises(SpecError, match=why):
        specs.load(laid(tmp_path, text), registry)


def test_a_sweep_is_worked_on_from_another_folder(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = laid(tmp_path / "specs")
    experiment = specs.load(path, registry)
    begin(experiment, path.read_text(), registry, tmp_path / "sweep", Options())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = Folder(tmp_path / "sweep")
    work(folder, registry, Options(strict=True))
    (member,) = folder.whole_experiment(registry).members()
    assert member.setting.digest == experiment.members()[0].setting.digest
    with Run(folder.finished()[0]) as found:
        assert dataset_of(found, [0], "mine").load("train")[0].shape == (18, 3)
        csv_of(tmp_path / "specs" / "own.csv", np.roll(LABELS, 1))
        with pytest.raises(UserError, match=r"the content has changed since the spec was read \(digest"):
            dataset_of(found, [0], "mine")


def test_other_data_are_another_result(tmp_path: Path, registry: Registry) -> None:
    path = laid(tmp_path / "a")
    out = tmp_path / "own.h5"
    assert run(specs.load(path, registry), SPEC, registry, out)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert not run(specs.load(tmp_path / "b" / "own.toml", registry), SPEC, registry, out)
    csv_of(tmp_path / "b" / "own.csv", np.roll(LABELS, 1))
    with pytest.raises(UserError, match="contains the result of another spec"):
        run(specs.load(tmp_path / "b" / "own.toml", registry), SPEC, registry, out)


def test_content_that_changes_without_a_trace_is_noticed_before_training(tmp_path: Path, registry: Registry) -> None:
    """Some file systems note the time of a change in whole seconds, so that time and size may stay the same."""
    path = tmp_path / "own.csv"
    (member,) = specs.load(laid(tmp_path), registry).members()
    about, text = path.stat(), path.read_text()
    member.member.dataset.load("train")
    path.write_text(text.replace("cat", "dog", 1))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(DataError, match="the content has changed since the spec was read"):
        member.member.dataset.load("train")
