"""Records: all but the synapses is that of the results file, and what needs synapses is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import ebayes
from ebayes_core.api.runs import Run
from ebayes_core.cli.main import main
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import AbsentError, StoreError, UserError
from ebayes_core.report import claims, optimality
from ebayes_core.report.verify import verify
from ebayes_core.results.abridged import _published, write_record
from ebayes_core.storage import hdf5, seal

TEXT = """
name = "small"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [6] }
training = { epochs = 1 }
measurement = { samples = 2 }
seeds = [0, 1]
[sweep]
"cost.c" = [1e-3, 1e-2]
noise = [{ kind = "heterogeneous" }, { kind = "homogeneous" }]
[[analysis]]
kind = "tradeoff"
[[analysis]]
kind = "importance"
"""


def ebayes_(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ebayes.run(TEXT, out=tmp_path_factory.mktemp("whole") / "small.h5", progress=False).path


@pytest.fixture(scope="module")
def record(whole: Path) -> Path:
    path = whole.parent / "records" / "small.h5"
    assert ebayes_("export", whole, "--to", path).output == f"{path}\n"
    return path


def arrays(path: Path) -> dict[str, tuple[object, ...]]:
    """Type, shape, content and digest (with attributes and scales) of everything but the synapses."""
    with h5py.File(path) as file:
        names: list[str] = []
        file.visit(names.append)
        items = [file[name] for name in names if not name.startswith("networks/") and "shape" in dir(file[name])]
        return {
            item.name: (item.dtype, item.shape, np.asarray(hdf5.value(item)).tolist(), seal.digest(item))
            for item in items
        }


def test_a_record_has_every_array_but_the_synapses(whole: Path, record: Path) -> None:
    before, after = arrays(whole), arrays(record)
    assert [name for name in before if repr(before[name]) != repr(after.get(name))] == []
    assert len(before) == len(after) > 100


def test_it_has_the_spec_and_the_provenance(whole: Path, record: Path) -> None:
    with Run(whole) as one, Run(record) as other:
        for name in ("spec", "spec_text", "status", "swept", "analyses", "name", "n_members"):
            assert getattr(one, name) == getattr(other, name)
        assert [one.has_synapses, other.has_synapses] == [True, False]
        before, after = one.provenance, other.provenance
    assert set(before) - set(after) == {"command"}
    assert {name for name in after if before[name] != after[name]} == {"host", "items"}


def test_machines_have_numbers_in_place_of_names() -> None:
    items = [{"host": name, "device": "cpu"} for name in ("b", "a", "b")]
    found = _published({"host": "a", "command": "ebayes run /home/me/own.toml", "threads": 1, "items": items})
    assert (found["host"], found["threads"]) == ("machine 1", 1) and "command" not in found
    assert [item["host"] for item in found["items"]] == ["machine 2", "machine 1", "machine 2"]


def test_it_is_an_ordinary_sealed_file(record: Path, registry: Registry) -> None:
    report = verify(record, registry)
    assert (report.problems, report.networks) == ([], 8)
    assert report.notes == ["a record: `ebayes export` wrote it without synapses"]
    changed = record.with_name("changed.h5")
    changed.write_bytes(record.read_bytes())
    with h5py.File(changed, "r+") as file:
        file["networks"].attrs["one_sigma"] = [True] * 8
    assert verify(changed, registry).problems == ["/networks is not what was written"]


def test_its_claims_are_those_of_the_results_file(whole: Path, record: Path, registry: Registry) -> None:
    found = [claims.table(claims.findings(path, registry)[0], parts=True) for path in (whole, record)]
    assert found[0] == found[1] and len(found[0]) > 10


@pytest.mark.parametrize("options", [[], ["--statistics", "--all"], ["--convergence"], ["--json"], ["--csv"]])
def test_it_is_shown_as_the_results_file(
    whole: Path, record: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # the sentence about records is on one line
    shown = [ebayes_("show", path, *options).output.replace(str(path), "FILE") for path in (whole, record)]
    said = [line for line in shown[1].splitlines() if "is a record" not in line]
    assert shown[0].splitlines() == said


def test_each_network_has_one_sigma_or_many_as_before(whole: Path, record: Path) -> None:
    with Run(whole) as one, Run(record) as other:
        np.testing.assert_array_equal(optimality.judged(one).balances, optimality.judged(other).balances)
        assert other.uniform == [noise["kind"] == "homogeneous" for noise in other.swept["noise"]]


def test_figures_and_the_page_are_made_of_it(record: Path, tmp_path: Path) -> None:
    drawn = ebayes_("draw", record, "--into", tmp_path).output.split()
    assert [Path(name).name for name in drawn] == ["importance.pdf", "importance.png", "tradeoff.pdf", "tradeoff.png"]
    ebayes_("report", record, "--out", tmp_path)
    assert "This file is a record" in (tmp_path / "small.html").read_text(encoding="utf-8")
    with ebayes.open(record) as found:
        assert len(found.figure("importance").axes) and len(found.members) == 8 and "is a record" in found._repr_html_()
        with found.tree() as tree:
            assert tree["curves/nll"].dims == ("member", "epoch")


ASKED: dict[str, Callable[[Run], object]] = {
    "a layer": lambda run: run.layer(0, 1, "mu"),
    "layers": lambda run: run.n_layers(0),
    "names of arrays": lambda run: run.layer_names(0),
    "shapes": lambda run: run.shapes(),
    "synapses": lambda run: run.synapses(0),
    "a module": lambda run: run.module(0),
    "predictions": lambda run: run.predict(),
    "another analysis": lambda run: run.figure("importance", layer=1),
    "other statistics": lambda run: run.statistics("exponent"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_needs_synapses_is_refused(record: Path, asked: str) -> None:
    with Run(record) as found, pytest.raises(AbsentError, match=r"small\.h5: is a record.*use the results file that"):
        ASKED[asked](found)


@pytest.mark.parametrize("name", ["net.pt", "synapses.csv", "net.onnx"])
def test_commands_that_need_synapses_are_refused(record: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(AbsentError, match="is a record"):
        ebayes_("export", record, "--member", 0, "--to", tmp_path / name)
    with pytest.raises(AbsentError, match="is a record"):
        ebayes_("predict", record, "--member", 0)
    assert not list(tmp_path.iterdir())


def test_several_records_are_joined_to_a_record(whole: Path, record: Path, tmp_path: Path) -> None:
    """And so is a results file with a record, in either order; figures and claims are those of the results files."""
    more = ebayes.run(TEXT, set={"seeds": [2, 3]}, out=tmp_path / "more.h5", progress=False).path
    ebayes_("export", more, "--to", tmp_path / "record.h5")
    both = ebayes.open([whole, more])
    for files in ([record, tmp_path / "record.h5"], [whole, tmp_path / "record.h5"], [record, more]):
        joined = ebayes.open(files)
        assert joined.n_members == both.n_members == 16 and both.has_synapses and not joined.has_synapses
        assert joined.uniform == [noise["kind"] == "homogeneous" for noise in joined.swept["noise"]]
        np.testing.assert_array_equal(joined.metric("sigma_rms"), both.metric("sigma_rms"))
        found, known = (run.statistics("tradeoff").select_dtypes("number") for run in (joined, both))
        apart = [name for name in known if not np.allclose(found[name], known[name], rtol=1e-3, equal_nan=True)]
        assert apart == ["relative median"] and np.isnan(found[apart[0]]).all()
        with pytest.raises(AbsentError, match="is a record"):
            joined.synapses(0)


def test_a_record_of_a_record_is_the_same(record: Path, tmp_path: Path) -> None:
    with Run(record) as found:
        write_record(found, tmp_path / "again.h5")
        assert Run(tmp_path / "again.h5").uniform == found.uniform
    assert (tmp_path / "again.h5").stat().st_size == record.stat().st_size


def test_a_record_has_all_networks_and_a_place_of_its_own(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a record holds all networks"):
        ebayes_("export", whole, "--member", 0, "--to", tmp_path / "one.h5")
    with pytest.raises(UserError, match="is the results file itself"):
        ebayes_("export", whole, "--to", whole.parent / "." / whole.name)
    assert Run(whole).has_synapses


def test_curves_of_many_epochs_can_be_left_out(whole: Path, tmp_path: Path, registry: Registry) -> None:
    ebayes_("export", whole, "--to", tmp_path / "record.h5", "--no-curves")
    assert not verify(tmp_path / "record.h5", registry).problems
    shown = [ebayes_("show", path, "--convergence").output for path in (whole, tmp_path / "record.h5")]
    assert shown[0] == shown[1]
    for asked in (lambda run: run.curve("nll"), lambda run: run.curves, lambda run: run.figure("training")):
        with Run(tmp_path / "record.h5") as found, pytest.raises(AbsentError, match="is a record, written without cur"):
            asked(found)


def test_damage_is_not_sealed_anew(whole: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(whole.read_bytes())
    with h5py.File(damaged, "r+") as file:
        file["curves/nll"][0, 1] += 1
    with pytest.raises(StoreError, match="/curves/nll is not what was written"):
        ebayes_("export", damaged, "--to", tmp_path / "record.h5")
    assert not (tmp_path / "record.h5").exists()


def test_large_arrays_are_compressed(tmp_path: Path) -> None:
    with hdf5.writing(tmp_path / "a.h5") as file:
        hdf5.dataset(file, "large", np.zeros(10_000), packed=True)
        hdf5.dataset(file, "small", np.zeros(10), packed=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert [file[name].compression for name in ("large", "small")] == ["gzip", None]
        assert file["large"].id.get_storage_size() < 1000
