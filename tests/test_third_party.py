"""A third-party package: installed, it runs, validates, sweeps and draws like a built-in; broken, it is named."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import PluginError, SpecError, UserError
from ebayes_core.spec import load, loads, schema_text
from tests.installed import distribution, ebayes, pip_install

GLIAL = Path(__file__).parents[1] / "examples" / "ebayes-glial"
CODE = (GLIAL / "ebayes_glial.py").read_text()
SMALL = (
    "--set", "network.hidden=[4]", "--set", "training={ epochs = 1, batch_size = 200 }",
    "--set", "optimizer.learning_rate_phi=0.1",
    "--set", "measurement={ samples = 2, probe_examples = 100 }",
)  # fmt: skip


@pytest.fixture(scope="module")
def glial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_install(GLIAL, tmp_path_factory.mktemp("installed") / "glial")


def test_an_installed_plugin_is_listed_with_its_distribution(glial: Path, tmp_path: Path, registry: Registry) -> None:
    found = ebayes("plugins", "--json", paths=(glial,), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    rows = {(row["slot"], row["kind"]): row for row in json.loads(found.stdout)["registered"]}
    row = rows[("cost", "glial")]
    assert (row["distribution"], row["version"]) == ("ebayes-glial", "0.1.0")
    assert row["summary"].startswith("Glutamate uptake")
    assert {(entry.slot, entry.kind) for entry in registry.entries} <= set(rows)


def test_it_trains_sweeps_and_draws_like_a_built_in(glial: Path, tmp_path: Path) -> None:
    done = ebayes("run", str(GLIAL / "glial.toml"), "--out", "glial.h5", *SMALL, paths=(glial,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "glial" / "importance.png").stat().st_size > 1000
    shown = ebayes("show", "glial.h5", "--json", paths=(glial,), cwd=tmp_path)
    members = json.loads(shown.stdout)["members"]
    assert [m["cost.kappa"] for m in members] == [0.01, 0.1, 1.0, 10.0]
    assert all(m["status"] == "done" for m in members)
    sigma = [m["sigma_rms"] for m in members]
    assert sigma == sorted(sigma) and sigma[0] < sigma[-1]  # a dearer uptake buys less precision


@pytest.fixture
def with_glial(glial: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.syspath_prepend(str(glial))
    return Registry.load()


def test_its_own_test_passes(with_glial: Registry) -> None:
    assert "glial" in with_glial.kinds("cost")
    runpy.run_path(str(GLIAL / "test_glial.py"))["test_glial_keeps_the_contract"]()


def test_mistakes_in_its_table_name_its_fields(with_glial: Registry) -> None:
    assert len(load(GLIAL / "glial.toml", with_glial).members()) == 4
    text = 'name = "x"\n[cost]\nkind = "glial"\n'
    with pytest.raises(SpecError, match="kappa"):
        loads(text + "kapa = 1.0", with_glial)
    with pytest.raises(SpecError, match="100"):
        loads(text + "kappa = 1000.0", with_glial)
    with pytest.raises(SpecError, match="glial"):
        loads('name = "x"\n[cost]\nkind = "glail"', with_glial)


def test_it_is_in_the_schema_and_in_mixtures(with_glial: Registry) -> None:
    assert "uptake per unit of reliability" in schema_text(with_glial)
    mixed = loads('name = "x"\ncost = { kind = "mixture", costs = [{ kind = "glial", kappa = 2.0 }] }', with_glial)
    assert mixed.cost.costs[0].kappa == 2.0


def test_without_leaves_it_out_by_either_name(with_glial: Registry) -> None:
    assert "glial" in with_glial.kinds("cost")
    assert "glial" not in Registry.load(["glial"]).kinds("cost")
    assert "glial" not in Registry.load(["ebayes-glial"]).kinds("cost")
    with pytest.raises(UserError, match="did you mean 'glial'"):
        Registry.load(["glail"])


def test_two_of_one_kind_stop_the_program_and_both_are_named(with_glial: Registry, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "rival", "ebayes-rival", "ebayes_rival", CODE)))
    with pytest.raises(PluginError, match="'glial' is provided twice") as caught:
        Registry.load()
    assert "ebayes-glial 0.1.0" in str(caught.value) and "ebayes-rival 1.2" in str(caught.value)
    assert [e.distribution for e in Registry.load(["rival"]).entries if e.kind == "glial"] == ["ebayes-glial"]
    assert [e.distribution for e in Registry.load(["glial"]).entries if e.kind == "glial"] == ["ebayes-rival"]
