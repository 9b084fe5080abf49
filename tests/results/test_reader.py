"""A results file returns what was measured, describes its contents, and can be opened in h5py and xarray."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import StoreError, UserError
from ebayes_core.results import provenance
from ebayes_core.results.handle import SCHEMA_VERSION
from ebayes_core.results.reader import Run
from ebayes_core.results.record import DESCRIPTIONS, MemberResult
from ebayes_core.results.writer import add_analyses, write_run
from ebayes_core.storage import hdf5
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.run import run as train

SPEC = """# as the user wrote it
name = "tiny"
seeds = [0, 7]
dataset = { kind = "digits" }
[sweep]
"cost.c" = [0.1, 1]
"network.hidden" = [[4], [5, 3]]
noise = [{ kind = "heterogeneous" }, { kind = "none" }]
"""
AXES = {"member", "epoch", "layer", "pre", "post"}


def result(point: spec.Point) -> MemberResult:
    """Artificial numbers, different for every network; those with two hidden layers diverged early."""
    hidden = point.member.network.hidden
    rng, sizes = np.random.default_rng(point.index), [64, *hidden, 10]
    layers = [
        {
            "mu": rng.normal(size=(post, pre + 1)).astype(np.float32),
            "sigma": rng.random((post, pre + 1)),
            "input_abs": rng.random(pre + 1),
        }
        for pre, post in pairwise(sizes)
    ]
    epochs = 3 if len(hidden) > 1 else 5
    return MemberResult(
        status="diverged at step 12" if len(hidden) > 1 else "done",
        metrics={"accuracy_mean": rng.random(), "elbo": math.nan, "nll_train": math.inf},
        curves={"nll": rng.random(epochs), "sigma_rms": rng.random(epochs)},
        layers=layers,
        layer_metrics={"balance": rng.random(len(layers)), "n_synapses": np.array([a["mu"].size for a in layers])},
    )


ANALYSIS = {
    "slope": np.array([1.0, np.nan, 3.0]), "square": np.ones((3, 3)), "labels": np.array(["a", "µ", ""]),
    "one": np.float64(2.0), "none": np.zeros((0, 4)), "flags": np.array([True, False]), "_options": '{"kind": "x"}',
}  # fmt: skip


class Written:
    """What was written to a file, with the file."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self.path, self.experiment = path, spec.loads(SPEC, registry)
        self.points = self.experiment.members()
        self.settings = [p.setting for p in self.points]
        self.results = [result(p) for p in self.points]
        self.provenance = provenance.collect(registry.versions(), torch.device("cpu")) | {
            "duration_s": 1.5,
            "digest": "abc",
        }
        write_run(path, spec.resolved(self.experiment), self.settings, self.results, self.provenance, spec_text=SPEC)
        add_analyses(path, {"shapes": ANALYSIS})


@pytest.fixture
def written(tmp_path: Path, registry: Registry) -> Written:
    return Written(tmp_path / "tiny.h5", registry)


def test_every_number_comes_back(written: Written) -> None:
    with Run(written.path) as run:
        assert (run.name, run.spec_text, run.provenance) == ("tiny", SPEC, written.provenance)
        assert run.spec == spec.resolved(written.experiment)
        assert run.n_members == len(written.points) == 16
        assert run.seeds.tolist() == [p.member.seed for p in written.points]
        assert run.status == [r.status for r in written.results]
        assert set(run.metrics) == {"accuracy_mean", "elbo", "nll_train"}
        assert set(run.curves) == {"nll", "sigma_rms"}
        for i, (point, made) in enumerate(zip(written.points, written.results, strict=True)):
            assert run.member_spec(i) == spec.resolved(point.member)
            assert {name: values[i] for name, values in run.swept.items()} == point.swept
            for name, number in made.metrics.items():
                np.testing.assert_equal(run.metric(name)[i], number)
            for name, curve in made.curves.items():
                np.testing.assert_array_equal(run.curve(name)[i], np.r_[curve, [np.nan] * (5 - len(curve))])
            for name, numbers in made.layer_metrics.items():
                np.testing.assert_array_equal(run.layer_metric(name)[i], np.r_[numbers, [np.nan] * (3 - len(numbers))])


def test_every_synapse_comes_back_to_the_bit(written: Written) -> None:
    with Run(written.path) as run:
        for i, made in enumerate(written.results):
            assert run.n_layers(i) == len(made.layers)
            assert set(run.layer_names(i)) == {"mu", "sigma", "input_abs"}
            for number, layer in enumerate(made.layers, start=1):
                for name, array in layer.items():
                    found = run.layer(i, number, name)
                    assert found.dtype == array.dtype
                    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4), (2, 3, 4, 5)])
