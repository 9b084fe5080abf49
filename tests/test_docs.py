"""The documentation stays correct: its specs are valid, its example is the package, its links exist.

Its Python code is run as well: conftest.py passes the code blocks to pytest.
"""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import ebayes_core.testing
from ebayes_core.contract.claim import Claim, Measured
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import HOOKS
from ebayes_core.report.claims import Finding, written
from ebayes_core.report.verify import verify
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads, reference

ROOT = Path(__file__).parents[1]
MODULES = ("ebayes_core", "ebayes_plugins", "tests", "examples", "docs")
GLIAL = ROOT / "examples" / "ebayes-glial"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES, REPRODUCTION = ROOT / "docs" / "tables.py", ROOT / "docs" / "reproduction.md"
RECORDS = sorted((ROOT / "docs" / "results").glob("*.h5"))
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


@pytest.fixture(scope="module")
def tables() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(TABLES)))


@pytest.fixture(scope="module")
def made(tables: SimpleNamespace) -> dict[str, str]:
    return tables.tables(RECORDS)


def test_the_tables_of_the_page_are_those_of_the_records(tables: SimpleNamespace, made: dict[str, str]) -> None:
    page = REPRODUCTION.read_text(encoding="utf-8")
    assert not tables.differing(page, made), "run: python docs/tables.py"
    assert tables.written_anew(page, made) == page


def test_every_row_of_a_table_has_as_many_cells_as_its_head(made: dict[str, str]) -> None:
    for name in ("glance", "claims", "history"):
        parts = re.findall(r"(?:^\|.*\n)+", made[name], re.MULTILINE)
        assert parts
        for part in parts:
            head, line, *rows = [re.split(r"(?<!\\)\|", row) for row in part.splitlines()]
            assert rows and {len(row) for row in (line, *rows)} == {len(head)}
            assert set("".join(line)) <= set("- ")


def test_the_tables_name_the_present_version_of_every_rule(tables: SimpleNamespace, made: dict[str, str]) -> None:
    known = tables.known(tables.builtin())
    placed = [number for numbers in tables.FIGURES.values() for number in numbers]
    assert len(known) > 30 and sorted({claim.number for claim in known}) == sorted(placed)
    for claim in known:
        assert re.search(
            rf"^\*\*{claim.number}\. {re.escape(claim.statement)}\.\*\* .*; {re.escape(written(claim))}\.$",
            made["claims"],
            re.MULTILINE,
        ), claim.statement
        statement = claim.statement.replace("|", "\\|")
        assert f"| {claim.number} | {statement} | " in made["history"]


def test_each_column_of_the_glance_counts_every_claim(tables: SimpleNamespace, made: dict[str, str]) -> None:
    numbers = sorted({23, *(claim.number for claim in tables.known(tables.builtin()))})
    rows = [row.split("|")[2:4] for row in made["glance"].splitlines()[2:]]
    for cells in zip(*rows, strict=True):
        named = [number for cell in cells for number in re.findall(r"\d+", cell.partition(":")[2])]
        assert sorted(map(int, named)) == numbers and sum(int(c.partition(":")[0]) for c in cells) == len(numbers)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([], "no record"), ([1], "holds"), ([1, 1], "holds"), ([1, 0], "in part"), ([1, -1], "in part"),
        ([0, 0], "open"), ([0, -1], "fails"), ([-1], "fails"), ([None], "by construction"), ([None, 1], "holds"),
        ([None, 0], "open"),
    ],
)  # fmt: skip
def test_a_verdict_combines_statements_and_files(
    tables: SimpleNamespace, values: list[int | None], verdict: str
) -> None:
    """1 for a part that holds, 0 for one that is open, -1 for one that fails, None for one true by construction."""
    claim = Claim(1, "", "", (0.0, 2.0), lambda analysis, arrays: [])
    parts = [Measured("", 1.0, because="a formula") if v is None else Measured("", v, v - 0.5, v + 0.5) for v in values]
    found = [Finding(claim, (part,), Path(f"{i}.h5"), "some", "descent", (1.0, 1.0)) for i, part in enumerate(parts)]
    assert tables.overall(found) == verdict


def test_a_table_that_differs_is_named(
    tables: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, str]
) -> None:
    page = tmp_path / "reproduction.md"
    page.write_text(REPRODUCTION.read_text(encoding="utf-8").replace("| holds |", "| hold |"), encoding="utf-8")
    monkeypatch.setitem(tables.main.__globals__, "PAGE", page)
    monkeypatch.setitem(tables.main.__globals__, "tables", lambda records: made)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    with pytest.raises(SystemExit, match=r"not the tables of the records: glance; run: python docs/tables\.py"):
        tables.main()
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    tables.main()
    assert page.read_text(encoding="utf-8") == REPRODUCTION.read_text(encoding="utf-8")


@pytest.mark.parametrize("record", RECORDS, ids=lambda p: p.stem)
def test_records_are_whole_small_and_without_synapses(record: Path, registry: Registry) -> None:
    assert record.stat().st_size < 1_200_000
    assert not verify(record, registry).problems
    with Run(record) as run:
        assert not run.has_synapses and record.stem == run.name
