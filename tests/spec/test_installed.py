"""Specs found by name: those of ebayes and of other packages; files first, clashes and broken packages named."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import ebayes
import ebayes_plugins
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import hookimpl
from ebayes_core.errors import PluginError, SpecError
from ebayes_core.spec import digest, find, installed, load, named

BUILT_IN = Path(ebayes_plugins.__file__).parent / "specs"
MINE = 'name = "mine"\ndescription = "Cells of mine (Fig. 3). As\\nmeasured."\ndataset = { kind = "digits" }\n'


def bringing(*folders: object) -> ModuleType:
    """A module that is not installed, with folders of specs."""
    module = ModuleType("ebayes_mine")
    vars(module)["ebayes_specs"] = hookimpl(lambda: list(folders))
    return module


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "v1.5.toml").write_text(MINE, encoding="utf-8")
    return tmp_path / "mine"


def test_every_built_in_spec_has_a_name_and_a_description_that_fits_the_screen(registry: Registry) -> None:
    found = [spec for spec in installed(registry) if spec.distribution == "ebayes"]
    assert {spec.path for spec in found} == set(BUILT_IN.rglob("*.toml"))
    assert found[0].name == "membrane_hetero" and len({spec.name for spec in found}) == len(found) > 40
    widest = max(len(spec.name) for spec in found)
    for spec in found:
        whole = tomllib.loads(spec.path.read_text(encoding="utf-8"))["description"]
        assert spec.description and whole.startswith(spec.description) and spec.description.endswith(".")
        assert widest + 2 + len(spec.description) <= 80, spec.name


def test_a_clone_has_the_same_specs_in_its_first_folder() -> None:
    assert (BUILT_IN.parents[1] / "specs").resolve() == BUILT_IN.resolve()


def test_a_name_is_the_file(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    by_name, by_path = load("desk/fig5", registry), load(BUILT_IN / "desk" / "fig5.toml", registry)
    assert digest(by_name) == digest(by_path) and by_name.folder == by_path.folder == str(BUILT_IN / "desk")
    assert find("desk/fig5", registry).text == (BUILT_IN / "desk" / "fig5.toml").read_text(encoding="utf-8")
    assert load("desk/arrays", registry, ["network.hidden=[3]"]).members()  # which reads a table beside it
    with pytest.raises(SpecError, match=r"^desk/fig5: \[training\] epoch: unknown field"):
        load("desk/fig5", registry, ["training.epoch=3"])


def test_a_file_takes_precedence_and_a_folder_does_not(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk" / "fig5").mkdir(parents=True)
    assert load("desk/fig5", registry).name == "fig5_desk"
    (tmp_path / "desk" / "fig2").write_text(MINE, encoding="utf-8")
    assert load("desk/fig2", registry).name == "mine"


@pytest.mark.parametrize(
    "asked, near",
    [
        ("fig2", "did you mean 'authors/fig2' or 'desk/fig2' or 'optimum/fig2' or 'paper/fig2' or 'sequel/fig2'\\?"),
        ("specs/desk/fig5.toml", "did you mean 'desk/fig5'\\?"),
        ("desk/fg5", "did you mean 'desk/fig5'\\?"),
        ("membrane_heter.toml", "did you mean 'membrane_homo.toml' or 'membrane_hetero'\\?"),
        ("xyzzy", "; `ebayes specs` lists"),
    ],
)
def test_the_nearest_file_and_name_are_offered(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, near: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "membrane_homo.toml").touch()
    with pytest.raises(SpecError, match=f"^{asked}: there is no such file, nor an installed spec.*{near}"):
        find(asked, registry)


def test_another_package_brings_specs(mine: Path) -> None:
    registry = Registry.of(bringing(str(mine)))
    last = installed(registry)[-1]
    assert (last.name, last.distribution, last.description) == ("deep/v1.5", "ebayes_mine", "Cells of mine (Fig. 3).")
    assert load("deep/v1.5", registry).name == "mine"
    table = ebayes.specs(plugins=[bringing(mine)])
    assert table.index.name == "name" and list(table.columns) == ["description", "distribution"]
    assert tuple(table.loc["deep/v1.5"]) == ("Cells of mine (Fig. 3).", "ebayes_mine")
    assert ebayes.load("deep/v1.5", plugins=[bringing(mine)]).name == "mine"
    assert ebayes.load("desk/fig5", set={"training.epochs": 3}).spec["training"]["epochs"] == 3


def test_a_name_that_two_packages_bring_is_refused_and_the_rest_work(mine: Path) -> None:
    shutil.copytree(BUILT_IN / "desk", mine / "desk")
    registry = Registry.of(bringing(mine))
    with pytest.raises(SpecError, match=r"^desk/fig5: several packages .*\(ebayes\) and .*\(ebayes_mine\); give the"):
        load("desk/fig5", registry)
    assert load("paper/fig5", registry).members() and load("deep/v1.5", registry).members()


def test_damaged_specs_are_listed_with_the_reason(mine: Path) -> None:
    (mine / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (mine / "cut.toml").write_text('name = "', encoding="utf-8")
    (mine / "plain.toml").write_text('name = "plain"', encoding="utf-8")
    found = {spec.name: spec for spec in installed(Registry.of(bringing(mine)))}
    assert "UTF-16" in found["binary"].description and "cannot be read" in found["cut"].description
    assert found["plain"].description == "" and found["cut"].own_text() == 'name = "'


@pytest.mark.parametrize(
    "folders, reason",
    [(("/nowhere/at/all",), "'/nowhere/at/all', which is not a folder"), ((3,), "3, which is not a path")],
)
def test_a_hook_that_returns_no_folder_is_named(folders: tuple[object, ...], reason: str) -> None:
    with pytest.raises(PluginError, match=f"ebayes_mine: ebayes_specs returned {reason}"):
        Registry.of(bringing(*folders))


def test_a_spec_of_ones_own_begins_anywhere(registry: Registry, tmp_path: Path) -> None:
    """It finds the files of the spec that it was begun from, and is the same experiment."""
    for name in ("desk/arrays", "desk/fig5", "membrane_hetero"):
        spec = named(name, installed(registry))
        (tmp_path / "my.toml").write_text(spec.own_text(), encoding="utf-8")
        assert "#:schema" not in spec.own_text()
        own, theirs = load(tmp_path / "my.toml", registry), load(name, registry)
        one, other = own.model_dump(mode="json"), theirs.model_dump(mode="json")
        for table in (one["dataset"], other["dataset"]):
            for place in ("folder", "train"):
                table.pop(place, None)
        assert one == other
    assert own.members()


def test_files_are_found_wherever_a_spec_names_them(mine: Path) -> None:
    """In single quotes and in the sweep too; what is no file of its folder stays."""
    (mine / "it's.csv").touch()
    (mine / "b.csv").touch()
    text = "a = \"it's.csv\"\n[sweep]\nx = [['b.csv', 'c.csv']]\n"
    (mine / "own.toml").write_text(text, encoding="utf-8")
    own = tomllib.loads(named("own", installed(Registry.of(bringing(mine)))).own_text())
    assert own == {"a": str(mine / "it's.csv"), "sweep": {"x": [[str(mine / "b.csv"), "c.csv"]]}}