def test_weights_may_have_any_rank(written: Written, shape: tuple[int, ...]) -> None:
    layer = {"mu": np.random.default_rng(0).normal(size=shape)}
    results = [MemberResult("done", {}, {}, [layer], {}) for _ in written.points]
    write_run(written.path, spec.resolved(written.experiment), written.settings, results, {}, spec_text=SPEC)
    with Run(written.path) as run:
        np.testing.assert_array_equal(run.layer(3, 1, "mu"), layer["mu"])
        assert run.layer_names(0) == ["mu"]
    with xarray.open_datatree(written.path, engine="h5netcdf") as tree:
        dims = tree["networks/0/layer_1/mu"].dims
    assert dims == ("member", *(f"dim_{i}" for i in range(len(shape))))


def test_the_table_of_members_is_json(written: Written) -> None:
    with Run(written.path) as run:
        rows = run.member_table()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    for row, point, made in zip(rows, written.points, written.results, strict=True):
        assert point.swept.items() <= row.items()
        assert (row["seed"], row["status"]) == (point.member.seed, made.status)
        assert row["accuracy_mean"] == made.metrics["accuracy_mean"]
        assert row["elbo"] is row["nll_train"] is None


def test_thousands_of_members_fit(written: Written) -> None:
    """HDF5 allows at most 64 KiB of attributes, and a run must not fail after training."""
    count = 9000
    layer = {"mu": np.zeros((1, 2), np.float32)}
    settings = [written.settings[0]] * count
    results = [MemberResult("done", {"sigma_rms": i}, {}, [layer], {}) for i in range(count)]
    write_run(written.path, spec.resolved(written.experiment), settings, results, {}, spec_text=SPEC)
    with Run(written.path) as run:
        assert run.layer(count - 1, 1, "mu").shape == (1, 2)
        assert run.metric("sigma_rms")[-1] == count - 1


def test_unknown_names_are_answered_with_the_known_ones(written: Written) -> None:
    with Run(written.path) as run:
        for ask in (
            lambda: run.metric("accuracy_men"), lambda: run.curve("x"), lambda: run.layer_metric("x"),
            lambda: run.layer(0, 1, "x"), lambda: run.layer(0, 3, "mu"), lambda: run.layer(0, 0, "mu"),
            lambda: run.layer(16, 1, "mu"), lambda: run.analysis("x"),
        ):  # fmt: skip
            with pytest.raises(KeyError, match=r"there are|counted from 1"):
                ask()
        with pytest.raises(KeyError, match="did you mean 'accuracy_mean'"):
            run.metric("accuracy_men")


# --- what others read ------------------------------------------------------------------------------------------------


def test_every_dataset_says_what_it_is(written: Written) -> None:
    seen = []

    def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            assert item.attrs["units"] and item.attrs["description"], name
            seen.append(name)

    with h5py.File(written.path) as file:
        file.visititems(look)
        attrs = file["curves/nll"].attrs
        assert (attrs["units"], attrs["description"]) == DESCRIPTIONS["nll"]
    assert len(seen) > 30


REAL = """
name = "real"
network = { kind = "mlp", hidden = [3] }
training = { epochs = 1, batch_size = 100 }
measurement = { samples = 2 }
[sweep]
dataset = [{ kind = "digits" }, { kind = "cubic" }]
inference = [{ kind = "energy_efficient" }, { kind = "variational_bayes" }]
"""


def test_all_that_a_run_measures_is_described(tmp_path: Path, registry: Registry) -> None:
    train(spec.loads(REAL, registry), REAL, registry, tmp_path / "real.h5", Options(device="cpu", compile=False))
    with Run(tmp_path / "real.h5") as run:
        layer_metrics = [name for name in h5py.File(run.path)["layer_metrics"] if name not in AXES]
        names = {*run.metrics, *run.curves, *layer_metrics, *run.layer_names(0), *run.layer_names(1)}
        assert len(names) > 50
        assert names <= DESCRIPTIONS.keys()


