"""Provenance: the digest of the data, and whether the update was compiled, for one run and for merged ones."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Classification, Likelihood, Regression
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Dataset
from ebayes_core.engine import data, kernel
from ebayes_core.errors import DataError, Interrupted
from ebayes_core.results import provenance
from ebayes_core.results.provenance import described, merged
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps import planning
from ebayes_core.sweeps.options import Options, Watcher
from ebayes_core.sweeps.run import begin, collect, run
from ebayes_core.sweeps.worker import work
from ebayes_plugins.datasets import Digits
from tests.sweeps.test_run import StopAt

SPEC = """
name = "known"
network = { kind = "mlp", hidden = [4] }
training = { epochs = 1, batch_size = 300 }
measurement = { samples = 2 }
"""
DIGITS = SPEC + 'dataset = { kind = "digits" }\n'


class Notes(Watcher):
    """Records its messages."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(autouse=True)
def loaded_anew() -> None:
    planning.load_data.cache_clear()
    yield
    planning.load_data.cache_clear()


def trained(text: str, registry: Registry, path: Path, **options: Any) -> dict[str, Any]:
    run(loads(text, registry), text, registry, path, Options(device="cpu", **options))
    with Run(path) as found:
        return found.provenance


# --- the digest ------------------------------------------------------------------------------------------------------


def test_a_digest_is_of_shapes_and_numbers_in_their_order() -> None:
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0])
    plain = b"f(2, 2)" + struct.pack("<4f", 1, 2, 3, 4) + b"i(2,)" + struct.pack("<2q", 1, 0)
    assert data.digest((x, y)) == hashlib.sha256(plain).hexdigest()
    assert data.digest((x.double(), y)) == data.digest((x, y))
    assert data.digest((x.T.contiguous().T, y)) == data.digest((x, y))
    others = [(x.view(4, 1), y), (x, y.flip(0)), (x.T, y), (x, y.float()), (y, x), (x * (1 + 2**-23), y)]
    assert len({data.digest(parts) for parts in [*others, (x, y)]}) == len(others) + 1


def test_the_digest_is_the_same_in_both_precisions(registry: Registry, tmp_path: Path) -> None:
    found = [
        trained(DIGITS.replace("300", f'300, dtype = "{dtype}"'), registry, tmp_path / f"{dtype}.h5")["data"]
        for dtype in ("float32", "float64")
    ]
    assert found[0] == found[1]
    (known,) = found[0].items()
    loaded = [t for split in ("train", "test") for t in Digits().load(split)]
    assert known == (json.dumps(Digits().model_dump(mode="json", exclude_none=True)), [data.digest(loaded)])


def test_one_flipped_pixel_is_another_digest(registry: Registry, tmp_path: Path, monkeypatch) -> None:
    before = trained(DIGITS, registry, tmp_path / "a.h5")
    flipped(monkeypatch)
    after = trained(DIGITS, registry, tmp_path / "b.h5")
    assert before["digest"] == after["digest"] and before["data"] != after["data"]


def flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits with one pixel changed by one grey level."""
    real = Digits.heap

    def heap(self: Digits) -> Any:
        x, y = real(self)
        x = x.copy()
        x[7, 30] += 1 / 16
        return x, y

    monkeypatch.setattr(Digits, "heap", heap)
    planning.load_data.cache_clear()


def test_a_sweep_over_data_sets_has_a_digest_of_each(registry: Registry, tmp_path: Path) -> None:
    table = SPEC + '[sweep]\ndataset = [{ kind = "digits" }, { kind = "cubic" }, { kind = "cubic", seed = 1 }]\n'
    found = trained(table, registry, tmp_path / "sweep.h5")
    kinds = [json.loads(spec)["kind"] for spec in found["data"]]
    digests = [digest for known in found["data"].values() for digest in known]
    assert kinds == ["digits", "cubic", "cubic"] and len(set(digests)) == 3
    assert [item["data"] for item in found["items"]] == [{spec: known} for spec, known in found["data"].items()]
    assert found["compiled"] == {"no: too little work": 3}


# --- going on, and putting together ----------------------------------------------------------------------------------


def test_a_run_goes_on_only_with_the_data_it_began_with(registry: Registry, tmp_path: Path, monkeypatch) -> None:
    text = DIGITS.replace("epochs = 1", "epochs = 3")
    with pytest.raises(Interrupted):
        trained(text, registry, tmp_path / "a.h5", watcher=StopAt(6))
    with monkeypatch.context() as patch:
        flipped(patch)
        with pytest.raises(DataError, match=r"'digits' is not the one the run started with \(digest .*--fresh"):
            trained(text, registry, tmp_path / "a.h5")
    planning.load_data.cache_clear()
    assert trained(text, registry, tmp_path / "a.h5")["data"] == trained(text, registry, tmp_path / "b.h5")["data"]


def test_networks_of_one_sweep_trained_on_different_data_are_told(
    registry: Registry, tmp_path: Path, monkeypatch, caplog
) -> None:
    text = "seeds = [0, 1]\n" + DIGITS
    experiment, options = loads(text, registry), Options(device="cpu", wait=False)
    folder = begin(experiment, text, registry, tmp_path / "sweep", options)
    first, second = (item.name for item in folder.items(folder.states()))
    work(folder, registry, Options(device="cpu", only=first))
    flipped(monkeypatch)
    work(folder, registry, Options(device="cpu", only=second))
    assert not collect(folder, experiment, registry, tmp_path / "all.h5")
    with Run(tmp_path / "all.h5") as found:
        (digests,) = found.provenance["data"].values()
    assert len(set(digests)) == 2
    assert f"different data of one name: digits {digests[0][:12]} or {digests[1][:12]}" in caplog.text


def test_a_worker_whose_data_are_damaged_ends_and_counts_against_no_network(
    registry: Registry, tmp_path: Path, monkeypatch
) -> None:
    experiment = loads(DIGITS, registry)
    folder = begin(experiment, DIGITS, registry, tmp_path / "sweep", Options(device="cpu"))
    with monkeypatch.context() as patch:

        def damaged(self: Digits) -> Any:
            raise DataError("digits: /here/digits is damaged")

        patch.setattr(Digits, "heap", damaged)
        planning.load_data.cache_clear()
        with pytest.raises(DataError, match="/here/digits is damaged"):
            work(folder, registry, Options(device="cpu"))
    assert not [path for path in folder.work.iterdir() if "error" in path.name or "lease" in path.name]
    work(folder, registry, Options(device="cpu"))
    assert len(folder.finished()) == 1


# --- compiled, or why not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compile", "works", "how"),
    [
        (None, True, "no: too little work"), (False, True, "no: --compile off"), (True, True, "yes"),
        (True, False, "no: no working compiler"),
    ],
)  # fmt: skip
def test_a_file_says_whether_its_run_was_compiled(
    registry: Registry, tmp_path: Path, monkeypatch, compile: bool | None, works: bool, how: str
) -> None:
    """The kernel itself is tested elsewhere: here the plain step is used in its place."""
    monkeypatch.setattr(kernel, "compiled", lambda step, *_: step if works else None)
    monkeypatch.setattr(kernel, "_native", lambda *_: None)
    found = trained(DIGITS, registry, tmp_path / "a.h5", compile=compile)
    assert found["compiled"] == {how: 1}


def test_a_run_that_goes_on_otherwise_says_so_and_keeps_both(registry: Registry, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(kernel, "compiled", lambda step, *_: step)
    monkeypatch.setattr(kernel, "_native", lambda *_: None)
    text = DIGITS.replace("epochs = 1", "epochs = 3")
    with pytest.raises(Interrupted):
        trained(text, registry, tmp_path / "a.h5", watcher=StopAt(6), compile=True)
    notes = Notes()
    found = trained(text, registry, tmp_path / "a.h5", watcher=notes, compile=False)
    told = "the run was compiled and now is not compiled: --compile off: training continues, but rounding differs"
    assert [note for note in notes.told if note.startswith(told)]
    assert found["compiled"] == {"yes, then no: --compile off": 1}


def test_interruptions_are_strung_together_once() -> None:
    assert provenance.since("", "yes") == provenance.since("yes", "yes") == "yes"
    twice = provenance.since(provenance.since("yes", "no: --compile off"), "no: --compile off")
    assert twice == "yes, then no: --compile off"
    assert not [*provenance.changes({"threads": 2}, 2, "yes")]  # a checkpoint that does not say
    assert [*provenance.changes({"threads": 1, "compiled": twice}, 2, "no: --compile off")] == [
        "the run had 1 threads and now has 2"
    ]


def test_items_are_added_up_by_networks_and_old_ones_are_left_out() -> None:
    made = lambda how, n, kind, digest, *shapes: provenance.made(
        how, n, {"kind": kind}, provenance.Made(digest, *shapes)
    )
    items = [
        {"networks": n, **made(how, 99, "a", "1", (5,), (2,))} for n, how in ((3, "yes"), (2, "no: x"), (4, "yes"))
    ]
    found = merged([*items, {"networks": 5}, {"networks": 1, **made("yes", 1, "b", "2", (1, 4, 4), (3, 2))}])
    assert found == {
        "compiled": {"yes": 8, "no: x": 2},
        "data": {'{"kind": "a"}': ["1"], '{"kind": "b"}': ["2"]},
        "shapes": {
            '{"kind": "a"}': {"inputs": [5], "outputs": [2]},
            '{"kind": "b"}': {"inputs": [1, 4, 4], "outputs": [3, 2]},
        },
    }
    assert provenance.shapes_of(found, {"kind": "b"}) == ((1, 4, 4), (3, 2))
    assert provenance.shapes_of(found, {"kind": "c"}) is None and provenance.shapes_of({}, {"kind": "b"}) is None


@pytest.mark.parametrize(
    "odd", [None, 3, {"inputs": [5]}, {"inputs": [5], "outputs": ["2"]}, {"inputs": [-1], "outputs": []}]
)
def test_shapes_in_a_file_from_somebody_else_may_be_anything(odd: object) -> None:
    assert provenance.shapes_of({"shapes": {'{"kind": "a"}': odd}}, {"kind": "a"}) is None


# --- in words --------------------------------------------------------------------------------------------------------

RECORD = {
    "device": "cpu", "processor": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "threads": 1, "host": "secret",
    "command": "ebayes run /home/secret", "compiled": {"yes": 3}, "data": {'{"kind": "mnist"}': ["3f2a91c04b7d" * 5]},
}  # fmt: skip
WORDS = {
    "compiled; data: mnist 3f2a91c04b7d": {},
    "not compiled: too little work; data: mnist 3f2a91c04b7d": {"compiled": {"no: too little work": 3}},
    "compiled: yes, then no: x; data: mnist 3f2a91c04b7d": {"compiled": {"yes, then no: x": 3}},
    "compiled for 3 of 5 networks; data: mnist 3f2a91c04b7d": {"compiled": {"yes": 3, "no: x": 2}},
    "data: mnist 3f2a91c04b7d": {"compiled": "strange"},
    "compiled": {"data": None},
    "compiled; data: a 1 or 2, b 3": {"data": {'{"kind": "a"}': ["1", "2"], '{"kind": "b"}': ["3"]}},
}


@pytest.mark.parametrize(("line", "more"), [(line, more) for line, more in WORDS.items()], ids=WORDS.keys())
def test_how_it_was_computed_and_from_what_in_a_line(line: str, more: dict[str, Any]) -> None:
    assert described(RECORD | more).splitlines()[1] == line


def test_two_lines_of_eighty_columns_whatever_there_is_to_say() -> None:
    many = {json.dumps({"kind": f"data_set_{i}"}): ["0" * 64, "1" * 64] for i in range(20)}
    items = [{"device": "cpu", "host": str(i)} for i in range(30)]
    full = described(RECORD | {"items": items, "data": many, "compiled": {"yes": 2000, "no: x": 2000}})
    assert all(len(line) <= 80 for line in full.splitlines()) and len(full.splitlines()) == 2
    assert "29 other machines" in full and full.endswith("20 data sets") and "secret" not in described(RECORD)
    assert described({"data": {key: ["0" * 64] for key in "abcdefghij"}}).endswith(" and 6 more")
    assert described({}) == "" and described({"device": "NVIDIA H100"}) == "trained on NVIDIA H100"
    assert described({"data": {"no json": ["1"]}}) == "data: no json 1"


# --- data that do not fit their task ---------------------------------------------------------------------------------


class Given(Dataset):
    """Returns the given arrays."""

    kind: Literal["given"] = "given"
    parts: ClassVar[dict[str, Any]] = {}
    about: ClassVar[Likelihood] = Classification(3)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        return self.parts[split]

    def task(self) -> Likelihood:
        return self.about


X, Y, TARGETS = torch.ones(6, 2), torch.tensor([0, 1, 2, 0, 1, 2]), torch.ones(6, 1)


def at(t: Tensor, where: Any, value: float) -> Tensor:
    changed = copy.deepcopy(t)
    changed[where] = value
    return changed


UNFIT = {
    "a label too large": ((X, at(Y, 4, 200)), "from 0 to 2; example 4, counted from 0, has 200"),
    "a negative label": ((X, at(Y, 1, -1)), "example 1, counted from 0, has -1"),
    "labels that are no integers": ((X, Y.float()), "int64 from 0 to 2, not .* torch.float32"),
    "labels in a column": ((X, Y[:, None]), r"not \(6, 1\) torch.int64"),
    "NaN": ((at(X, (3, 1), float("nan")), Y), "inputs are not all finite; example 3, counted from 0, has nan"),
    "infinity": ((at(X, (5, 0), -float("inf")), Y), "not all finite; example 5, counted from 0, has -inf"),
    "lengths": ((X, Y[:5]), "6 inputs and 5 targets"),
    "nothing": ((X[:0], Y[:0]), "0 inputs and 0 targets"),
    "whole numbers": ((X.long(), Y), "inputs must be .* floating point, not .*int64"),
    "numbers without an axis": ((X[:, 0], Y), r"not \(6,\)"),
    "a single label": ((X, Y[0]), "6 inputs and 0 targets"),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("found", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_data_that_do_not_fit_are_named(monkeypatch, split: str, found: Any, why: str) -> None:
    monkeypatch.setattr(Given, "parts", {"train": (X, Y), "test": (X, Y), split: found})
    with pytest.raises(DataError, match=rf"the data set 'given' \(.*\): load\('{split}'\).*{why}"):
        planning.load_data(Given(), "float32", torch.device("cpu"))


@pytest.mark.parametrize("found", [(X.numpy(), Y), X], ids=["arrays", "one tensor"])
def test_what_is_no_data_at_all_is_a_mistake_of_the_plugin(monkeypatch, found: Any) -> None:
    monkeypatch.setattr(Given, "parts", {"train": found, "test": (X, Y)})
    with pytest.raises(TypeError, match="two tensors") as caught:
        planning.load_data(Given(), "float32", torch.device("cpu"))
    assert caught.value.asked == (Given, "what load returned")


def test_targets_of_a_regression_are_looked_at_too(monkeypatch) -> None:
    monkeypatch.setattr(Given, "about", Regression(1, 1.0))
    monkeypatch.setattr(Given, "parts", {"train": (X, TARGETS), "test": (X, at(TARGETS, (2, 0), float("nan")))})
    with pytest.raises(DataError, match="example 2, counted from 0, has nan"):
        planning.load_data(Given(), "float32", torch.device("cpu"))
    monkeypatch.setattr(Given, "parts", {"train": (X, TARGETS), "test": (X[:, :1], TARGETS)})
    with pytest.raises(DataError, match=r"differ in shape: \(2,\) and \(1,\)"):
        planning.load_data(Given(), "float32", torch.device("cpu"))
