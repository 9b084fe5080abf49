"""Runs from Python: trained once, read with and without `with`, drawn from stored and from new numbers, joined."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest

import ebayes
from ebayes_core.errors import StoreError, UserError
from ebayes_core.results.reader import Run as File
from ebayes_core.storage.seal import seal
from tests.api.test_experiments import TEXT, Glial
from tests.waiting import LIMIT

ANALYSED = TEXT.replace("[sweep]", '[[analysis]]\nkind = "training"\n[[analysis]]\nkind = "importance"\n[sweep]')


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("runs") / "tiny.h5"
    ebayes.run(ANALYSED, out=target, progress=False)
    return target


def test_what_is_finished_is_not_trained_again(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.stat().st_mtime_ns
    again = ebayes.run(ANALYSED, out=path)
    assert path.stat().st_mtime_ns == before and again.n_members == 2
    assert "already contains the result of this spec" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"result of another spec; give another file .* \(in Python out=\)"):
        ebayes.run(ANALYSED, set={"training.epochs": 3}, out=path, progress=False)


def test_it_works_with_and_without_with_and_closes_itself(path: Path) -> None:
    run = ebayes.open(path)
    assert run.members["accuracy_mean"].between(0, 1).all()
    with run:
        assert run.n_members == 2
    assert run.closed
    with run as again:
        assert again.figure("importance") is not None
    held = ebayes.open(path)._held
    gc.collect()
    assert not held


def test_a_figure_is_of_the_stored_numbers_or_measured_now(path: Path) -> None:
    run = ebayes.open(path)
    with File(path) as file:
        slope = file.analysis("importance")["slope"]
    np.testing.assert_array_equal(run.statistics("importance")["slope"], slope)
    first = run.statistics("importance", layer=1)
    assert set(first["layer"]) == {1} < set(run.statistics("importance")["layer"])
    assert run.figure("tradeoff")._repr_png_().startswith(b"\x89PNG")
    assert run.analyses == ["importance", "training"], "nothing is written into the file"
    with pytest.raises(UserError, match="no analysis 'importanc'; did you mean 'importance'"):
        run.figure("importanc")
    with pytest.raises(UserError, match="importance: colour: unknown field"):
        run.figure("importance", colour="red")


def test_claims_and_the_page(path: Path, tmp_path: Path) -> None:
    run = ebayes.open(path)
    assert set(run.claims()["verdict"].str.split().str[0]) <= {"held", "not", "open"} and len(run.claims())
    page = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    shown = run._repr_html_()
    sentence = shown.split("<p>")[2].split("</p>")[0]
    assert sentence in page and 'run.figure("training")' in shown.replace("&#34;", '"')


def test_a_plugin_of_the_notebook_is_trained_and_remembered(tmp_path: Path) -> None:
    wanted = {"cost": Glial(kappa=0.3), "sweep": {}, "analysis": [{"kind": "importance"}]}
    wanted |= {"training.sigma": "fixed_point", "training.batch_size": 20}
    run = ebayes.run(TEXT, set=wanted, plugins=[Glial], out=tmp_path / "a.h5", progress=False)
    assert run.member_spec(0)["cost"] == {"kind": "glial", "kappa": 0.3}
    with run:
        assert run.figure("importance", layer=2) is not None and run.analyses == ["importance"]
    assert run.registry.kinds("cost")["glial"] is Glial


def test_files_open_as_one(path: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.h5"
    ebayes.run(TEXT, set={"cost.c": 0.1, "noise.kind": "homogeneous", "sweep": {}}, out=more, progress=False)
    run = ebayes.open([path, more, path])
    with File(path) as a, File(more) as b:
        np.testing.assert_array_equal(
            run.metric("sigma_median"), [*a.metric("sigma_median"), *b.metric("sigma_median")]
        )
        np.testing.assert_array_equal(run.layer(2, 1, "sigma"), b.layer(0, 1, "sigma"))
        np.testing.assert_array_equal(run.layer(1, 2, "mu"), a.layer(1, 2, "mu"))
    assert run.swept["cost.c"] == [0.1, 1.0, 0.1]
    assert [noise["kind"] for noise in run.swept["noise"]] == ["heterogeneous"] * 2 + ["homogeneous"]
    assert run.swept["noise"][2] == {"kind": "homogeneous"}, "what is at its default is no part of a label"
    assert run.figure("tradeoff") is not None
    place = run.path
    assert place.exists()
    del run
    gc.collect()
    assert not place.exists()


def test_a_file_from_before_a_field_differs_in_nothing(path: Path, tmp_path: Path) -> None:
    """A version of ebayes later, each network has one field more, at its default."""
    older, more = tmp_path / "older.h5", tmp_path / "more.h5"
    shutil.copy(path, older)
    with h5py.File(older, "r+") as file:
        texts = file["members/spec"]
        specs = [json.loads(text) for text in texts.asstr()]
        assert [spec["training"].pop("schedule") for spec in specs] == ["constant"] * 2
        texts[:] = [json.dumps(spec) for spec in specs]
        whole = json.loads(file.attrs["spec"])
        del whole["training"]["schedule"]
        file.attrs["spec"] = json.dumps(whole)
        seal(file)
    ebayes.run(TEXT, set={"cost.c": 0.1, "sweep": {}}, out=more, progress=False)
    run = ebayes.open([older, more, path])
    assert list(run.swept) == ["cost.c"] and run.swept["cost.c"] == [0.1, 1.0]
    assert "training.schedule" not in ebayes.compare(older, more).differences.index


def test_opening_says_what_is_wrong(tmp_path: Path, path: Path) -> None:
    with pytest.raises(UserError, match="the list of results files to open is empty"):
        ebayes.open([])
    with pytest.raises(UserError, match=r"did you mean 'tiny\.h5'"):
        ebayes.open(path.with_name("tin.h5"))
    (tmp_path / "text.h5").write_text("no", encoding="utf-8")
    with pytest.raises(StoreError, match=r"text\.h5"):
        ebayes.open(tmp_path / "text.h5")
    with pytest.raises(UserError, match=r"must end in \.h5"):
        ebayes.run(TEXT, out=tmp_path / "folder")


def test_an_analysis_that_fails_is_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = ebayes.run(TEXT, set={"noise.kind": "none", "sweep": {}, "analysis": [{"kind": "advantage"}]},
                         out=tmp_path / "none.h5", progress=False)  # fmt: skip
    assert any("advantage" in str(w.message) for w in said) and run.n_members == 1


def test_importing_takes_nothing_along() -> None:
    code = "import sys, ebayes; print([m for m in ('torch', 'pydantic', 'numpy', 'h5py', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.strip() == "[]"
    code = "import sys; from ebayes import Cost, hookimpl; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(ebayes, name) is not None for name in ebayes.__all__)
    assert sorted(ebayes.__all__) == list(ebayes.__all__) == sorted(ebayes._HOME)
    assert ebayes.__version__ == version("ebayes") and set(dir(ebayes)) == {*ebayes.__all__, "__version__"}
    from ebayes.testing import check_cost

    assert ebayes.testing.check_cost is check_cost
    with pytest.raises(AttributeError, match="has no name 'fitt'; it has Analysis"):
        _ = ebayes.fitt