@pytest.mark.filterwarnings("error")
def test_xarray_opens_it_with_named_dimensions(written: Written) -> None:
    with xarray.open_datatree(written.path, engine="h5netcdf") as tree:
        assert tree["members/accuracy_mean"].dims == ("member",)
        assert tree["curves/nll"].dims == ("member", "epoch")
        assert tree["layer_metrics/balance"].dims == ("member", "layer")
        groups = [g for g in tree["networks"].subtree if "mu" in g]
        assert len(groups) == 5
        for group in groups:
            assert group["mu"].dims == ("member", "post", "pre")
            assert group["input_abs"].dims == ("member", "pre")
            for member in group["member"].values:
                layer = int(group.name.removeprefix("layer_")) - 1
                expected = written.results[member].layers[layer]["mu"]
                np.testing.assert_array_equal(group["mu"].sel(member=member), expected)
        named = {dim for group in tree.subtree if "analyses" not in group.path for dim in group.dims}
        assert named == AXES
        for name, array in ANALYSIS.items():
            assert tree["analyses/shapes"][name].shape == np.shape(array)
        assert tree.attrs["spec_text"] == SPEC


def test_the_root_says_where_it_comes_from(written: Written) -> None:
    with h5py.File(written.path) as file:
        attrs = dict(file.attrs)
    assert attrs["schema_version"] == SCHEMA_VERSION == 2
    assert json.loads(attrs["spec"]) == spec.resolved(written.experiment)
    for name in ("created", "duration_s", "device", "ebayes_version", "torch_version"):
        assert attrs[name] == json.loads(attrs["provenance"])[name]


def test_provenance_names_every_plugins_distribution(registry: Registry) -> None:
    found = provenance.collect(registry.versions(), torch.device("cpu"))
    assert {entry.distribution for entry in registry.entries} <= found["plugins"].keys()
    assert found["threads"] == torch.get_num_threads()
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]
    assert json.loads(json.dumps(found)) == found


