"""Installed packages that are broken: they are reported, left out, and do not affect commands that do not need them."""

from __future__ import annotations

import json
import shutil
import types
from pathlib import Path

import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import PluginError, SpecError
from ebayes_core.spec import loads
from tests.installed import distribution, ebayes, metadata
from tests.test_third_party import CODE, SMALL

DIGITS = 'name = "x"\ndataset = { kind = "digits" }\n'
BROKEN = {
    "import os\nos.nonsense": "AttributeError",
    "import a_package_that_nobody_has": "ModuleNotFoundError",
    "raise SystemExit(0)": "SystemExit",
    "def (": "SyntaxError",
    CODE.replace("def ebayes_costs", "def ebayes_cost"): "ebayes_costs",
    CODE.replace("return [Glial]", "raise OSError('no licence')"): "ebayes_costs.* OSError: no licence",
    CODE.replace("[Glial]", "Glial"): "has to return a list",
    CODE.replace("[Glial]", "[Glial()]"): "not a subclass of Cost",
    CODE.replace("def energy", "def enrgy"): "does not define energy",
    CODE.replace('kind: Literal["glial"] = "glial"', 'kind: str = "glial"'): "needs a line like",
    CODE.replace("kappa: float", "kappa: 'Unheard'"): "kappa|Unheard",
    CODE.replace("kappa: float", "sizes: list[int] = []\n    kappa: float"): "field sizes can be changed in place",
    CODE.replace("def energy(self, sigma", "def energy(self, rate, sigma"): (
        r"cost 'glial': Glial.energy\(self, rate, sigma, mu\) cannot be called as energy\(self, sigma, mu\) is"
    ),
    CODE.replace("def energy(self, sigma, mu", "def energy(self, sigma"): r"energy\(self, sigma\) cannot be called",
    CODE.replace("def energy(self, ", "def energy("): r"energy\(sigma, mu\) cannot be called",
    CODE.replace("    def energy", "    @property\n    def energy"): "energy is a property",
    CODE.replace(
        "    def energy", "    def multiplier(self):\n        return 2\n\n    def energy"
    ): "multiplier is a method",
}


@pytest.fixture(params=range(len(BROKEN)))
def case(request, tmp_path: Path, monkeypatch) -> tuple[str, str]:
    """A broken package on the path: its code, and the message about it."""
    code, reason = list(BROKEN.items())[request.param]
    module = f"ebayes_broken_{request.param}"  # a name of its own: Python remembers modules
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "broken", "ebayes-broken", module, code)))
    return code, reason


def test_a_broken_plugin_is_kept_with_its_reason_and_costs_nobody_else(case: tuple[str, str]) -> None:
    registry = Registry.load()
    (broken,) = registry.broken
    assert (broken.name, broken.distribution, broken.version) == ("broken", "ebayes-broken", "1.2")
    with pytest.raises(PluginError, match=case[1]):
        raise PluginError(broken.reason)
    assert loads(DIGITS, registry).members()
    with pytest.raises(SpecError, match=r"(?s)unknown kind.*ebayes-broken 1\.2 is broken: .*reinstall") as caught:
        loads(DIGITS + 'cost = { kind = "glial" }', registry)
    assert len(caught.value.mistakes) == 1
    with pytest.raises(SpecError) as caught:
        loads(DIGITS + 'cost = { kind = "calcium", cc = 1.0 }', registry)
    assert "broken" not in str(caught.value)
    assert not Registry.load(["ebayes-broken"]).broken


def executed(code: str) -> types.ModuleType:
    """A module that is not installed."""
    module = types.ModuleType("ebayes_mine")
    exec(compile(code, "ebayes_mine.py", "exec", dont_inherit=True), vars(module))
    return module


def test_its_author_is_told_at_once(case: tuple[str, str]) -> None:
    """In a test or a notebook, where the module is passed explicitly, the error is raised."""
    code, reason = case
    try:
        module = executed(code)
    except (Exception, SystemExit):
        return  # the import has told
    with pytest.raises(PluginError, match=reason):
        Registry.of(module)


FINE = {
    "def energy(self, s, m)": "return m.abs() + self.kappa / s",
    "def energy(self, sigma, mu, scale=1.0)": "return mu.abs() + self.kappa / sigma",
    "def energy(self, *both)": "return both[1].abs() + self.kappa / both[0]",
    "@staticmethod\n    def energy(sigma, mu)": "return 1 / sigma",
}


@pytest.mark.parametrize("head", FINE)
def test_other_names_and_more_arguments_with_defaults_are_fine(head: str) -> None:
    before, _, _ = CODE.partition("    def energy")
    after = CODE[CODE.index("@hookimpl") :]
    module = executed(f"{before}    {head}:\n        {FINE[head]}\n\n\n{after}")
    assert "glial" in Registry.of(module).kinds("cost")


def stale(folder: Path, module: str = "gone") -> Path:
    """What remains of a package whose folder was moved away: its metadata."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    metadata(folder, "my-plugin", "0.1", {"glial": module})
    return folder


@pytest.mark.slow
def test_a_run_that_uses_nothing_of_a_stale_plugin_ends_well_with_one_line(tmp_path: Path) -> None:
    gone = stale(tmp_path / "site")
    (tmp_path / "s.toml").write_text(DIGITS + '[sweep]\n"cost.c" = [0.1, 1.0]\n[[analysis]]\nkind = "importance"\n')
    found = ebayes("run", "s.toml", "--out", "s.h5", *SMALL, paths=(gone,), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (line,) = [line for line in found.stderr.splitlines() if "glial" in line]
    assert "the plugin 'glial' of my-plugin 0.1 is broken" in line and "No module named 'gone'" in line
    assert "--without glial" in line
    quiet = ebayes("show", "s.h5", paths=(gone,), cwd=tmp_path)
    assert quiet.returncode == 0 and "broken" not in quiet.stdout


def test_a_spec_that_names_its_kind_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(DIGITS + 'cost = { kind = "glial" }\n')
    found = ebayes("check", "s.toml", paths=(stale(tmp_path / "site"),), cwd=tmp_path)
    assert found.returncode == 2
    assert "unknown kind" in found.stderr and "my-plugin 0.1 is broken: gone cannot be imported" in found.stderr


def test_it_is_listed_as_broken(tmp_path: Path) -> None:
    gone = stale(tmp_path / "site")
    found = ebayes("plugins", paths=(gone,), cwd=tmp_path)
    assert found.returncode == 0 and "broken: the plugin 'glial' of my-plugin 0.1" in found.stdout
    listed = json.loads(ebayes("plugins", "--json", paths=(gone,), cwd=tmp_path).stdout)["broken"]
    assert [(b["name"], b["distribution"], b["version"]) for b in listed] == [("glial", "my-plugin", "0.1")]
    left_out = ebayes("plugins", "--without", "my-plugin", paths=(gone,), cwd=tmp_path)
    assert left_out.returncode == 0 and "broken" not in left_out.stdout


def test_metadata_that_are_half_deleted_are_told_of(tmp_path: Path, monkeypatch) -> None:
    gone = stale(tmp_path / "site")
    (gone / "my_plugin-0.1.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(str(gone))
    (broken,) = Registry.load().broken
    assert (broken.name, broken.version) == ("glial", "?")
