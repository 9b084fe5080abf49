"""The documentation stays correct: its specs are valid, its example is the package, its links exist.

Its Python code is run as well: conftest.py passes the code blocks to pytest.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import ebayes_core.testing
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import HOOKS
from ebayes_core.spec import loads, reference

ROOT = Path(__file__).parents[1]
MODULES = ("ebayes_core", "ebayes_plugins", "tests", "examples", "docs")
GLIAL = ROOT / "examples" / "ebayes-glial"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = (ROOT / "docs" / "write_a_plugin.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


SPECS = [(p.name, b) for p in PAGES for b in blocks(p.read_text(encoding="utf-8"), "toml") if re.match(r"name *=", b)]


@pytest.fixture(scope="module")
def with_glial() -> Registry:
    return Registry.of(SimpleNamespace(**runpy.run_path(str(GLIAL / "ebayes_glial.py"))))


@pytest.mark.parametrize("page, text", SPECS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(SPECS)])
def test_every_whole_spec_is_valid(with_glial: Registry, page: str, text: str) -> None:
    assert loads(text, with_glial, source=page).members()


def test_the_tutorial_ends_at_the_example_package() -> None:
    table, spec = blocks(TUTORIAL, "toml")
    project = tomllib.loads((GLIAL / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(table)["project"]["entry-points"] == project["entry-points"]
    assert spec == (GLIAL / "glial.toml").read_text()
    formula = '    kappa: float = Field(0.1, gt=0, le=100, description="uptake per unit of reliability")\n'
    assert formula in TUTORIAL and formula in (GLIAL / "ebayes_glial.py").read_text()


def test_the_tutorial_names_every_check_and_every_check_is_exported() -> None:
    for slot in HOOKS:
        assert f"check_{slot}" in TUTORIAL
        assert f"check_{slot}" in ebayes_core.testing.__all__
    assert all(hasattr(ebayes_core.testing, name) for name in ebayes_core.testing.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """With the folder from the root, as in the map from the package, or a test's file name alone."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/.-])((?:\w+/)*\w+\.py)\b", text))
    known = [str(p.relative_to(ROOT)) for folder in MODULES for p in (ROOT / folder).rglob("*.py")]
    assert not [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in known)]


def test_the_spec_reference_is_current(registry: Registry) -> None:
    builtin = Registry([e for e in registry.entries if e.distribution == "ebayes"])
    page = (ROOT / "docs" / "spec_reference.md").read_text(encoding="utf-8")
    assert page == reference.markdown(builtin), "run: ebayes schema --markdown --out docs/spec_reference.md"


def test_the_reference_describes_a_third_party_plugin_too(with_glial: Registry) -> None:
    page = reference.markdown(with_glial)
    assert "### `glial`" in page
    assert "| `kappa` | number, > 0, <= 100 | `0.1` | uptake per unit of reliability |" in page


def test_every_field_is_described(registry: Registry) -> None:
    for entry in registry.entries:
        for name, field in registry.composed(entry.cls).model_fields.items():
            assert name == "kind" or field.description, f"{entry.slot} {entry.kind}: {name}"