def test_provenance_knows_the_commit_and_lives_without_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    commit = lambda: provenance.collect(registry.versions(), torch.device("cpu"))["git_commit"]
    assert commit() == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert commit() == ""
    Path("x").write_text("1")
    subprocess.run([*git, "add", "x"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit() == head
    Path("x").write_text("2")
    assert commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit() == ""


# --- analyses --------------------------------------------------------------------------------------------------------


def test_an_analysis_comes_back(written: Written) -> None:
    with Run(written.path) as run:
        assert run.analyses == ["shapes"]
        found = run.analysis("shapes")
    assert found.keys() == ANALYSIS.keys()
    for name, array in ANALYSIS.items():
        np.testing.assert_array_equal(found[name], array)
    assert found["flags"].dtype == bool


def test_adding_twice_is_adding_once_and_touches_nothing_else(written: Written) -> None:
    with Run(written.path) as run:
        before = run.member_table()
    for value in (1.0, 2.0, 2.0):
        add_analyses(written.path, {"new": {"a": np.full(3, value), f"only_{value:.0f}": np.ones(1)}})
    with Run(written.path) as run:
        assert run.analyses == ["new", "shapes"]
        assert run.analysis("new").keys() == {"a", "only_2"}
        assert run.analysis("new")["a"].tolist() == [2.0] * 3
        assert run.member_table() == before
    size = written.path.stat().st_size
    for _ in range(5):
        add_analyses(written.path, {"shapes": ANALYSIS})
    assert written.path.stat().st_size < 1.2 * size


@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (os, "replace"), (h5py.Group, "create_group")])
def test_a_failed_addition_leaves_the_file_as_it_was(
    written: Written, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    before = written.path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
        patch.setattr(where, name, fail)
        add_analyses(written.path, {"new": {"a": np.ones(3)}})
    assert written.path.read_bytes() == before
    assert list(written.path.parent.iterdir()) == [written.path]


def test_an_analysis_that_cannot_be_stored_leaves_the_file_as_it_was(written: Written) -> None:
    before = written.path.read_bytes()
    for bad in (np.array([None, {}]), object()):
        with pytest.raises(TypeError):
            add_analyses(written.path, {"new": {"a": bad}})
    with pytest.raises(StoreError, match="is not a valid name of an array"):
        add_analyses(written.path, {"new": {"a/b": np.ones(1)}})
    assert written.path.read_bytes() == before


# --- open and closed --------------------------------------------------------------------------------------------------

AT_THE_END = """
import sys
from ebayes_core.results.reader import Run
run = Run(sys.argv[1])
kept = run.metric("accuracy_mean"), [Run(sys.argv[1])]
kept[1].append(kept)
print(run)
"""


def test_a_run_is_open_without_with_until_it_is_closed(written: Written) -> None:
    run = Run(written.path)
    assert not run.closed and run.n_members == 16 and run.layer(0, 1, "mu").shape == (4, 65)
    assert repr(run) == f"<Run {written.path}: 'tiny', 16 networks>"
    run.close()
    run.close()
    assert run.closed and repr(run) == f"<Run {written.path}: closed>"
    for ask in (lambda: run.name, lambda: run.metric("elbo"), lambda: run.layer(0, 1, "mu"), lambda: run.analyses):
        with pytest.raises(UserError, match=r"tiny\.h5: is closed; read from it before `close`"):
            ask()
    with run as again, again:
        assert again is run and not run.closed
    assert run.closed


def test_a_run_that_is_opened_again_remembers_nothing_of_the_file_before(written: Written, tmp_path: Path) -> None:
    with Run(written.path) as run:
        assert run.layer(15, 1, "mu").shape == (5, 65)
    other = spec.loads(SPEC.replace("[0, 7]", "[0]"), Registry.load())
    points = other.members()
    settings, results = [p.setting for p in points], [result(p) for p in points]
    write_run(written.path, spec.resolved(other), settings, results, written.provenance, spec_text=spec.dumps(other))
    with run, pytest.raises(KeyError, match="no network 15; there are 8, counted from 0"):
        run.layer(15, 1, "mu")


def test_a_run_that_is_kept_open_is_in_nobodys_way(written: Written) -> None:
    run = Run(written.path)
    with h5py.File(written.path, "r+") as file:
        file["members/elbo"].attrs["more"] = 1
    old = Run(written.path)
    add_analyses(written.path, {"new": {"a": np.ones(1)}})
    assert "new" not in old.analyses and "new" in Run(written.path).analyses
    written.path.unlink()
    assert np.isfinite(run.metric("accuracy_mean")).all()


def test_runs_that_nobody_closes_end_with_the_program(written: Written) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", AT_THE_END, str(written.path)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "16 networks" in done.stdout


def test_a_run_that_nobody_holds_lets_go_of_its_file(written: Written) -> None:
    """Also a run whose file is rejected."""
    before = len(os.listdir("/dev/fd"))
    Run(written.path)
    with h5py.File(written.path, "r+") as file:
        del file["networks"]
    with pytest.raises(StoreError, match="lacks networks"):
        Run(written.path)
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before


# --- what is no results file ----------------------------------------------------------------------------------------


def newer(file: h5py.File) -> None:
    file.attrs["schema_version"] = SCHEMA_VERSION + 1
    del file["layer_metrics"]  # as it may be there


BROKEN: dict[str, Callable[[h5py.File], None]] = {
    "newer ebayes.*update": newer,
    "not a results file": lambda f: f.attrs.__delitem__("schema_version"),
    "is not a results file": lambda f: f.attrs.__setitem__("schema_version", "one"),
    "lacks networks": lambda f: f.__delitem__("networks"),
    "lacks members/status": lambda f: f["members"].__delitem__("status"),
    "lacks spec_text": lambda f: f.attrs.__delitem__("spec_text"),
    "lacks members, members/spec": lambda f: f.__delitem__("members"),
}


@pytest.mark.parametrize("says", BROKEN)
def test_a_file_without_its_parts_is_refused_by_name(written: Written, says: str) -> None:
    with h5py.File(written.path, "r+") as file:
        BROKEN[says](file)
    before = written.path.read_bytes()
    with pytest.raises(StoreError, match=rf"tiny\.h5: .*{says}"), Run(written.path):
        pass
    with pytest.raises(StoreError):
        add_analyses(written.path, {"x": {"a": np.ones(1)}})
    assert written.path.read_bytes() == before


def test_text_that_is_no_json_is_damage(written: Written) -> None:
    with h5py.File(written.path, "r+") as file:
        file.attrs["spec"] = "{"
    with Run(written.path) as run, pytest.raises(StoreError, match=r"tiny\.h5.*damaged"):
        _ = run.spec


def test_a_flipped_bit_in_a_curve_is_noticed(written: Written) -> None:
    raw = bytearray(written.path.read_bytes())
    raw[raw.index(written.results[0].curves["nll"].tobytes()) + 3] ^= 1
    written.path.write_bytes(raw)
    with Run(written.path) as run:
        with pytest.raises(StoreError, match="damaged"):
            run.curve("nll")
        assert np.isfinite(run.curve("sigma_rms")[0]).all()


def test_a_checkpoint_is_no_results_file(tmp_path: Path) -> None:
    hdf5.save(tmp_path / "c.h5", {"a": np.ones(2)})
    with pytest.raises(StoreError, match="not a results file"), Run(tmp_path / "c.h5"):
        pass


def test_the_documentation_names_every_number() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results_file.md").read_text(encoding="utf-8")
    for name, (units, description) in DESCRIPTIONS.items():
        assert f"| `{name}` | {units} | {description.replace('|', '&#124;')} |" in page
