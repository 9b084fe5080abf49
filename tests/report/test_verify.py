"""Whether a results file is whole: what verify sees, and what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ebayes_core.contract.registry import Registry
from ebayes_core.report.verify import verify
from ebayes_core.results.writer import add_analyses
from ebayes_core.storage import hdf5, seal
from tests.cli.test_commands import status as exit_status
from tests.drawn import examples
from tests.faults.flips import Judge, damages, small


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], None]], Path]:
    """A copy with something changed in place, as by a program that knows nothing of seals."""

    def change(what: Callable[[h5py.File], None]) -> Path:
        path = tmp_path / "changed.h5"
        shutil.copyfile(whole, path)
        with h5py.File(path, "r+") as file:
            what(file)
        return path

    return change


def test_a_file_is_whole(whole: Path, registry: Registry) -> None:
    report = verify(whole, registry)
    assert (report.problems, report.notes, report.schema, report.networks) == ([], [], 2, 1)


def value(file: h5py.File) -> None:
    file["members/mu_rms"][0] += 1e-12


def text(file: h5py.File) -> None:
    file["members/status"][0] = "Done"


def attribute(file: h5py.File) -> None:
    file["curves/nll"].attrs["units"] = "bit"


def spec_text(file: h5py.File) -> None:
    file.attrs["spec_text"] = file.attrs["spec_text"] + " "


def lost(file: h5py.File) -> None:
    del file["networks/0/layer_1/sigma"]


def more(file: h5py.File) -> None:
    file["members/more"] = [1.0]


def analysis(file: h5py.File) -> None:
    file["analyses/training"].attrs["more"] = 1


def seal_itself(file: h5py.File) -> None:
    file.attrs[seal.SEAL] = file.attrs[seal.SEAL].replace(b"a", b"b", 1)


@pytest.mark.parametrize(
    "what, says",
    [
        (value, "/members/mu_rms is not what was written"), (text, "/members/status is not what was written"),
        (attribute, "/curves/nll is not what was written"), (spec_text, "/ is not what was written"),
        (lost, "/networks/0/layer_1/sigma is missing"), (more, "/members is not what was written"),
        (analysis, "/analyses/training is not what was written"), (seal_itself, "the seal itself is damaged"),
    ],
)  # fmt: skip
def test_a_change_is_named(what: Any, says: str, changed: Any, registry: Registry) -> None:
    assert says in verify(changed(what), registry).problems


def test_adding_an_analysis_does_not_hide_older_damage(changed: Any, registry: Registry) -> None:
    path = changed(value)
    add_analyses(path, {"mine": {"x": np.arange(3.0)}})
    assert verify(path, registry).problems == ["/members/mu_rms is not what was written"]


def test_a_gathered_subset_says_what_is_missing(changed: Any, registry: Registry) -> None:
    def fewer(file: h5py.File) -> None:
        known = json.loads(file.attrs["provenance"])
        file.attrs["provenance"] = json.dumps(known | {"missing": [3, 4]})
        seal.seal(file)

    problems = verify(changed(fewer), registry).problems
    assert problems == ["2 networks of its spec failed or were not finished when the file was gathered"]


def test_members_stand_once(changed: Any, registry: Registry) -> None:
    def twice(file: h5py.File) -> None:
        file["networks/0/layer_1/member"][0] = 7
        seal.seal(file)

    assert "/networks should contain each of the 1 networks once" in verify(changed(twice), registry).problems[0]


def test_a_spec_that_is_none_and_a_plugin_that_is_not_here(changed: Any, registry: Registry) -> None:
    def respecify(table: dict[str, Any]) -> Callable[[h5py.File], None]:
        def change(file: h5py.File) -> None:
            file.attrs["spec"] = json.dumps(json.loads(file.attrs["spec"]) | table)
            seal.seal(file)

        return change

    report = verify(changed(respecify({"training": {"epochs": -1}})), registry)
    assert "its spec: [training] epochs = -1: must be greater than or equal to 1" in report.problems
    report = verify(changed(respecify({"cost": {"kind": "elsewhere"}})), registry)
    assert not report.problems
    assert report.notes == [
        "its cost 'elsewhere' belongs to a plugin that is not registered here, so its options were not checked"
    ]


def test_a_file_of_the_first_schema_is_read(changed: Any, registry: Registry) -> None:
    def older(file: h5py.File) -> None:
        file.attrs["schema_version"] = 1
        del file.attrs[seal.SEAL]

    path = changed(older)
    report = verify(path, registry)
    assert not report.problems and "written before files had a seal" in report.notes[0]
    add_analyses(path, {"mine": {"x": np.arange(3.0)}})
    assert not verify(path, registry).problems


def test_no_results_file_and_a_newer_one(tmp_path: Path, changed: Any, registry: Registry) -> None:
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    assert "is not an HDF5 file of ebayes, or is damaged" in verify(tmp_path / "a.h5", registry).problems[0]
    assert "there is no such file" in verify(tmp_path / "b.h5", registry).problems[0]
    path = changed(lambda file: file.attrs.__setitem__("schema_version", 9))
    assert "was written by a newer ebayes (schema 9); update ebayes" in verify(path, registry).problems[0]


def test_the_command_ends_with_1_where_anything_is_off(whole: Path, changed: Any, capsys: Any) -> None:
    assert exit_status("verify", whole) == 0
    assert "complete and unchanged; 1 network, schema 2" in capsys.readouterr().out
    assert exit_status("verify", whole, changed(value)) == 1
    shown = capsys.readouterr()
    assert (
        "/members/mu_rms is not what was written" in shown.out and "1 of 2 files are damaged or incomplete" in shown.err
    )
    assert exit_status("verify", whole, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["networks"] == 1


@examples(60)
@given(
    hnp.arrays(st.sampled_from([np.float32, np.int64, np.uint8]), hnp.array_shapes(max_dims=3, max_side=5)), st.data()
)
def test_a_digest_tells_arrays_apart(tmp_path_factory: Any, array: np.ndarray, data: st.DataObject) -> None:
    """Equal for equal content, whatever the slabs; different for one bit, another shape, type, name of a scale."""
    at = data.draw(st.integers(0, array.size * array.itemsize - 1))
    other = array.copy()
    other.view(np.uint8).reshape(-1)[at] ^= 1 << data.draw(st.integers(0, 7))
    with h5py.File(tmp_path_factory.mktemp("d") / "d.h5", "w") as file:
        hdf5.put(file, {"a": array, "b": array.copy(), "other": other, "flat": array.reshape(-1)[None]})
        before = seal.digest(file["a"])
        assert before == seal.digest(file["b"]) != seal.digest(file["other"])
        assert array.shape == (1, array.size) or seal.digest(file["flat"]) != before
        slab, seal.SLAB = seal.SLAB, 1
        assert seal.digest(file["a"]) == before
        seal.SLAB = slab
        file["a"].attrs["units"] = "1"
        assert seal.digest(file["a"]) != before


@pytest.mark.parametrize("places", [60, pytest.param(400, marks=pytest.mark.slow)])
def test_flipped_bytes_and_cut_files_are_caught_or_harmless(whole: Path, tmp_path: Path, places: int) -> None:
    """At so many places of a file, of which tests/faults/flips.py tries every one."""
    judge, size = Judge(whole, tmp_path / "damaged.h5"), whole.stat().st_size
    assert set(judge.all(list(damages(judge.content, [0xFF], size // places)))) == {"caught", "unharmed"}
